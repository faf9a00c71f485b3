import type { DatamartPlan } from '../processors/datamart-plan.ts';
import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { PartitionReport } from '../processors/status-record.ts';
import type { DatamartKey, MutationView } from '../schemas/mutation.ts';
import type { SinkError } from '../sinks/sink.ts';
import { CatchUp, type CatchUpContext, type CatchUpOwner } from './catch-up.ts';
import type { OwnPosition, OwnPositionKind } from './commit-metadata.ts';
import type { Destination } from './destination.ts';
import { FanOut } from './fan-out.ts';
import type { TopicPartition } from './kafka-port.ts';
import type { Lane, LaneOwner } from './lane.ts';
import { Lanes, type Gap, type LanesContext } from './lanes.ts';
import type { RejectingReplication } from './rejected-records.ts';
import { identityHash } from './replication-identity.ts';
import type { Stance } from './replication-states.ts';
import type { RecordOrigin } from './segment.ts';

/** After so many failures in a row a destination counts as down: whoever waits for it holds no bytes. */
const DOWN_AFTER_FAILURES = 3;
/** How long a lane may be half a window behind while others wait. */
const LAG_GRACE_MS = 1_000;

export interface TaskReplicationsContext extends LanesContext, Omit<CatchUpContext, 'pool'> {
  /** How far a replay may go beyond the last acknowledged commit. */
  readonly window: { readonly maxRecords: number };
  /** Lanes of all partitions of this instance that are detached. */
  readonly detachedLanes: () => number;
  /** A lane that delivers nothing for so long is detached. */
  readonly detachAfterMs: number;
  readonly stanceOf: (config: ReplicationConfig) => Stance;
  /** What was last reported of the replication on the partition. */
  readonly statusOf: (id: string, at: TopicPartition) => PartitionReport | null;
  /** Resolves when the report is durable; with false when that is given up. */
  readonly storeReport: (report: PartitionReport) => Promise<boolean>;
}

/** How far one replication is behind a partition. */
export interface Backlog {
  readonly replicationId: string;
  /** The first offset that it hasn't got. */
  readonly position: number;
  /** Kafka timestamp of the oldest operation that it hasn't got, or a later one, in ms. */
  readonly timestamp: number | null;
}

/** What the replications need of their task. */
export interface TaskReplicationsOwner {
  readonly scope: LaneOwner['scope'];
  /** The next offset that will be dispatched. */
  readonly position: number;
  /** The last acknowledged commit. */
  readonly committedOffset: number;
  /** Whether an attempt may start now (PROTOCOL A3). */
  mayAttempt(): boolean;
  /** Operations were delivered, or stored as dead letters. */
  onSettled(count: number): void;
  storeRejected(offset: number, replication: RejectingReplication, error: SinkError): Promise<void>;
  commitSoon(): void;
}

/**
 * How one partition stands for each replication: which follow the live mutations, which are detached and catch up, which
 * are parked and where; and how each goes from one to the other.
 *
 * ```
 *                 stands still, slows others                  PAUSED, ERROR
 *   following ───────────────────────────────▶ detached ────────────────────▶ parked at a position
 *       ▲                                        │  ▲                           │        │
 *       └──────────── caught up ─────────────────┘  └───── WHERE_STOPPED ───────┘        │
 *       └──────────────────────────────── NOW, with a gap ───────────────────────────────┘
 * ```
 */
export class TaskReplications implements LaneOwner, CatchUpOwner {
  readonly scope: LaneOwner['scope'];
  readonly #context: TaskReplicationsContext;
  readonly #owner: TaskReplicationsOwner;
  readonly #lanes: Lanes;
  readonly #fanOut: FanOut;
  readonly #catchUp: CatchUp;
  readonly #activeLanes = new Set<Lane>();
  /** Lanes that are half a window behind while others aren't, and since when. */
  readonly #lagsSinceMs = new WeakMap<Lane, number>();
  /** By replication: the last interval that it was not sent. */
  readonly #gaps = new Map<string, Gap>();
  /** By replication: how many offsets retention took before they were delivered, and where the last of them ended. */
  readonly #lost = new Map<string, { readonly count: number; readonly to: number }>();
  /** By the replication's hash: the own position that the last acknowledged commit carried. */
  #committedPositions: ReadonlyMap<number, number> = new Map();
  #isClosed = false;

