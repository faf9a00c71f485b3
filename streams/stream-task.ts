import type { DatamartPlan } from '../processors/datamart-plan.ts';
import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { PartitionReport } from '../processors/status-record.ts';
import type { Topology, TopologyStatus } from '../processors/topology.ts';
import { USER_POINT_PARENT } from '../schemas/document-type.ts';
import type { DatamartKey, DeadLetterReason } from '../schemas/mutation.ts';
import type { SchemaLoad } from '../schemas/schema-cache.ts';
import type { SinkError } from '../sinks/sink.ts';
import { CatchUp, type CatchUpContext, type CatchUpOwner } from './catch-up.ts';
import { sleep } from './clock.ts';
import {
  packPositions,
  type CommitMetadata,
  type OwnPosition,
  type OwnPositionKind,
} from './commit-metadata.ts';
import type { DeadLetters, StoreOptions } from './dead-letters.ts';
import { FanOut } from './fan-out.ts';
import type { ConsumedBatch, ConsumedRecord, TopicPartition } from './kafka-port.ts';
import type { Lane, LaneOwner } from './lane.ts';
import { Lanes, type Gap, type LanesContext } from './lanes.ts';
import { QUIET_TIME_MS, type Lease } from './lease.ts';
import { ParkedRecords } from './parked-records.ts';
import { RejectedRecords } from './rejected-records.ts';
import { identityHash } from './replication-identity.ts';
import type { Stance } from './replication-states.ts';
import { Window } from './window.ts';

/** Why a partition can't go on; `partition_blocked{reason}` shows it. */
export type BlockReason = 'registry_not_configured' | 'registry' | 'dead_letters';

export interface StreamTaskContext extends LanesContext, CatchUpContext {
  readonly topology: Topology;
  readonly deadLetters: DeadLetters;
  readonly window: { readonly maxRecords: number; readonly maxBytes: number };
  readonly lease: Lease;
  readonly stanceOf: (config: ReplicationConfig) => Stance;
  /** What was last reported of the replication on the partition. */
  readonly statusOf: (id: string, at: TopicPartition) => PartitionReport | null;
  /** Resolves when the report is durable; with false when that is given up. */
  readonly storeReport: (report: PartitionReport) => Promise<boolean>;
  /** A lane that delivers nothing for so long is detached. */
  readonly detachAfterMs: number;
}

/** Where a task begins. */
export interface TaskStart {
  readonly offset: number;
  readonly logEnd: number;
  readonly carried: CommitMetadata;
  /** True when nobody has ever owned the partition. */
  readonly isNew: boolean;
}

/** What a commit says of the task, in one step: everything below `offset` is settled, but for the own positions. */
export interface TaskCommit {
  readonly offset: number;
  readonly x: readonly OwnPosition[];
  readonly s: readonly unknown[];
  readonly isQuiet: boolean;
}

/** What a task asks of the application. */
export interface StreamTaskOwner {
  pause(task: StreamTask): void;
  resume(task: StreamTask): void;
  /** So much is settled that a commit is due before its time. */
  commitSoon(): void;
}

/** A commit is asked for when this many operations settled since the last. */
const COMMIT_EVERY_OPERATIONS = 5_000;
/** A window may be full for so long before those who hold it up are detached. */
const FULL_WINDOW_GRACE_MS = 100;
/** After so many failures in a row a destination counts as down: whoever waits for it holds no bytes. */
const DOWN_AFTER_FAILURES = 3;
const SCHEMA_RETRY_MS = 1_000;
/** One line a minute. */
const SCHEMA_LOG_EVERY = 60;
const ABORTED_LOAD: SchemaLoad = { status: 'unavailable', detail: '' };

/**
 * Everything that belongs to one owned partition, from its assignment until it is closed: the epoch of rule A4.
 *
 * A batch is taken up synchronously: each record runs through the topology and is encoded into the logs of the routes
 * that want it; nothing is awaited. The committable offset is the smallest offset that some lane, dead letter or
 * blocked record still holds, so no per-record window is needed. After `close` late answers count for nothing, since
 * they reach lanes and lists that nobody asks any more.
 */
