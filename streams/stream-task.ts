import type { DatamartPlan } from '../processors/datamart-plan.ts';
import type { Topology, TopologyStatus } from '../processors/topology.ts';
import { USER_POINT_PARENT } from '../schemas/document-type.ts';
import type { DatamartKey, DeadLetterReason } from '../schemas/mutation.ts';
import type { SchemaLoad } from '../schemas/schema-cache.ts';
import type { SinkError } from '../sinks/sink.ts';
import type { CarriedPositions } from './claim.ts';
import { sleep } from './clock.ts';
import { copyRecord, type DeadLetterCause, type DeadLetters } from './dead-letters.ts';
import { FanOut, type FanOutContext } from './fan-out.ts';
import type { ConsumedBatch, ConsumedRecord, PartitionReader, TopicPartition } from './kafka-port.ts';
import type { Lane, LaneOwner } from './lane.ts';
import type { Logger } from './logger.ts';
import { ParkedRecords } from './parked-records.ts';
import { Window } from './window.ts';

/** Why a partition can't go on; `partition_blocked{reason}` shows it. */
export type BlockReason = 'registry_not_configured' | 'registry' | 'dead_letters';

export interface StreamTaskContext extends FanOutContext {
  readonly topology: Topology;
  readonly deadLetters: DeadLetters;
  readonly reader: PartitionReader;
  readonly schemas: SchemaLoader;
  readonly logger: Logger;
  readonly window: { readonly maxRecords: number; readonly maxBytes: number };
}

/** Loads the Avro schemas that records name. Rejects only when `signal` aborts. */
export interface SchemaLoader {
  load(schemaId: number, signal: AbortSignal): Promise<SchemaLoad>;
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
export class StreamTask implements LaneOwner {
  /** Names this task in the metadata of its commits (PROTOCOL A1, A2). */
  readonly taskId: string;
  readonly scope: TopicPartition & { readonly partitionCount: number };
  /** Positions of parked replications and syncs that travel with every commit, unchanged. */
  readonly carried: CarriedPositions;
  readonly #context: StreamTaskContext;
  readonly #owner: StreamTaskOwner;
  readonly #window: Window;
  readonly #fanOut: FanOut;
  readonly #activeLanes = new Set<Lane>();
  readonly #parked: ParkedRecords;
  readonly #closing = new AbortController();
  readonly #blocked = new Set<BlockReason>();
  readonly #results = new Map<TopologyStatus, number>();
  /** Records that wait behind one whose schema is being loaded. */
  #held: { batch: ConsumedBatch; from: number }[] = [];
  #position: number;
  #fetchPosition: number;
  #committed: number;
  #committedAtMs: number;
  #settledSinceCommit = 0;
  #isPaused = false;
  #highWatermark: number;
  readonly #warnedOfParent = new Set<string>();

  constructor(
    scope: TopicPartition & { readonly partitionCount: number },
    taskId: string,
    start: { readonly offset: number; readonly logEnd: number; readonly carried: CarriedPositions },
    context: StreamTaskContext,
    owner: StreamTaskOwner,
  ) {
    this.scope = scope;
    this.taskId = taskId;
    this.#context = context;
    this.#owner = owner;
    this.carried = start.carried;
    this.#position = start.offset;
    this.#fetchPosition = start.offset;
    this.#committed = start.offset;
    this.#highWatermark = start.logEnd;
    this.#committedAtMs = context.clock.now();
    this.#window = new Window(start.offset, context.window);
    this.#fanOut = new FanOut(context, this);
    this.#parked = new ParkedRecords({
      deadLetters: context.deadLetters,
      signal: this.#closing.signal,
      onWaiting: (isWaiting) => {
        this.#setBlocked('dead_letters', isWaiting);
      },
      onStored: (count) => {
        this.laneProgressed(count);
      },
    });
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

  get lanes(): IterableIterator<Lane> {
    return this.#fanOut.lanes;
  }

  /** Everything before this offset is delivered, stored as a dead letter, or wanted by nobody. */
  committable(): number {
    let offset = Math.min(this.#position, this.#parked.position ?? this.#position);
    for (const lane of this.#activeLanes) {
      const position = lane.position;
      if (position !== null && position < offset) offset = position;
    }
    return offset;
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

  /** A replication of the datamart changed: paused and deleted ones stop at once, new ones begin with the next mutation. */
  onTableChanged(datamart: DatamartKey, plan: DatamartPlan): void {
    this.#fanOut.onPlanChanged(datamart, plan);
  }

  /** The coordinator has acknowledged a commit of this offset. */
  onCommitted(offset: number): void {
    this.#committed = offset;
    this.#committedAtMs = this.#context.clock.now();
    this.#settledSinceCommit = 0;
    this.#window.committed(offset);
    this.maybeResume();
  }

  /** Fetches on when there is room again. */
  maybeResume(): void {
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
    this.#fanOut.close();
    this.#held = [];
  }

  laneActive(lane: Lane, isActive: boolean): void {
    if (isActive) this.#activeLanes.add(lane);
    else this.#activeLanes.delete(lane);
  }

  laneProgressed(count: number): void {
    this.#settledSinceCommit += count;
    if (this.#settledSinceCommit >= COMMIT_EVERY_OPERATIONS || this.#isPaused) this.#owner.commitSoon();
  }

  async storeRejected(offset: number, replicationId: string, error: SinkError): Promise<void> {
    const record = await this.#readAgain(offset);
    const { topic, partition } = this.scope;
    const cause: DeadLetterCause = {
      reason: error.code === 'too_large' ? 'too_large' : 'rejected',
      detail: error.message,
      topic,
      partition,
      offset,
      replicationId,
      code: error.code,
    };
    await this.#context.deadLetters.store([{ record, cause }], this.#closing.signal, (isWaiting) => {
      this.#setBlocked('dead_letters', isWaiting);
    });
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

  /** Reads the original record of an operation that its destination rejected. */
  async #readAgain(offset: number): Promise<ConsumedRecord> {
    const { reader, clock, random, logger } = this.#context;
    const lost: ConsumedRecord = { offset, timestamp: clock.now(), key: null, value: null, headers: {} };
    for (let attempt = 0; attempt < 5 && !this.#closing.signal.aborted; attempt += 1) {
      try {
        const batch = await reader.read(this.scope, offset, 1_000);
        const record = batch.records.find((candidate) => candidate.offset === offset);
        return record ? copyRecord(record) : lost;
      } catch (error) {
        logger.warn({ ...this.scope, offset, error: error }, 'a rejected record can’t be read again yet');
        await sleep(clock, 100 + Math.ceil(random() * 400), this.#closing.signal);
      }
    }
    return lost;
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
    this.#owner.pause(this);
  }
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
