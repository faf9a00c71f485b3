import { assertNever } from '../schemas/assert-never.ts';
import type { DatamartKey } from '../schemas/mutation.ts';
import type { SendOutcome, SinkError } from '../sinks/sink.ts';
import type { Applicant } from './admission.ts';
import type { Clock } from './clock.ts';
import type { Destination } from './destination.ts';
import type { Linger, Lingering } from './linger.ts';
import type { EngineMetrics } from './metrics.ts';
import type { RejectingReplication } from './rejected-records.ts';
import type { SegmentLog, SegmentReader } from './segment-log.ts';
import type { SegmentPool } from './segment-pool.ts';
import { SegmentSlice, type MessageIdScope, type Segment } from './segment.ts';

/** What a lane needs of its task. */
export interface LaneOwner {
  readonly scope: MessageIdScope & { readonly topic: string };
  /** Whether an attempt may start now (PROTOCOL A3); when not, the lane is pumped again once it may. */
  mayAttempt(): boolean;
  /** The lane has something to deliver, or nothing more. */
  laneActive(lane: Lane, isActive: boolean): void;
  /** Operations were settled: delivered, or stored as dead letters. */
  laneProgressed(lane: Lane, count: number): void;
  /** A request of the lane failed; what it held is sent again unless the lane is told otherwise. */
  laneFailed(lane: Lane): void;
  /** Stores a record that the destination rejects. Resolves when it is durable; never rejects. */
  storeRejected(offset: number, replication: RejectingReplication, error: SinkError): Promise<void>;
}

export interface LaneContext {
  readonly clock: Clock;
  readonly linger: Linger;
  readonly metrics: EngineMetrics;
  readonly pool: SegmentPool;
}

/** A segment that waits in a lane. */
export interface QueuedSegment {
  readonly segment: Segment;
  readonly log: SegmentLog;
  /** First entry not delivered. */
  cursor: number;
  /** The queue of rows that it is in; null for mutations. */
  readonly rows: LaneRows | null;
}

/** Rows of a snapshot that a lane delivers beside its mutations. */
export interface LaneRows {
  /** In the order in which they are to be sent. */
  readonly entries: readonly QueuedSegment[];
  /** Whether the document was changed or deleted by a mutation that the task has dispatched (PROTOCOL B4). */
  isNewer(high: number, low: number): boolean;
  delivered(segment: Segment, from: number, to: number): void;
  skipped(count: number): void;
  /** Stores a row that the destination rejects. Resolves when it is durable; never rejects. */
  storeRejected(offset: number, error: SinkError): Promise<void>;
  rejected(): void;
  /** Nothing of the entry is needed any more. */
  remove(entry: QueuedSegment): void;
  /** The lane serves the rows no longer: returns what was queued. */
  giveUp(): readonly QueuedSegment[];
}

/**
 * The FIFO of one replication in one task: a cursor over segments, with one request in flight, retried in place.
 *
 * ```
 *            records old enough           slot at the destination          answered
 *   idle ───────────────────────▶ applying ───────────────────▶ sending ─────────────▶ idle
 *                                    ▲                            │  │
 *                                    └── failed: the same again ──┘  └─ rejected ─▶ storing a dead letter ─▶ idle
 *
 *   any ── close ──▶ closed: starts nothing more; an answer that comes later counts for nothing
 * ```
 *
 * Its segments come from the live mutations, or, while it is detached, from a replay that `fed` it up to some offset.
 * Beside the live mutations, and after them, it delivers the rows of an initial synchronization: a row gets its place in
 * the order when its request is built, and only if no mutation of its document was dispatched before (PROTOCOL B4).
 * Order holds because nothing newer of an ordering lane is sent before the older was answered, and nothing newer at all
 * while the outcome of an attempt is open (PROTOCOL A6). A segment's bytes stay until the request that reads them has
 * ended, also after `detach` and `close`.
 */