export class StreamTask implements LaneOwner, CatchUpOwner {
  /** Names this task in the metadata of its commits (PROTOCOL A1, A2). */
  readonly taskId: string;
  readonly scope: TopicPartition & { readonly partitionCount: number };
  /** Initial-sync tasks that travel with every commit, unchanged. */
  readonly #syncs: readonly unknown[];
  readonly #context: StreamTaskContext;
  readonly #owner: StreamTaskOwner;
  readonly #window: Window;
  readonly #lanes: Lanes;
  readonly #fanOut: FanOut;
  readonly #catchUp: CatchUp;
  readonly #rejected: RejectedRecords;
  readonly #activeLanes = new Set<Lane>();
  readonly #parked: ParkedRecords;
  readonly #closing = new AbortController();
  readonly #blocked = new Set<BlockReason>();
  /** By replication: the last interval that it was not sent. */
  readonly #gaps = new Map<string, Gap>();
  /** By replication: offsets that retention took before they were delivered. */
  readonly #lost = new Map<string, number>();
  readonly #deadLetterAttempts = { inFlight: 0 };
  readonly #results = new Map<TopologyStatus, number>();
  /** Records that wait behind one whose schema is being loaded. */
  #held: { batch: ConsumedBatch; from: number }[] = [];
  #position: number;
  #fetchPosition: number;
  #committed: number;
  #committedMetadata = '';
  #committedPositions: ReadonlyMap<number, number> = new Map();
  #committedAtMs: number;
  #settledSinceCommit = 0;
  #isPaused = false;
  #pausedAtMs = 0;
  #highWatermark: number;
  /** The last owner may still have attempts in flight (PROTOCOL A3). */
  #isQuietTime = false;
  #isHeldBack = false;
  readonly #warnedOfParent = new Set<string>();