  constructor(context: TaskReplicationsContext, owner: TaskReplicationsOwner) {
    this.scope = owner.scope;
    this.#context = context;
    this.#owner = owner;
    this.#lanes = new Lanes(context, this);
    this.#fanOut = new FanOut(context, (config) => this.#lanes.liveLaneOf(config));
    this.#catchUp = new CatchUp({ ...context, pool: context.pool.replays }, this);
  }

  get position(): number {
    return this.#owner.position;
  }

  get lanes(): Iterable<Lane> {
    return this.#lanes.all();
  }

  /** Encodes a live mutation for all that follow and want it. */
  append(mutation: MutationView, plan: DatamartPlan, origin: RecordOrigin): void {
    this.#fanOut.append(mutation, plan, origin);
  }

  /** The task dispatches this mutation, whether anybody wants it or not. */
  saw(mutation: MutationView, offset: number): void {
    this.#lanes.seen.note(mutation, offset);
  }

  /** The lane that follows the live mutations for an activated replication; null while it doesn't. */
  followingLaneOf(config: ReplicationConfig): Lane | null {
    const isActive = this.#context.stanceOf(config).state === 'ACTIVE';
    return isActive && !this.#isClosed ? this.#lanes.liveLaneOf(config) : null;
  }

  /** What the replication missed before its activation isn't durable yet. */
  hasOpenGap(config: ReplicationConfig): boolean {
    return this.#lanes.hasOpenGap(config);
  }

  /** Whether something was not sent to the replication, of which no initial synchronization has made up since. */
  hasMissed({ id }: ReplicationConfig): boolean {
    return this.#gaps.has(id) || this.#lost.has(id);
  }