export class Lane implements Lingering, SegmentReader, Applicant {
  readonly #destination: Destination;
  readonly #owner: LaneOwner;
  readonly #context: LaneContext;
  readonly #partitionKey: string;
  #queue: QueuedSegment[] = [];
  #rows: LaneRows | null = null;
  #state: 'idle' | 'applying' | 'sending' | 'storing' | 'closed' = 'idle';
  #inFlight: QueuedSegment | null = null;
  #inFlightEnd = 0;
  /** Whose record is being stored as a dead letter. */
  #storing: QueuedSegment | null = null;
  /** A request that was in flight at a detach, and where a replay may go on when it turns out to be delivered. */
  #outcomeOpen: { readonly entry: QueuedSegment; readonly fedTo: number } | null = null;
  /** What must be sent again as it is after a failure, before anything newer. */
  #retrying: QueuedSegment | null = null;
  #retryEnd: number | null = null;
  /** The range of a rejected request, halved until its offender is found. */
  #suspectEnd: number | null = null;
  /** While detached: the first offset that no replay has fed yet. Null: it follows the live mutations. */
  #fedTo: number | null = null;
  #fedTimestamp: number | null = null;
  /** From this offset on the lane holds the partition's committable offset (PROTOCOL A8). */
  #countedFrom = 0;
  #hasPermit = false;
  #request: Promise<void> | null = null;
  #lastProgressMs: number;
  #cancelTimer: (() => void) | null = null;

  constructor(destination: Destination, owner: LaneOwner, context: LaneContext) {
    this.#destination = destination;
    this.#owner = owner;
    this.#context = context;
    this.#partitionKey = `${owner.scope.topic}/${owner.scope.partition}`;
    this.#lastProgressMs = context.clock.monotonic();
  }

  get destination(): Destination {
    return this.#destination;
  }

  get datamart(): DatamartKey {
    return this.#destination.config.datamart;
  }