  constructor(
    scope: TopicPartition & { readonly partitionCount: number },
    taskId: string,
    start: TaskStart,
    context: StreamTaskContext,
    owner: StreamTaskOwner,
  ) {
    this.scope = scope;
    this.taskId = taskId;
    this.#context = context;
    this.#owner = owner;
    this.#syncs = start.carried.s;
    this.#position = start.offset;
    this.#fetchPosition = start.offset;
    this.#committed = start.offset;
    this.#highWatermark = start.logEnd;
    this.#committedAtMs = context.clock.now();
    this.#window = new Window(start.offset, context.window);
    this.#lanes = new Lanes(context, this);
    this.#fanOut = new FanOut(context, (config) => this.#lanes.liveLaneOf(config));
    this.#catchUp = new CatchUp(context, this);
    const storing: StoreOptions = {
      signal: this.#closing.signal,
      attempts: this.#deadLetterAttempts,
      mayAttempt: () => this.mayAttempt(),
      onWaiting: (isWaiting) => {
        this.#setBlocked('dead_letters', isWaiting);
      },
    };
    this.#rejected = new RejectedRecords(context, scope, storing);
    this.#parked = new ParkedRecords({
      ...storing,
      deadLetters: context.deadLetters,
      onStored: (count) => {
        this.#settled(count);
      },
    });
    if (!start.isNew && !start.carried.isQuiet) this.#keepQuiet();
    this.#restore(start.carried.x);
  }

  /** The next offset that will be dispatched. */
  get position(): number {
    return this.#position;
  }

  /** The next offset to fetch: a batch fetched from anywhere else is stale. */
  get fetchPosition(): number {
    return this.#fetchPosition;
  }

  /** True while no records are fetched for the task. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** The last acknowledged commit. */
  get committedOffset(): number {
    return this.#committed;
  }

  get committedAtMs(): number {
    return this.#committedAtMs;
  }

  get window(): Window {
    return this.#window;
  }

  get highWatermark(): number {
    return this.#highWatermark;
  }

  get blockedReasons(): ReadonlySet<BlockReason> {
    return this.#blocked;
  }

  get lanes(): Iterable<Lane> {
    return this.#lanes.all();
  }

  /** Everything before this offset is settled for every replication but those with a position of their own. */
  committable(): number {
    let offset = Math.min(this.#position, this.#parked.position ?? this.#position);
    for (const lane of this.#activeLanes) {
      if (lane.isDetached) continue;
      const { position, countedFrom } = lane;
      if (position !== null) offset = Math.min(offset, Math.max(position, countedFrom));
    }
    return offset;
  }

  /** What is to be committed now, or null when the last acknowledged commit says the same. */
  dueCommit(): TaskCommit | null {
    const commit = this.finalCommit(false);
    const isSame = commit.offset === this.#committed && metadataOf(commit) === this.#committedMetadata;
    return isSame ? null : commit;
  }

  /** What is to be committed now, in any case. */
  finalCommit(isQuiet: boolean): TaskCommit {
    const offset = Math.max(this.committable(), this.#committed);
    const ownPositions = this.#lanes.ownPositions();
    return { offset, x: ownPositions, s: this.#syncs, isQuiet };
  }

  /** True while nothing that this task started is under way. */
  get isQuiet(): boolean {
    const { topic, partition } = this.scope;
    const key = `${topic}/${partition}`;
    if (this.#deadLetterAttempts.inFlight > 0) return false;
    for (const lane of this.#lanes.all()) if (lane.destination.attemptOf(key)) return false;
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

  /** True when nothing waits to be delivered or stored. */
  get isDrained(): boolean {
    return this.committable() === this.#position && this.#held.length === 0;
  }

  /** Takes up a batch that was fetched from `fetchPosition`, and returns at once. */
  accept(batch: ConsumedBatch): void {
    if (this.#closing.signal.aborted) return;
    this.#fetchPosition = batch.nextOffset;
    this.#highWatermark = batch.highWatermark;
    if (this.#held.length > 0) {
      this.#held.push({ batch, from: 0 });
      return;
    }
    this.#dispatch(batch, 0);
  }

  /** The log begins at `offset` now; what lay between is lost. */
  skipTo(offset: number): void {
    this.#position = offset;
    this.#fetchPosition = offset;
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
    if (state === 'PAUSED') this.#stopReplication(config, 'PAUSED', this.#position);
    else if (state !== 'ERROR') this.#resumeReplication(config);
    else if (isActivationFailed && !this.#lanes.keepsPosition(config) && !this.#lanes.parkedOf(config))
      this.#stopReplication(config, 'ERROR', null);
    else this.#stopReplication(config, 'ERROR', this.#position);
  }

  /** The coordinator has acknowledged this commit. */
  onCommitted(commit: TaskCommit): void {
    const { offset, x } = commit;
    this.#committed = offset;
    this.#committedMetadata = metadataOf(commit);
    this.#committedPositions = new Map(x.map(({ replication, position }) => [replication, position]));
    this.#committedAtMs = this.#context.clock.now();
    this.#settledSinceCommit = 0;
    this.#window.committed(offset);
    this.maybeResume();
    this.#catchUp.wake();
  }

  /**
   * Detaches lanes that deliver nothing for longer than their grace, and those that keep the partition from going on
   * while others could: they hold the older half of a window that has been full for a moment, and the others wait.
   * `activeReplications` are all that the table knows: one whose mutations haven't come yet waits too.
   */
  detachLaggards(nowMs: number, activeReplications: number): void {
    const live = [...this.#activeLanes].filter((lane) => !lane.isDetached && lane.position !== null);
    for (const lane of live) {
      if (nowMs - lane.lastProgressMs >= this.#context.detachAfterMs) this.#detach(lane, 'it stands still');
    }
    if (!this.#isPaused || this.#held.length > 0 || nowMs - this.#pausedAtMs < FULL_WINDOW_GRACE_MS) return;
    const start = this.committable();
    const span = this.#position - start;
    const behind = live.filter((lane) => !lane.isDetached && (lane.position ?? 0) <= start + span / 2);
    const isBetween = ({ isDetached, position }: Lane): boolean =>
      !isDetached && position !== null && position > start + span / 2 && position < start + (span * 3) / 4;
    if (behind.length === 0 || behind.length >= activeReplications || live.some(isBetween)) return;
    for (const lane of behind) this.#detach(lane, 'it is slower than the others');
  }

  /** How the partition stands for the replications that don't just follow the committed offset. */
  reports(): readonly PartitionReport[] {
    const reports = new Map<string, PartitionReport>();
    for (const id of new Set([...this.#gaps.keys(), ...this.#lost.keys()]))
      reports.set(id, this.#reportOf(id, 'ACTIVE', this.#committed));
    for (const lane of this.#lanes.all()) {
      const { id } = lane.destination;
      if (lane.isDetached) reports.set(id, this.#reportOf(id, 'DETACHED', lane.position ?? this.#position));
    }
    for (const { config, kind, position } of this.#lanes.parked()) {
      const isPaused = kind === 'PAUSED' || config.status === 'PAUSED';
      reports.set(config.id, this.#reportOf(config.id, isPaused ? 'PAUSED' : 'STOPPED', position));
    }
    return [...reports.values()];
  }

  /** Feeds detached replications no more; what they have is still delivered. */
  stopReplays(): void {
    this.#catchUp.close();
  }

  replayLimit(lane: Lane): number {
    const committed = this.#committedPositions.get(identityHash(lane.destination.config)) ?? this.#committed;
    return committed + this.#context.window.maxRecords;
  }

  get isShortOfMemory(): boolean {
    return this.#context.pool.isFull;
  }

  attach(lane: Lane): void {
    lane.attach(this.#position);
    this.#fanOut.refresh(lane.destination.config.datamart);
    const { id } = lane.destination;
    this.#context.logger.info({ ...this.#at, replication_id: id }, 'the replication has caught up');
    this.#owner.commitSoon();
  }

  commitSoon(): void {
    this.#owner.commitSoon();
  }

  lost(lane: Lane, from: number, to: number): void {
    const { logger, metrics } = this.#context;
    const { id } = lane.destination;
    metrics.lostOffsets.add(to - from, id);
    this.#lost.set(id, (this.#lost.get(id) ?? 0) + to - from);
    logger.error(
      { ...this.#at, replication_id: id, offset: from, lost: to - from },
      `retention has passed the replication’s position: offsets ${from} to ${to - 1} are lost to it`,
    );
  }

  /** Fetches on when there is room again. */
  maybeResume(): void {
    if (!this.#context.pool.isFull) this.#catchUp.wake();
    if (!this.#isPaused || this.#held.length > 0) return;
    if (!this.#window.isHalfEmpty || this.#context.pool.isFull) {
      if (this.#settledSinceCommit > 0) this.#owner.commitSoon();
      return;
    }
    this.#isPaused = false;
    this.#owner.resume(this);
  }

  /** Starts nothing more. What is in flight ends by itself and counts for nothing. Idempotent. */
  close(): void {
    this.#closing.abort();
    this.#catchUp.close();
    this.#lanes.close();
    this.#fanOut.close();
    this.#held = [];
  }

  mayAttempt(): boolean {
    const may = !this.#closing.signal.aborted && !this.#isQuietTime && this.#context.lease.mayStart();
    if (!may) this.#isHeldBack = true;
    return may;
  }

  /** Attempts may start again: what was held back is tried. */
  goOn(): void {
    if (!this.#isHeldBack || this.#isQuietTime) return;
    this.#isHeldBack = false;
    const now = this.#context.clock.now();
    for (const lane of this.#lanes.all()) lane.pump(now);
  }

  laneActive(lane: Lane, isActive: boolean): void {
    if (isActive) this.#activeLanes.add(lane);
    else this.#activeLanes.delete(lane);
  }

  laneProgressed(lane: Lane, count: number): void {
    if (lane.isDetached) this.#catchUp.wake();
    this.#settled(count);
  }

  laneFailed(lane: Lane): void {
    if (!lane.isDetached) return;
    if (lane.destination.admission.failures >= DOWN_AFTER_FAILURES || this.#context.pool.isFull)
      this.#catchUp.restart(lane);
  }

  storeRejected(offset: number, replicationId: string, error: SinkError): Promise<void> {
    return this.#rejected.store(offset, replicationId, error);
  }

  get #at(): TopicPartition {
    return { topic: this.scope.topic, partition: this.scope.partition };
  }

  /** Goes on from the positions that the claimed commit carried. */
  #restore(positions: readonly OwnPosition[]): void {
    const { table } = this.#context;
    this.#lanes.carryOver(positions);
    for (const config of table.all()) {
      const stance = this.#context.stanceOf(config);
      const isServed = stance.state === 'ACTIVE' || stance.state === 'ACTIVATING';
      if (!isServed || positions.length > 0) this.onStance(config, stance);
      const report = this.#context.statusOf(config.id, this.scope);
      if (report?.gap) this.#gaps.set(config.id, report.gap);
    }
  }

  #keepQuiet(): void {
    this.#isQuietTime = true;
    this.#context.clock.schedule(QUIET_TIME_MS, () => {
      this.#isQuietTime = false;
      this.goOn();
    });
  }

  /** Starts nothing more for the replication; it keeps its first undelivered offset, or has none (`position` null). */
  #stopReplication(config: ReplicationConfig, kind: OwnPositionKind, position: number | null): void {
    const lane = this.#lanes.laneOf(config);
    if (lane) this.#catchUp.remove(lane);
    // The kind tells how it goes on: after an ERROR from where it stopped, also when it was paused in between.
    const isStillError = this.#lanes.parkedOf(config)?.kind === 'ERROR';
    this.#lanes.park(config, isStillError ? 'ERROR' : kind, position);
    this.#fanOut.refresh(config.datamart);
    if (lane) this.#owner.commitSoon();
  }

  #resumeReplication(config: ReplicationConfig): void {
    const parked = this.#lanes.parkedOf(config);
    if (!parked) return;
    const { kind, position } = parked;
    const wanted = config.resume ?? (kind === 'ERROR' ? 'WHERE_STOPPED' : 'NOW');
    this.#lanes.forget(config);
    if (position === null || position === this.#position) this.#owner.commitSoon();
    else if (kind === 'DETACHED' || wanted === 'WHERE_STOPPED')
      this.#catchUp.add(this.#lanes.openDetached(config, position));
    else this.#resumeFromNow(config, { from: position, to: this.#position });
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
    const lostOffsets = this.#lost.get(id) ?? 0;
    return { ...this.#at, replicationId: id, state, offset, gap, lostOffsets };
  }

  #detach(lane: Lane, why: string): void {
    const { logger, metrics } = this.#context;
    const { id, config } = lane.destination;
    lane.detach(this.#position);
    this.#fanOut.refresh(config.datamart);
    metrics.detaches.add(1, id);
    logger.warn(
      { ...this.#at, replication_id: id, offset: lane.position, code: lane.destination.lastFailure?.code },
      `the partition waits for the replication no longer: ${why}; it catches up from offset ${lane.position ?? 0}`,
    );
    this.#catchUp.add(lane);
    this.#owner.commitSoon();
  }

  #settled(count: number): void {
    this.#settledSinceCommit += count;
    if (this.#settledSinceCommit >= COMMIT_EVERY_OPERATIONS || this.#isPaused) this.#owner.commitSoon();
  }

  #dispatch(batch: ConsumedBatch, from: number): void {
    const { topology, clock } = this.#context;
    const arrival = clock.now();
    let bytes = 0;
    let next = from;
    let needsSchema = false;
    for (; next < batch.records.length && !needsSchema; next += 1) {
      const record = batch.records[next];
      if (!record || record.offset < this.#position) continue;
      const status = topology.process(record.value);
      if (status === 'schema_needed') {
        needsSchema = true;
        this.#position = record.offset;
        break;
      }
      if (status === 'ok' || status === 'not_in_schema') this.#forward(record, arrival);
      else if (isDeadLetterReason(status)) this.#park(record, status);
      this.#results.set(status, (this.#results.get(status) ?? 0) + 1);
      bytes += (record.value?.length ?? 0) + (record.key?.length ?? 0);
    }
    if (!needsSchema) this.#position = batch.nextOffset;
    this.#window.dispatched(this.#position, next - from, bytes);
    this.#flushResults();
    this.#fanOut.pumpTouched(arrival);
    this.#catchUp.wake();
    void this.#parked.store();
    if (needsSchema) this.#holdForSchema(batch, next);
    this.#maybePause();
  }

  #forward({ offset, timestamp }: ConsumedRecord, arrival: number): void {
    const { mutation, plan } = this.#context.topology;
    this.#fanOut.append(mutation, plan, { offset, timestamp, arrival });
    if (mutation.docType === USER_POINT_PARENT) this.#countNotInSchema(plan);
  }

  #countNotInSchema(plan: DatamartPlan): void {
    for (const { id } of plan.parentNotInSchema) {
      this.#context.metrics.operations.add(1, id, 'not_in_schema');
      if (this.#warnedOfParent.has(id)) continue;
      this.#warnedOfParent.add(id);
      this.#context.logger.warn(
        { replication_id: id },
        'UserPointParent operations are not in the version 2 schema and are skipped; "user_point_parent": true sends them',
      );
    }
  }

  /** The record's offset is held until its dead letter is durable. */
  #park(record: ConsumedRecord, reason: DeadLetterReason): void {
    const { mutation, schemaId, detail } = this.#context.topology;
    const { topic, partition } = this.scope;
    this.#parked.park(record, {
      reason,
      detail,
      topic,
      partition,
      offset: record.offset,
      ...(mutation.datamart === 0 ? {} : { datamartId: String(mutation.datamart) }),
      ...(schemaId >= 0 ? { schemaId } : {}),
    });
  }

  /** Nothing behind the record is dispatched before its schema is known, so that order holds. */
  #holdForSchema(batch: ConsumedBatch, from: number): void {
    this.#held.push({ batch, from });
    this.#pause();
    void this.#loadSchema(this.#context.topology.schemaId);
  }

  async #loadSchema(schemaId: number): Promise<void> {
    const { schemas, clock, logger } = this.#context;
    const { signal } = this.#closing;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const { status, detail } = await schemas.load(schemaId, signal).catch(() => ABORTED_LOAD);
      const isWaiting = status === 'unavailable' || status === 'unconfigured';
      this.#setBlocked('registry', status === 'unavailable');
      this.#setBlocked('registry_not_configured', status === 'unconfigured');
      if (!isWaiting) break;
      if (attempt % SCHEMA_LOG_EVERY === 0) {
        const { topic, partition } = this.scope;
        logger.error({ topic, partition, schema_id: schemaId }, `the partition waits: ${detail}`);
      }
      await sleep(clock, SCHEMA_RETRY_MS, signal);
    }
    if (signal.aborted) return;
    const held = this.#held;
    this.#held = [];
    for (const [i, { batch, from }] of held.entries()) {
      this.#dispatch(batch, from);
      if (this.#held.length > 0) {
        this.#held.push(...held.slice(i + 1));
        return;
      }
    }
    this.maybeResume();
  }

  #setBlocked(reason: BlockReason, isBlocked: boolean): void {
    if (isBlocked) this.#blocked.add(reason);
    else this.#blocked.delete(reason);
  }

  #flushResults(): void {
    const { mutations } = this.#context.metrics;
    for (const [status, count] of this.#results) mutations.add(count, this.scope.topic, resultOf(status));
    this.#results.clear();
  }

  #maybePause(): void {
    if (this.#window.isFull || this.#context.pool.isFull) {
      this.#pause();
      this.#owner.commitSoon();
    }
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#pausedAtMs = this.#context.clock.now();
    this.#owner.pause(this);
  }
}

/** Equal texts say the same beside the offset. */
function metadataOf({ x, s, isQuiet }: TaskCommit): string {
  return `${packPositions(x)} ${JSON.stringify(s)} ${isQuiet}`;
}

function isDeadLetterReason(status: TopologyStatus): status is DeadLetterReason {
  return resultOf(status) === 'dead_lettered';
}

/** The label `result` of `mutations_total`. */
function resultOf(
  status: TopologyStatus,
): 'replicated' | 'unwanted' | 'ignored' | 'tombstone' | 'dead_lettered' {
  switch (status) {
    case 'ok':
      return 'replicated';
    case 'unwanted':
    case 'ignored':
    case 'tombstone':
      return status;
    case 'not_in_schema':
      return 'unwanted';
    default:
      return 'dead_lettered';
  }
}
