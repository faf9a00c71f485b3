import type { DatamartPlan } from '../processors/datamart-plan.ts';
import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { Topology, TopologyStatus } from '../processors/topology.ts';
import { USER_POINT_PARENT } from '../schemas/document-type.ts';
import type { DeadLetterReason } from '../schemas/mutation.ts';
import type { SchemaLoad } from '../schemas/schema-cache.ts';
import type { SinkError } from '../sinks/sink.ts';
import { sleep } from './clock.ts';
import { packPositions, type CommitMetadata, type OwnPosition } from './commit-metadata.ts';
import type { DeadLetters, StoreOptions } from './dead-letters.ts';
import type { SyncTaskContext, SyncTaskOwner } from './initial-sync/sync-task.ts';
import { SyncTasks } from './initial-sync/sync-tasks.ts';
import type { ConsumedBatch, ConsumedRecord, PartitionWriter, TopicPartition } from './kafka-port.ts';
import type { Lane } from './lane.ts';
import { QUIET_TIME_MS, type Lease } from './lease.ts';
import { ParkedRecords } from './parked-records.ts';
import { RejectedRecords, type RejectingReplication } from './rejected-records.ts';
import type { Stance } from './replication-states.ts';
import { SnapshotWriter, type SnapshotWriterOwner } from './snapshot/snapshot-writer.ts';
import {
  TaskReplications,
  type TaskReplicationsContext,
  type TaskReplicationsOwner,
} from './task-replications.ts';
import { Window } from './window.ts';

/** Why a partition can't go on; `partition_blocked{reason}` shows it. */
export type BlockReason = 'registry_not_configured' | 'registry' | 'dead_letters' | 'snapshot';

export interface StreamTaskContext
  extends TaskReplicationsContext, Omit<SyncTaskContext, keyof TaskReplicationsContext> {
  readonly topology: Topology;
  readonly deadLetters: DeadLetters;
  readonly window: { readonly maxRecords: number; readonly maxBytes: number };
  readonly lease: Lease;
  /** Beside the mutation topic. */
  readonly snapshotTopic: string;
  /** Copies the mutations there; null when this program doesn't keep the snapshot. */
  readonly snapshotWriter: PartitionWriter | null;
}