  /** An initial synchronization has made up for everything below `offset`. */
  madeUp({ id }: ReplicationConfig, offset: number): void {
    if ((this.#gaps.get(id)?.to ?? 0) <= offset) this.#gaps.delete(id);
    if ((this.#lost.get(id)?.to ?? 0) <= offset) this.#lost.delete(id);
  }

  /** A batch was dispatched: lanes send, replays may read on. */
  onDispatched(nowMs: number): void {
    this.#fanOut.pumpTouched(nowMs);
    this.#catchUp.wake();
  }

  /** Attempts may start again: what was held back is tried. */
  goOn(nowMs: number): void {
    for (const lane of this.#lanes.all()) lane.pump(nowMs);
  }

  /** There is memory again, or a commit was acknowledged: replays may read on. */
  wake(): void {
    this.#catchUp.wake();
  }

  /** The first offset that a following lane still holds; null when all is delivered. */
  heldFrom(): number | null {
    let first: number | null = null;
    for (const lane of this.#activeLanes) {
      if (lane.isDetached || lane.position === null) continue;
      const held = Math.max(lane.position, lane.countedFrom);
      if (first === null || held < first) first = held;
    }
    return first;
  }

  /** What every commit must carry beside its offset. */
  ownPositions(): readonly OwnPosition[] {
    this.#moveOverUnwanted();
    return this.#lanes.ownPositions();
  }

  /** A commit with these own positions was acknowledged. */
  onCommitted(positions: readonly OwnPosition[]): void {
    this.#committedPositions = new Map(positions.map(({ replication, position }) => [replication, position]));
    this.#catchUp.wake();
  }

  /**
   * True when no attempt on the partition is in flight, nor may be stored late (PROTOCOL A6), not even of a replication
   * that was stopped meanwhile.
   */
  get isQuiet(): boolean {
    const key = `${this.scope.topic}/${this.scope.partition}`;
    const now = this.#context.clock.monotonic();
    for (const destination of this.#context.destinations.all())
      if (destination.attemptOf(key) || destination.newerNotBefore(key) > now) return false;
    return true;
  }

  /** Kafka timestamp of the oldest operation not delivered, in ms; null when there is none. */
  oldestUndelivered(): number | null {
    let oldest: number | null = null;
    for (const lane of this.#activeLanes) {
      const timestamp = lane.oldestTimestamp;
      if (timestamp !== null && (oldest === null || timestamp < oldest)) oldest = timestamp;
    }
    return oldest;
  }

  /** The replications that are to be served and are behind the partition. */
  *backlogs(): Generator<Backlog> {
    for (const lane of this.#lanes.all()) {
      const { position, oldestTimestamp } = lane;
      if (position !== null && position < this.position)
        yield { replicationId: lane.destination.id, position, timestamp: oldestTimestamp };
    }
    for (const { config, position, sinceMs } of this.#lanes.parked()) {
      if (config.status === 'ACTIVE' && position < this.position)
        yield { replicationId: config.id, position, timestamp: sinceMs };
    }
  }

  /** Goes on from the positions that the claimed commit carried. */
  restore(positions: readonly OwnPosition[]): void {
    const { table } = this.#context;
    this.#lanes.carryOver(positions);
    this.onCommitted(positions);
    for (const config of table.all()) {
      const stance = this.#context.stanceOf(config);
      const isServed = stance.state === 'ACTIVE' || stance.state === 'ACTIVATING';
      if (!isServed || positions.length > 0) this.onStance(config, stance);
      const report = this.#context.statusOf(config.id, this.scope);
      if (report?.gap) this.#gaps.set(config.id, report.gap);
      // Where it ended isn't reported: before this task began.
      if (report && report.lostOffsets > 0) this.#lost.set(config.id, { count: report.lostOffsets, to: 0 });
    }
    // The table was read to its end after the commit: what it doesn't know was deleted, or made anew, while nobody ran.
    if (table.isComplete) this.#lanes.dropCarried();
    void this.#dateBacklogs(positions);
  }

  /** Replications of the datamart changed, each told by `onReplicationChanged` before: new ones begin with the next mutation. */
  onTableChanged(datamart: DatamartKey, plan: DatamartPlan): void {
    this.#fanOut.onPlanChanged(datamart, plan);
    this.#catchUp.onPlanChanged(datamart, plan);
  }

  /** The replication was deleted, or made anew under its id: work and positions of this one end. */
  onReplicationDeleted(config: ReplicationConfig): void {
    const lane = this.#lanes.laneOf(config);
    if (lane) this.#catchUp.remove(lane);
    this.#lanes.forget(config);
    this.#gaps.delete(config.id);
  }

  /** Paused and failed replications stop at once; an activated one goes on as its config says. */
  onStance(config: ReplicationConfig, { state, isActivationFailed }: Stance): void {
    const carried = this.#lanes.takeCarried(config);
    if (carried) this.#lanes.park(config, carried.kind, carried.position);
    if (state === 'PAUSED') this.#stopReplication(config, 'PAUSED', this.position);
    else if (state !== 'ERROR') this.#resumeReplication(config);
    else if (isActivationFailed && !this.#keepsPosition(config)) this.#stopReplication(config, 'ERROR', null);
    else this.#stopReplication(config, 'ERROR', this.position);
  }

  /**
   * Called ten times a second. Detaches lanes that deliver nothing for longer than their grace, and those that have held
   * half a window, or the memory (`memoryHogs`), for a second while others waited for them: a replication that is through
   * with nearly everything, or whose mutations haven't come yet (`activeReplications` are all that the table knows).
   */
  detachLaggards(nowMs: number, activeReplications: number, memoryHogs: ReadonlySet<Destination>): void {
    const { detachAfterMs, window } = this.#context;
    const live = [...this.#activeLanes].filter(
      (lane) =>
        !lane.isDetached && lane.position !== null && !this.#lanes.hasOpenGap(lane.destination.config),
    );
    if (!this.#owner.mayAttempt()) {
      for (const lane of live) {
        lane.restartGrace(nowMs);
        this.#lagsSinceMs.delete(lane);
      }
      return;
    }
    const distance = (lane: Lane): number => this.position - (lane.position ?? this.position);
    const isAnyNear =
      activeReplications > live.length || live.some((lane) => distance(lane) <= window.maxRecords / 8);
    for (const lane of live) {
      if (nowMs - lane.lastProgressMs >= detachAfterMs) {
        this.#detach(lane, 'it stands still');
      } else if (
        !memoryHogs.has(lane.destination) &&
        (!isAnyNear || distance(lane) < window.maxRecords / 2)
      ) {
        this.#lagsSinceMs.delete(lane);
      } else {
        const sinceMs = this.#lagsSinceMs.get(lane) ?? nowMs;
        this.#lagsSinceMs.set(lane, sinceMs);
        if (nowMs - sinceMs >= LAG_GRACE_MS) this.#detach(lane, 'others would wait for it');
      }
    }
  }

  /** How the partition stands for the replications that don't just follow the committed offset. */
  reports(): readonly PartitionReport[] {
    const reports = new Map<string, PartitionReport>();
    for (const id of new Set([...this.#gaps.keys(), ...this.#lost.keys()]))
      reports.set(id, this.#reportOf(id, 'ACTIVE', this.#owner.committedOffset));
    for (const lane of this.#lanes.all()) {
      const { id } = lane.destination;
      if (lane.isDetached) reports.set(id, this.#reportOf(id, 'DETACHED', lane.position ?? this.position));
    }
    for (const { config, kind, position } of this.#lanes.parked()) {
      const isPaused = kind === 'PAUSED' || config.status === 'PAUSED';
      reports.set(config.id, this.#reportOf(config.id, isPaused ? 'PAUSED' : 'STOPPED', position));
    }
    return [...reports.values()];
  }

  /**
   * The partition is given up: who hasn't got everything gets a position of its own, so that the others aren't sent again
   * what they have.
   */
  detachUndelivered(): void {
    for (const lane of this.#activeLanes)
      if (!lane.isDetached && lane.position !== null && !this.#lanes.hasOpenGap(lane.destination.config))
        lane.detach(this.position);
  }

  /** Feeds detached replications no more; what they have is still delivered. */
  stopReplays(): void {
    this.#catchUp.close();
  }

  /** Starts nothing more. What is in flight ends by itself and counts for nothing. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#catchUp.close();
    this.#lanes.close();
    this.#fanOut.close();
  }

  /** Retention has passed the partition's position: `[from, to)` is lost to all that follow it. */
  lostToFollowers(from: number, to: number): void {
    this.#moveOverUnwanted();
    this.#lanes.skipped(to);
    for (const config of this.#context.table.all()) {
      if (
        config.status !== 'ACTIVE' ||
        this.#lanes.parkedOf(config) ||
        this.#lanes.laneOf(config)?.isDetached
      )
        continue;
      this.#countLost(config.id, from, to);
    }
  }

  mayAttempt(): boolean {
    return this.#owner.mayAttempt();
  }

  laneActive(lane: Lane, isActive: boolean): void {
    if (isActive) this.#activeLanes.add(lane);
    else this.#activeLanes.delete(lane);
  }

  laneProgressed(lane: Lane, count: number): void {
    if (lane.isDetached) this.#catchUp.wake();
    this.#owner.onSettled(count);
  }

  laneFailed(lane: Lane): void {
    if (!lane.isDetached) return;
    if (lane.destination.admission.failures >= DOWN_AFTER_FAILURES || this.isShortOfMemory)
      this.#catchUp.restart(lane);
  }

  storeRejected(offset: number, replication: RejectingReplication, error: SinkError): Promise<void> {
    return this.#owner.storeRejected(offset, replication, error);
  }

  replayLimit(lane: Lane): number {
    const committed =
      this.#committedPositions.get(identityHash(lane.destination.config)) ?? this.#owner.committedOffset;
    return committed + this.#context.window.maxRecords;
  }

  get isShortOfMemory(): boolean {
    return !this.#context.pool.mayReplay;
  }

  get memoryShare(): number {
    return this.#context.pool.replayShare(this.#context.detachedLanes());
  }

  attach(lane: Lane): void {
    lane.attach(this.position);
    this.#fanOut.refresh(lane.destination.config.datamart);
    const { id } = lane.destination;
    this.#context.metrics.catchUps.add(1, id);
    this.#context.logger.info({ ...this.#at, replication_id: id }, 'the replication has caught up');
    this.#owner.commitSoon();
  }

  commitSoon(): void {
    this.#owner.commitSoon();
  }

  lost(lane: Lane, from: number, to: number): void {
    const { logger } = this.#context;
    const { id } = lane.destination;
    this.#countLost(id, from, to);
    logger.error(
      { ...this.#at, replication_id: id, offset: from, lost: to - from },
      `retention has passed the replication’s position: offsets ${from} to ${to - 1} are lost to it`,
    );
  }

  get #at(): TopicPartition {
    return { topic: this.scope.topic, partition: this.scope.partition };
  }

  #countLost(id: string, from: number, to: number): void {
    this.#context.metrics.lostOffsets.add(to - from, id);
    this.#lost.set(id, { count: (this.#lost.get(id)?.count ?? 0) + to - from, to });
  }

  /** Whether what the replication missed before its activation is to be sent once one succeeds. */
  #keepsPosition(config: ReplicationConfig): boolean {
    const isAsked = config.resume === 'WHERE_STOPPED';
    return isAsked || this.#lanes.keepsPosition(config) || this.#lanes.parkedOf(config) !== null;
  }

  /** Since when what an owner before has left undelivered waits: only the log knows. */
  async #dateBacklogs(positions: readonly OwnPosition[]): Promise<void> {
    const { reader } = this.#context;
    const behind = new Set(positions.map(({ position }) => position).filter((at) => at < this.position));
    for (const position of [...behind].sort((a, b) => a - b)) {
      if (this.#isClosed) return;
      // It is for a gauge: where the log can't be read, the time of the take-over stays.
      const batch = await reader.read(this.#at, position, 0).catch(() => null);
      const [first] = batch?.records ?? [];
      if (first) this.#lanes.backlogSince(position, first.timestamp);
    }
  }

  /** PROTOCOL C5: who isn't served misses nothing by what it doesn't want. */
  #moveOverUnwanted(): void {
    this.#lanes.moveOverUnwanted((lane) => this.#catchUp.isWaiting(lane));
  }

  /** Starts nothing more for the replication; it keeps its first undelivered offset, or has none (`position` null). */
  #stopReplication(config: ReplicationConfig, kind: OwnPositionKind, position: number | null): void {
    const lane = this.#lanes.laneOf(config);
    if (lane) this.#catchUp.remove(lane);
    // The kind tells how it goes on: after an ERROR from where it stopped, also when it was paused in between.
    const parked = this.#lanes.parkedOf(config);
    const isStillError = parked?.kind === 'ERROR' && parked.position !== null;
    this.#lanes.park(config, isStillError ? 'ERROR' : kind, position);
    this.#fanOut.refresh(config.datamart);
    if (lane) this.#owner.commitSoon();
  }

  #resumeReplication(config: ReplicationConfig): void {
    this.#moveOverUnwanted();
    const parked = this.#lanes.parkedOf(config);
    if (!parked) return;
    const { kind, position } = parked;
    const wanted = config.resume ?? (kind === 'ERROR' ? 'WHERE_STOPPED' : 'NOW');
    // What lies between is settled already, when its position is ahead of the task's.
    const isAhead = position !== null && position > this.position;
    if (position !== null && (kind === 'DETACHED' || wanted === 'WHERE_STOPPED' || isAhead)) {
      this.#catchUp.add(this.#lanes.openDetached(config, position));
    } else {
      const earlier = this.#lanes.openGapOf(config);
      const from = Math.min(position ?? this.position, earlier?.from ?? this.position);
      this.#lanes.forget(config);
      if (from === this.position) this.#owner.commitSoon();
      else this.#resumeFromNow(config, { from, to: this.position });
    }
    this.#fanOut.refresh(config.datamart);
  }

  /** PROTOCOL A9: the gap is durable before its start is given up. */
  #resumeFromNow(config: ReplicationConfig, gap: Gap): void {
    this.#lanes.openWithGap(config, gap);
    this.#gaps.set(config.id, gap);
    void this.#context.storeReport(this.#reportOf(config.id, 'ACTIVE', gap.to)).then((isStored) => {
      if (!isStored) return;
      this.#lanes.gapStored(config, gap);
      this.#owner.commitSoon();
    });
  }

  #reportOf(id: string, state: PartitionReport['state'], offset: number): PartitionReport {
    const gap = this.#gaps.get(id) ?? null;
    const lostOffsets = this.#lost.get(id)?.count ?? 0;
    return { ...this.#at, replicationId: id, state, offset, gap, lostOffsets };
  }

  #detach(lane: Lane, why: string): void {
    const { logger, metrics } = this.#context;
    const { id, config } = lane.destination;
    lane.detach(this.position);
    this.#lagsSinceMs.delete(lane);
    this.#fanOut.refresh(config.datamart);
    metrics.detaches.add(1, id);
    logger.warn(
      { ...this.#at, replication_id: id, offset: lane.position, code: lane.destination.lastFailure?.code },
      `the partition waits for the replication no longer: ${why}; it catches up from offset ${lane.position ?? 0}`,
    );
    this.#catchUp.add(lane);
    this.#owner.commitSoon();
  }
}