  /** True while nothing is queued and nothing in flight. */
  get isIdle(): boolean {
    return (
      this.#inFlight === null &&
      this.#queue.every(({ segment, cursor }) => cursor === segment.count) &&
      (this.#rows?.entries ?? []).every(({ segment, cursor }) => cursor === segment.count)
    );
  }

  get isDetached(): boolean {
    return this.#fedTo !== null;
  }

  /** While detached: where a replay must go on. */
  get fedTo(): number | null {
    return this.#fedTo;
  }

  get countedFrom(): number {
    return this.#countedFrom;
  }

  /** The lane could not send for a reason that isn't its destination's: its grace begins anew. */
  restartGrace(nowMs: number): void {
    this.#lastProgressMs = nowMs;
  }

  /** When something was last delivered, or began to wait, on the monotonic clock. */
  get lastProgressMs(): number {
    return this.#lastProgressMs;
  }

  /** The first offset that isn't delivered, or null when everything is that the live mutations held so far. */
  get position(): number | null {
    let first = this.#fedTo;
    for (const { segment, cursor } of this.#queue) {
      if (cursor === segment.count) continue;
      const offset = segment.offset(cursor);
      if (first === null || offset < first) first = offset;
    }
    return first;
  }

  /** Resolves when the request in flight was answered and what it came to is in `position` and `fedTo`; null without one. */
  get request(): Promise<void> | null {
    return this.#request;
  }

  /**
   * Kafka timestamp of the oldest operation not delivered, in ms; null when there is none. For what a replay hasn't read
   * yet that of what came before it, or the time of the detach: the operation isn't younger than it would be by that.
   */
  get oldestTimestamp(): number | null {
    const oldest = this.#queue.find(({ segment, cursor }) => cursor < segment.count);
    if (oldest) return oldest.segment.timestamp(oldest.cursor);
    return this.isDetached ? this.#fedTimestamp : null;
  }

  /** When the oldest live mutation that isn't delivered was fetched, on the monotonic clock; null when there is none. */
  get waitingSinceMs(): number | null {
    const oldest = this.#queue.find(({ segment, cursor }) => cursor < segment.count);
    return oldest ? oldest.segment.arrival(oldest.cursor) : null;
  }

  /** Operations queued or in flight. */
  get pending(): number {
    return this.#queue.reduce((sum, { segment, cursor }) => sum + segment.count - cursor, 0);
  }

  /** Bytes of the segments that the lane holds, alone or with others. */
  get heldBytes(): number {
    return this.#queue.reduce((sum, { segment }) => sum + segment.storage.data.length, 0);
  }

  /** A segment of `log` begins; the lane is one of its owners. */
  enqueue(segment: Segment, log: SegmentLog): void {
    this.#queue.push({ segment, log, cursor: 0, rows: null });
    if (this.#queue.length > 1) return;
    this.#lastProgressMs = this.#context.clock.monotonic();
    this.#owner.laneActive(this, true);
  }

  /** The segment is sealed: a lane that has delivered all of it needs it no more. */
  dropDrained(segment: Segment): void {
    this.#dropIfDrained(this.#queue, segment);
  }

  /** The same for a segment of rows. */
  dropDrainedRows({ entries }: LaneRows, segment: Segment): void {
    this.#dropIfDrained(entries, segment);
  }

  /** Delivers these rows too, after what it had before; the rows it served until now are given up. */
  serveRows(rows: LaneRows): void {
    this.stopRows();
    this.#rows = rows;
  }

  /** Gives the rows up. The bytes of a request in flight stay until its answer, which counts for nothing then. */
  stopRows(): void {
    const rows = this.#rows;
    if (!rows) return;
    const isBusyWithRows = [this.#inFlight, this.#retrying, this.#storing].some(
      (entry) => entry?.rows === rows,
    );
    this.#giveUpRows();
    if (!isBusyWithRows) return;
    this.#forgetRequest();
    this.#state = 'idle';
    this.pump(this.#context.clock.monotonic());
  }

  /** Sends if something is ready; otherwise waits until it is old enough. Called whenever records were appended. */
  pump(nowMs: number): void {
    if (this.#state !== 'idle') return;
    if (this.#nextReady(nowMs)) this.#apply(nowMs);
    else if (!this.isIdle) this.#context.linger.wait(this);
  }

  sendAged(nowMs: number): boolean {
    if (this.#state !== 'idle') return false;
    const isReady = this.#nextReady(nowMs) !== null;
    if (isReady) this.#apply(nowMs);
    return !isReady && !this.isIdle;
  }

  /**
   * Follows the live mutations no longer: what is queued is given up but for a request in flight, and a replay must go on
   * at `position`. `dispatchPosition` is the first offset that a lane that wasn't detached was not handed.
   */
  detach(dispatchPosition: number): void {
    const entry = this.#inFlight;
    const handedTo = this.#fedTo ?? dispatchPosition;
    const outcomeOpen =
      entry?.rows === null ? { entry, fedTo: this.#positionBehindRequest() ?? handedTo } : this.#outcomeOpen;
    this.#fedTimestamp = this.oldestTimestamp ?? this.#context.clock.now();
    this.#fedTo = this.position ?? handedTo;
    this.#dropQueue();
    this.#outcomeOpen = outcomeOpen;
  }

  /** Every operation below `offset` was handed to the detached lane; the last record of them had this Kafka timestamp. */
  fed(offset: number, timestamp: number | null): void {
    this.#fedTo = offset;
    this.#fedTimestamp = timestamp ?? this.#fedTimestamp;
    this.#outcomeOpen = null;
  }

  /** The first record that the detached lane hasn't been fed had this Kafka timestamp. */
  backlogSince(timestamp: number): void {
    if (this.isDetached) this.#fedTimestamp = timestamp;
  }

  /** A slot at the destination for the detached lane's next attempt, which holds it until it has something to send. */
  grant(): void {
    this.#hasPermit = true;
  }

  /**
   * Follows the live mutations from `offset` on, which is where its replay has ended. What it was fed below is still in
   * front of them.
   */
  attach(offset: number): void {
    this.#fedTo = null;
    this.#countedFrom = offset;
    this.#lastProgressMs = this.#context.clock.monotonic();
    if (this.isIdle) this.relinquish();
  }

  /** Gives a slot back that `grant` or the destination gave, when there is nothing to send. */
  relinquish(): void {
    if (!this.#hasPermit) return;
    this.#hasPermit = false;
    this.#destination.admission.giveBack();
  }

  /** Starts nothing more and lets go of everything but the bytes of a request in flight. Idempotent. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#dropQueue();
    this.#state = 'closed';
  }

  /** The destination has a free slot: sends what is first now. */
  admitted(): void {
    this.#hasPermit = true;
    this.#state = 'idle';
    const now = this.#context.clock.monotonic();
    const entry = this.#nextReady(now);
    if (entry) this.#send(entry);
    else this.relinquish();
  }

  /** The first segment with records that are worth a request: enough of them, or old enough, or to be sent again. */
  #nextReady(nowMs: number): QueuedSegment | null {
    if (this.#retrying) return this.#retrying;
    return this.#firstReady(this.#queue, nowMs) ?? this.#firstReady(this.#rows?.entries ?? [], nowMs);
  }

  #firstReady(queue: readonly QueuedSegment[], nowMs: number): QueuedSegment | null {
    for (const entry of queue) {
      const { segment, cursor } = entry;
      if (cursor === segment.count) continue;
      const isFull = segment.isSealed || segment.count - cursor >= this.#destination.limits.maxRecords;
      if (isFull || nowMs - segment.arrival(cursor) >= this.#context.linger.ms) return entry;
    }
    return null;
  }

  /** Asks for a slot at the destination; waits first while only what is on its way may be sent. */
  #apply(nowMs: number): void {
    const notBefore = this.#retryEnd === null ? this.#destination.newerNotBefore(this.#partitionKey) : 0;
    if (nowMs < notBefore) {
      this.#cancelTimer ??= this.#context.clock.schedule(notBefore - nowMs, () => {
        this.#cancelTimer = null;
        this.pump(this.#context.clock.monotonic());
      });
      return;
    }
    const earlier = this.#destination.attemptOf(this.#partitionKey);
    this.#state = 'applying';
    if (earlier) {
      void earlier.then(() => {
        if (this.#state !== 'applying') return;
        this.#state = 'idle';
        this.pump(this.#context.clock.monotonic());
      });
    } else if (this.#hasPermit) {
      this.admitted();
    } else {
      this.#destination.admission.apply(this);
    }
  }

  #send(entry: QueuedSegment): void {
    if (!this.#owner.mayAttempt()) {
      this.relinquish();
      return;
    }
    const end = this.#batchEnd(entry);
    if (end === entry.cursor) {
      this.relinquish();
      this.#goOn(entry);
      return;
    }
    const slice = new SegmentSlice(entry.segment, entry.cursor, end, this.#owner.scope);
    this.#state = 'sending';
    this.#inFlight = entry;
    this.#inFlightEnd = slice.from + slice.count;
    this.#retrying = null;
    this.#hasPermit = false;
    this.#context.linger.countRequest();
    const request = this.#destination
      .send(slice, this.#partitionKey, () => this.#inFlight === entry && this.#owner.mayAttempt())
      .then((outcome) => {
        if (this.#request === request) this.#request = null;
        this.#settle(entry, slice, outcome);
      });
    this.#request = request;
  }

  /**
   * Where the next request ends: the destination's limits, and after a failure the range of that request or a half of it.
   * Rows that are not to be sent are skipped, unless they have their place already; at the cursor: none is left.
   */
  #batchEnd(entry: QueuedSegment): number {
    const { segment } = entry;
    const { maxRecords, maxBytes, recordOverheadBytes } = this.#destination.limits;
    const hasPlace = this.#suspectEnd !== null || this.#retryEnd !== null;
    const newest = entry.rows && !hasPlace ? this.#skipNewer(entry, entry.rows) : segment.count;
    const from = entry.cursor;
    let end = Math.min(newest, from + maxRecords);
    if (end === from) return from;
    if (this.#suspectEnd !== null) end = from + Math.max(1, (this.#suspectEnd - from) >> 1);
    else if (this.#retryEnd !== null) end = this.#retryEnd;
    const start = segment.start(from);
    const size = (to: number): number => segment.start(to) - start + (to - from) * recordOverheadBytes;
    if (size(end) <= maxBytes) return end;
    let fits = from + 1;
    while (fits < end) {
      const middle = (fits + end + 1) >> 1;
      if (size(middle) <= maxBytes) fits = middle;
      else end = middle - 1;
    }
    return fits;
  }

  /** Moves the cursor over rows whose document has changed since; returns where the rows to be sent end. */
  #skipNewer(entry: QueuedSegment, queue: LaneRows): number {
    const { segment } = entry;
    const { rows, count } = segment;
    if (!rows) return count;
    const isNewer = (i: number): boolean => queue.isNewer(rows.high(i), rows.low(i));
    const from = entry.cursor;
    while (entry.cursor < count && isNewer(entry.cursor)) entry.cursor += 1;
    if (entry.cursor > from) queue.skipped(entry.cursor - from);
    let end = entry.cursor;
    while (end < count && end - entry.cursor < this.#destination.limits.maxRecords && !isNewer(end)) end += 1;
    return end;
  }

  #settle(entry: QueuedSegment, slice: SegmentSlice, outcome: SendOutcome | null): void {
    if (this.#inFlight !== entry) {
      this.#settleGivenUp(entry, slice, outcome);
      return;
    }
    this.#inFlight = null;
    if (!outcome) {
      this.#retrying = this.#retryEnd === null && this.#suspectEnd === null ? null : entry;
      this.#state = 'idle';
      return;
    }
    if (outcome.delivered > 0) this.#countDelivered(entry, outcome.delivered);
    const { failure } = outcome;
    if (failure) {
      this.#fail(entry, slice, outcome, failure);
      return;
    }
    this.#retryEnd = null;
    if (this.#suspectEnd !== null && entry.cursor >= this.#suspectEnd) this.#suspectEnd = null;
    this.#goOn(entry);
  }

  /** The lane was detached or closed meanwhile. What was delivered all the same needn't be replayed. */
  #settleGivenUp(entry: QueuedSegment, slice: SegmentSlice, outcome: SendOutcome | null): void {
    if (this.#outcomeOpen?.entry === entry && outcome?.delivered === slice.count) {
      this.#fedTo = this.#outcomeOpen.fedTo;
      this.#context.metrics.operations.add(slice.count, this.#destination.id, 'delivered');
    }
    this.#outcomeOpen = null;
    this.#release(entry.segment);
  }

  /** What `position` will be when the request in flight is delivered. */
  #positionBehindRequest(): number | null {
    let first: number | null = null;
    for (const entry of this.#queue) {
      const cursor = entry === this.#inFlight ? this.#inFlightEnd : entry.cursor;
      if (cursor === entry.segment.count) continue;
      const offset = entry.segment.offset(cursor);
      if (first === null || offset < first) first = offset;
    }
    return first;
  }

  #fail(entry: QueuedSegment, slice: SegmentSlice, outcome: SendOutcome, failure: SinkError): void {
    const end = slice.from + slice.count;
    switch (failure.kind) {
      case 'retriable':
      case 'fatal':
        this.#retrying = entry;
        this.#retryEnd = end;
        this.#state = 'idle';
        this.#owner.laneFailed(this);
        this.pump(this.#context.clock.monotonic());
        return;
      case 'rejected':
        this.#retryEnd = null;
        if (outcome.isNext === true || end - entry.cursor === 1) {
          this.#storeRejected(entry, failure);
          return;
        }
        this.#suspectEnd = end;
        this.#retrying = entry;
        this.#state = 'idle';
        this.pump(this.#context.clock.monotonic());
        return;
      default:
        assertNever(failure.kind);
    }
  }

  /** The record at the cursor can never be accepted: it counts as done once it is stored in the dead letters. */
  #storeRejected(entry: QueuedSegment, failure: SinkError): void {
    this.#state = 'storing';
    this.#storing = entry;
    const offset = entry.segment.offset(entry.cursor);
    const stored = entry.rows
      ? entry.rows.storeRejected(offset, failure)
      : this.#owner.storeRejected(offset, this.#destination.config, failure);
    void stored.then(() => {
      if (this.#storing !== entry) return;
      this.#storing = null;
      this.#context.metrics.operations.add(1, this.#destination.id, 'rejected');
      entry.rows?.rejected();
      entry.cursor += 1;
      this.#suspectEnd = null;
      this.#owner.laneProgressed(this, 1);
      this.#goOn(entry);
    });
  }

  #goOn(entry: QueuedSegment): void {
    this.#state = 'idle';
    if (entry.cursor === entry.segment.count) {
      if (entry.segment.isSealed) this.#drop(entry);
      else entry.log.drained(entry.segment);
    }
    if (this.#suspectEnd !== null && entry.cursor < entry.segment.count) this.#retrying = entry;
    this.pump(this.#context.clock.monotonic());
  }

  #countDelivered(entry: QueuedSegment, count: number): void {
    const now = this.#context.clock.monotonic();
    const end = entry.cursor + count;
    if (entry.rows) entry.rows.delivered(entry.segment, entry.cursor, end);
    else this.#observeDelivered(entry, end, now);
    this.#context.metrics.operations.add(count, this.#destination.id, 'delivered');
    entry.cursor = end;
    this.#lastProgressMs = now;
    this.#owner.laneProgressed(this, count);
  }

  #observeDelivered(entry: QueuedSegment, end: number, now: number): void {
    const { metrics } = this.#context;
    const { storage } = entry.segment;
    let runStart = entry.cursor;
    for (let i = entry.cursor; i < end; i += 1) {
      const kind = storage.kinds[i] ?? 0;
      metrics.documents[kind] = (metrics.documents[kind] ?? 0) + 1;
      if (storage.arrivals[i] !== storage.arrivals[runStart]) {
        metrics.observeDelivery((now - entry.segment.arrival(runStart)) / 1_000, i - runStart);
        runStart = i;
      }
    }
    metrics.observeDelivery((now - entry.segment.arrival(runStart)) / 1_000, end - runStart);
  }

  #dropIfDrained(queue: readonly QueuedSegment[], segment: Segment): void {
    const entry = queue.find((queued) => queued.segment === segment);
    if (entry && entry.cursor === segment.count && entry !== this.#inFlight) this.#drop(entry);
  }

  #drop(entry: QueuedSegment): void {
    this.#release(entry.segment);
    if (entry.rows) {
      entry.rows.remove(entry);
      return;
    }
    this.#queue.splice(this.#queue.indexOf(entry), 1);
    if (this.#queue.length === 0) this.#owner.laneActive(this, false);
  }

  #giveUpRows(): void {
    const queue = this.#rows?.giveUp() ?? [];
    this.#rows = null;
    for (const entry of queue) if (entry !== this.#inFlight) this.#release(entry.segment);
  }

  /** Whatever the request in flight, or the last one, comes to. */
  #forgetRequest(): void {
    this.#inFlight = null;
    this.#storing = null;
    this.#outcomeOpen = null;
    this.#retrying = null;
    this.#retryEnd = null;
    this.#suspectEnd = null;
  }

  /** Gives up everything that is queued, and every plan to send. */
  #dropQueue(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#context.linger.forget(this);
    this.#destination.admission.withdraw(this);
    this.relinquish();
    const wasActive = this.#queue.length > 0;
    this.#giveUpRows();
    for (const entry of this.#queue) if (entry !== this.#inFlight) this.#release(entry.segment);
    this.#queue = [];
    this.#forgetRequest();
    this.#state = 'idle';
    if (wasActive) this.#owner.laneActive(this, false);
  }

  #release(segment: Segment): void {
    if (segment.release()) this.#context.pool.release(segment.storage);
  }
}