/** Where a task begins. */
export interface TaskStart {
  readonly offset: number;
  readonly logEnd: number;
  readonly carried: CommitMetadata;
  /** What retention took before it was taken up, `[from, to)`. */
  readonly lost: { readonly from: number; readonly to: number } | null;
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
export class StreamTask implements TaskReplicationsOwner, SyncTaskOwner {
  /** Names this task in the metadata of its commits (PROTOCOL A1, A2). */
  readonly taskId: string;
  readonly scope: TopicPartition & { readonly partitionCount: number };
  readonly snapshot: TopicPartition;
  readonly #context: StreamTaskContext;
  readonly #owner: StreamTaskOwner;
  readonly #window: Window;
  /** How the partition stands for each replication. */
  readonly replications: TaskReplications;
  /** Initial synchronizations of the snapshot partition beside it. */
  readonly syncs: SyncTasks;
  readonly #rejected: RejectedRecords;
  readonly #rejectedRows: RejectedRecords;
  readonly #parked: ParkedRecords;
  readonly #snapshot: SnapshotWriter | null;
  readonly #closing = new AbortController();
  readonly #blocked = new Set<BlockReason>();
  readonly #deadLetterAttempts = { inFlight: 0 };
  readonly #results = new Map<TopologyStatus, number>();
  /** Fetched records that wait: behind one whose schema is being loaded, or for memory. */
  #held: { batch: ConsumedBatch; from: number }[] = [];
  #isLoadingSchema = false;
  #position: number;
  #fetchPosition: number;
  #committed: number;
  #committedMetadata = '';
  #committedAtMs: number;
  #settledSinceCommit = 0;
  #isPaused = false;
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
    this.#position = start.offset;
    this.#fetchPosition = start.offset;
    this.#committed = start.offset;
    this.#highWatermark = start.logEnd;
    this.#committedAtMs = context.clock.now();
    this.#window = new Window(start.offset, context.window);
    this.replications = new TaskReplications(context, this);
    const storing: StoreOptions = {
      signal: this.#closing.signal,
      attempts: this.#deadLetterAttempts,
      mayAttempt: () => this.mayAttempt(),
      onWaiting: (isWaiting) => {
        this.#setBlocked('dead_letters', isWaiting);
      },
    };
    this.snapshot = { topic: context.snapshotTopic, partition: scope.partition };
    this.#rejected = new RejectedRecords(context, scope, storing);
    this.#rejectedRows = new RejectedRecords(context, this.snapshot, storing);
    this.#parked = new ParkedRecords({
      ...storing,
      deadLetters: context.deadLetters,
      onStored: (count) => {
        this.onSettled(count);
      },
    });
    const { snapshotWriter: writer } = context;
    this.#snapshot = writer && new SnapshotWriter({ ...context, writer }, this.#snapshotOwner());
    if (!start.isNew && !start.carried.isQuiet) this.#keepQuiet();
    this.replications.restore(start.carried.x);
    if (start.lost) this.replications.lostToFollowers(start.lost.from, start.lost.to);
    this.syncs = new SyncTasks(start.carried.s, { ...context, pool: context.pool.replays }, this);
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

  get lag(): number {
    return Math.max(0, this.#highWatermark - this.#position);
  }

  get isShortOfMemory(): boolean {
    return this.replications.isShortOfMemory;
  }

  get memoryShare(): number {
    return this.replications.memoryShare;
  }

  get blockedReasons(): ReadonlySet<BlockReason> {
    return this.#blocked;
  }

  get lanes(): Iterable<Lane> {
    return this.replications.lanes;
  }

  /** Everything before this offset is settled for every replication but those with a position of their own. */
  committable(): number {
    return Math.min(
      this.#position,
      this.#parked.position ?? this.#position,
      this.#snapshot?.position ?? this.#position,
      this.replications.heldFrom() ?? this.#position,
    );
  }

  /** What is to be committed now, or null when the last acknowledged commit says the same. */
  dueCommit(): TaskCommit | null {
    const commit = this.#commit(false);
    const isSame = commit.offset === this.#committed && metadataOf(commit) === this.#committedMetadata;
    return isSame ? null : commit;
  }

  /**
   * What is to be committed before the partition is given up, or may be. Not quiet within the task's own quiet time: an
   * attempt of the owner before may still take effect.
   */
  lastCommit(): TaskCommit {
    return this.#commit(this.isQuiet && !this.#isQuietTime);
  }

  /** True when nothing that this task started can still take effect anywhere (PROTOCOL A3, A6). */
  get isQuiet(): boolean {
    const isSnapshotQuiet = this.#snapshot?.isQuiet ?? true;
    return this.#deadLetterAttempts.inFlight === 0 && isSnapshotQuiet && this.replications.isQuiet;
  }

  /** True when nothing that was taken up waits to be delivered or stored. */
  get isDrained(): boolean {
    return this.committable() === this.#position;
  }

  /** True while the snapshot hasn't got all that was taken up. */
  get isStoring(): boolean {
    return this.#snapshot !== null && this.#snapshot.position !== null;
  }

  /** The task takes up nothing more: nothing of it waits for company, nor is caught up with. */
  finish(): void {
    this.#snapshot?.flush();
    this.replications.stopReplays();
  }

  /** Takes up a batch that was fetched from `fetchPosition`, and returns at once. */
  accept(batch: ConsumedBatch): void {
    if (this.#closing.signal.aborted) return;
    this.#fetchPosition = batch.nextOffset;
    this.#highWatermark = batch.highWatermark;
    // An open transaction holds back what follows.
    if (batch.nextOffset === batch.fetchedOffset) return;
    if (this.#held.length > 0) {
      this.#held.push({ batch, from: 0 });
      return;
    }
    this.#dispatch(batch, 0);
  }

  /** The log begins at `offset` now; what lay between is lost. */
  skipTo(offset: number): void {
    this.replications.lostToFollowers(this.#position, offset);
    this.#position = offset;
    this.#fetchPosition = offset;
  }

  /** The coordinator has acknowledged this commit. */
  onCommitted(commit: TaskCommit): void {
    const { offset, x } = commit;
    this.#committed = offset;
    this.#committedMetadata = metadataOf(commit);
    this.#committedAtMs = this.#context.clock.now();
    this.#settledSinceCommit = 0;
    this.#window.committed(offset);
    this.replications.onCommitted(x);
    this.syncs.onCommitted(commit.s);
    this.maybeResume();
  }

  /** Fetches on when there is room again. */
  maybeResume(): void {
    if (!this.#context.pool.isFull) {
      this.replications.wake();
      this.syncs.wake();
    }
    if (!this.#isPaused || this.#isLoadingSchema) return;
    if (!this.#window.isHalfEmpty || this.#context.pool.isFull) {
      if (this.#settledSinceCommit > 0) this.#owner.commitSoon();
      return;
    }
    this.#dispatchHeld();
    if (this.#held.length > 0 || this.#isFull) return;
    this.#isPaused = false;
    this.#owner.resume(this);
  }

  /** Starts nothing more. What is in flight ends by itself and counts for nothing. Idempotent. */
  close(): void {
    this.#closing.abort();
    this.#snapshot?.close();
    this.syncs.close();
    this.replications.close();
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
    this.replications.goOn(this.#context.clock.monotonic());
  }

  onSettled(count: number): void {
    this.#settledSinceCommit += count;
    if (this.#settledSinceCommit >= COMMIT_EVERY_OPERATIONS || this.#isPaused) this.#owner.commitSoon();
  }

  storeRejected(offset: number, replication: RejectingReplication, error: SinkError): Promise<void> {
    return this.#rejected.store(offset, replication, error);
  }

  storeRejectedRow(offset: number, replication: RejectingReplication, error: SinkError): Promise<void> {
    return this.#rejectedRows.store(offset, replication, error);
  }

  stanceOf(config: ReplicationConfig): Stance {
    return this.#context.stanceOf(config);
  }

  followingLaneOf(config: ReplicationConfig): Lane | null {
    return this.replications.followingLaneOf(config);
  }

  hasOpenGap(config: ReplicationConfig): boolean {
    return this.replications.hasOpenGap(config);
  }

  hasMissed(config: ReplicationConfig): boolean {
    return this.replications.hasMissed(config);
  }

  madeUp(config: ReplicationConfig, offset: number): void {
    this.replications.madeUp(config, offset);
  }

  commitSoon(): void {
    this.#owner.commitSoon();
  }

  #commit(isQuiet: boolean): TaskCommit {
    const offset = Math.max(this.committable(), this.#committed);
    return { offset, x: this.replications.ownPositions(), s: this.syncs.positions(), isQuiet };
  }

  #keepQuiet(): void {
    this.#isQuietTime = true;
    this.#context.clock.schedule(QUIET_TIME_MS, () => {
      this.#isQuietTime = false;
      this.goOn();
    });
  }

  #dispatch(batch: ConsumedBatch, from: number): void {
    const { topology, clock, pool } = this.#context;
    const arrival = clock.monotonic();
    let bytes = 0;
    let next = from;
    let waitsFor: ConsumedRecord | null = null;
    let needsSchema = false;
    for (; next < batch.records.length; next += 1) {
      const record = batch.records[next];
      if (!record || record.offset < this.#position) continue;
      if (pool.isFull) {
        waitsFor = record;
        break;
      }
      const status = topology.process(record.value);
      if (status === 'schema_needed') {
        waitsFor = record;
        needsSchema = true;
        break;
      }
      if (topology.isDecoded) this.#take(record);
      if (status === 'ok' || status === 'not_in_schema') this.#forward(record, arrival);
      else if (isDeadLetterReason(status)) this.#park(record, status);
      this.#results.set(status, (this.#results.get(status) ?? 0) + 1);
      bytes += (record.value?.length ?? 0) + (record.key?.length ?? 0);
    }
    this.#position = waitsFor?.offset ?? batch.nextOffset;
    this.#window.dispatched(this.#position, next - from, bytes);
    this.#flushResults();
    this.replications.onDispatched(arrival);
    void this.#parked.store();
    if (waitsFor) this.#held.push({ batch, from: next });
    if (needsSchema) void this.#loadSchema(topology.schemaId);
    this.#maybePause();
  }

  /** In order, until one of them must wait again. */
  #dispatchHeld(): void {
    const held = this.#held;
    this.#held = [];
    for (const [i, { batch, from }] of held.entries()) {
      this.#dispatch(batch, from);
      if (this.#held.length === 0) continue;
      this.#held.push(...held.slice(i + 1));
      return;
    }
  }

  /** Whether anybody wants the mutation or not. */
  #take(record: ConsumedRecord): void {
    const { table, topology } = this.#context;
    const { mutation } = topology;
    if (table.has(mutation.datamart)) {
      this.replications.saw(mutation, record.offset);
      this.syncs.saw(mutation);
    }
    this.#snapshot?.append(mutation, record);
  }

  #snapshotOwner(): SnapshotWriterOwner {
    return {
      scope: this.scope,
      mayAttempt: () => this.mayAttempt(),
      onSettled: (count) => {
        this.onSettled(count);
      },
      onWaiting: (isWaiting) => {
        this.#setBlocked('snapshot', isWaiting);
      },
      storeTooLarge: (offset, detail) => this.#rejected.storeAs(offset, { reason: 'too_large', detail }),
    };
  }

  #forward({ offset, timestamp }: ConsumedRecord, arrival: number): void {
    const { mutation, plan } = this.#context.topology;
    this.replications.append(mutation, plan, { offset, timestamp, arrival });
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

  /** Nothing behind the record that needs the schema is dispatched before it is known, so that order holds. */
  async #loadSchema(schemaId: number): Promise<void> {
    this.#isLoadingSchema = true;
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
    this.#isLoadingSchema = false;
    this.#dispatchHeld();
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

  get #isFull(): boolean {
    return this.#window.isFull || this.#context.pool.isFull;
  }

  #maybePause(): void {
    if (this.#isFull) this.#owner.commitSoon();
    if (this.#isPaused || (!this.#isFull && this.#held.length === 0)) return;
    this.#isPaused = true;
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
