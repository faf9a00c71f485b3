import { assertNever } from '../schemas/assert-never.ts';
import type { SendOutcome, SinkError } from '../sinks/sink.ts';
import { backoffMs, type Random } from './backoff.ts';
import type { Clock } from './clock.ts';
import type { Destination } from './destination.ts';
import type { Linger, Lingering } from './linger.ts';
import type { EngineMetrics } from './metrics.ts';
import type { SegmentLog, SegmentReader } from './segment-log.ts';
import type { SegmentPool } from './segment-pool.ts';
import { SegmentSlice, type MessageIdScope, type Segment } from './segment.ts';

/** What a lane needs of its task. */
export interface LaneOwner {
  readonly scope: MessageIdScope & { readonly topic: string };
  /** The lane has something to deliver, or nothing more. */
  laneActive(lane: Lane, isActive: boolean): void;
  /** Operations were settled: delivered, or stored as dead letters. */
  laneProgressed(count: number): void;
  /** Stores a record that the destination rejects. Resolves when it is durable; never rejects. */
  storeRejected(offset: number, replicationId: string, error: SinkError): Promise<void>;
}

export interface LaneContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly linger: Linger;
  readonly metrics: EngineMetrics;
  readonly pool: SegmentPool;
}

interface QueuedSegment {
  readonly segment: Segment;
  readonly log: SegmentLog;
  /** First entry not delivered. */
  cursor: number;
}

/**
 * The FIFO of one replication in one task: a cursor over segments, with one request in flight, retried in place.
 *
 * ```
 *            records old enough            answered, all delivered
 *   idle ───────────────────────▶ sending ─────────────────────────▶ idle
 *                                  │   ▲
 *                 failed, rejected │   │ the same records again
 *                                  ▼   │
 *                            backing off / dead-lettering
 *
 *   any ── close ──▶ closed: starts nothing more; an answer that comes later counts for nothing
 * ```
 *
 * Order holds because nothing newer of an ordering lane is sent before the older was answered. A segment's bytes stay
 * until the request that reads them has ended, even after `close`.
 */
export class Lane implements Lingering, SegmentReader {
  readonly #destination: Destination;
  readonly #owner: LaneOwner;
  readonly #context: LaneContext;
  readonly #partitionKey: string;
  #queue: QueuedSegment[] = [];
  #state: 'idle' | 'sending' | 'waiting' | 'closed' = 'idle';
  #inFlight: QueuedSegment | null = null;
  /** What must be sent again as it is after a failure, before anything newer. */
  #retrying: QueuedSegment | null = null;
  #retryEnd: number | null = null;
  /** The range of a rejected request, halved until its offender is found. */
  #suspectEnd: number | null = null;
  #attempts = 0;
  #cancelBackoff: (() => void) | null = null;

  constructor(destination: Destination, owner: LaneOwner, context: LaneContext) {
    this.#destination = destination;
    this.#owner = owner;
    this.#context = context;
    this.#partitionKey = `${owner.scope.topic}/${owner.scope.partition}`;
  }

  get destination(): Destination {
    return this.#destination;
  }

  /** True while nothing is queued and nothing in flight. */
  get isIdle(): boolean {
    return this.#inFlight === null && this.#queue.every(({ segment, cursor }) => cursor === segment.count);
  }

  /** The first offset that isn't delivered, or null when everything is. */
  get position(): number | null {
    let first: number | null = null;
    for (const { segment, cursor } of this.#queue) {
      if (cursor === segment.count) continue;
      const offset = segment.offset(cursor);
      if (first === null || offset < first) first = offset;
    }
    return first;
  }

  /** Kafka timestamp of the oldest operation not delivered, in ms; null when there is none. */
  get oldestTimestamp(): number | null {
    const oldest = this.#queue.find(({ segment, cursor }) => cursor < segment.count);
    return oldest ? oldest.segment.timestamp(oldest.cursor) : null;
  }

  /** Operations queued or in flight. */
  get pending(): number {
    return this.#queue.reduce((sum, { segment, cursor }) => sum + segment.count - cursor, 0);
  }

  /** A segment of `log` begins; the lane is one of its owners. */
  enqueue(segment: Segment, log: SegmentLog): void {
    this.#queue.push({ segment, log, cursor: 0 });
    if (this.#queue.length === 1) this.#owner.laneActive(this, true);
  }

  /** The segment is sealed: a lane that has delivered all of it needs it no more. */
  dropDrained(segment: Segment): void {
    const entry = this.#queue.find((queued) => queued.segment === segment);
    if (entry && entry.cursor === segment.count && entry !== this.#inFlight) this.#drop(entry);
  }

  /** Sends if something is ready; otherwise waits until it is old enough. Called whenever records were appended. */
  pump(nowMs: number): void {
    if (this.#state !== 'idle') return;
    const ready = this.#nextReady(nowMs);
    if (ready) this.#send(ready);
    else if (!this.isIdle) this.#context.linger.wait(this);
  }

  sendAged(nowMs: number): boolean {
    if (this.#state !== 'idle') return false;
    const ready = this.#nextReady(nowMs);
    if (ready) this.#send(ready);
    return !ready && !this.isIdle;
  }

  /** Tries again now instead of when the backoff ends. */
  retryNow(): void {
    if (this.#state !== 'waiting' || !this.#cancelBackoff) return;
    this.#cancelBackoff();
    this.#resume();
  }

  /** Starts nothing more and lets go of everything but the bytes of a request in flight. Idempotent. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#cancelBackoff?.();
    this.#context.linger.forget(this);
    const wasActive = this.#queue.length > 0;
    for (const entry of this.#queue) if (entry !== this.#inFlight) this.#release(entry.segment);
    this.#queue = [];
    if (wasActive) this.#owner.laneActive(this, false);
  }

  /** The first segment with records that are worth a request: enough of them, or old enough, or to be sent again. */
  #nextReady(nowMs: number): QueuedSegment | null {
    for (const entry of this.#queue) {
      const { segment, cursor } = entry;
      if (cursor === segment.count) continue;
      const isFull = segment.isSealed || segment.count - cursor >= this.#destination.limits.maxRecords;
      if (isFull || nowMs - segment.arrival(cursor) >= this.#context.linger.ms) return entry;
    }
    return null;
  }

  #send(entry: QueuedSegment): void {
    const { segment, cursor } = entry;
    const slice = new SegmentSlice(segment, cursor, this.#batchEnd(segment, cursor), this.#owner.scope);
    this.#state = 'sending';
    this.#inFlight = entry;
    this.#context.linger.countRequest();
    void this.#destination.send(slice, this.#partitionKey).then((outcome) => {
      this.#settle(entry, slice, outcome);
    });
  }

  /** Where the next request ends: the destination's limits, and after a failure the range of that request or a half of it. */
  #batchEnd(segment: Segment, from: number): number {
    const { maxRecords, maxBytes, recordOverheadBytes } = this.#destination.limits;
    let end = Math.min(segment.count, from + maxRecords);
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

  #settle(entry: QueuedSegment, slice: SegmentSlice, outcome: SendOutcome): void {
    this.#inFlight = null;
    if (this.#state === 'closed') {
      this.#release(entry.segment);
      return;
    }
    if (outcome.delivered > 0) this.#countDelivered(entry, outcome.delivered);
    const { failure } = outcome;
    if (failure) {
      this.#fail(entry, slice, outcome, failure);
      return;
    }
    this.#attempts = 0;
    this.#retryEnd = null;
    if (this.#suspectEnd !== null && entry.cursor >= this.#suspectEnd) this.#suspectEnd = null;
    this.#goOn(entry);
  }

  #fail(entry: QueuedSegment, slice: SegmentSlice, outcome: SendOutcome, failure: SinkError): void {
    const end = slice.from + slice.count;
    switch (failure.kind) {
      case 'retriable':
      case 'fatal':
        this.#retrying = entry;
        this.#retryEnd = end;
        this.#backOff(failure);
        return;
      case 'rejected':
        this.#retryEnd = null;
        if (outcome.isNext === true || end - entry.cursor === 1) {
          this.#storeRejected(entry, failure);
          return;
        }
        this.#suspectEnd = end;
        this.#state = 'idle';
        this.#send(entry);
        return;
      default:
        assertNever(failure.kind);
    }
  }

  #backOff(failure: SinkError): void {
    const { clock, random, metrics } = this.#context;
    const isThrottled = failure.code === 'throttled';
    metrics.retries.add(1, this.#destination.id, failure.code);
    this.#state = 'waiting';
    this.#cancelBackoff = clock.schedule(backoffMs(this.#attempts, isThrottled, random), () => {
      this.#resume();
    });
    this.#attempts += 1;
  }

  #resume(): void {
    this.#cancelBackoff = null;
    const entry = this.#retrying;
    this.#retrying = null;
    this.#state = 'idle';
    if (entry) this.#send(entry);
  }

  /** The record at the cursor can never be accepted: it counts as done once it is stored in the dead letters. */
  #storeRejected(entry: QueuedSegment, failure: SinkError): void {
    this.#state = 'waiting';
    void this.#owner
      .storeRejected(entry.segment.offset(entry.cursor), this.#destination.id, failure)
      .then(() => {
        if (this.#state === 'closed') return;
        this.#context.metrics.operations.add(1, this.#destination.id, 'rejected');
        entry.cursor += 1;
        this.#suspectEnd = null;
        this.#attempts = 0;
        this.#owner.laneProgressed(1);
        this.#goOn(entry);
      });
  }

  #goOn(entry: QueuedSegment): void {
    this.#state = 'idle';
    if (entry.cursor === entry.segment.count) {
      if (entry.segment.isSealed) this.#drop(entry);
      else entry.log.drained(entry.segment);
    }
    const now = this.#context.clock.now();
    if (this.#suspectEnd !== null && this.#queue.includes(entry)) this.#send(entry);
    else this.pump(now);
  }

  #countDelivered(entry: QueuedSegment, count: number): void {
    const { metrics, clock } = this.#context;
    const { storage } = entry.segment;
    const end = entry.cursor + count;
    const now = clock.now();
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
    metrics.operations.add(count, this.#destination.id, 'delivered');
    entry.cursor = end;
    this.#owner.laneProgressed(count);
  }

  #drop(entry: QueuedSegment): void {
    this.#queue.splice(this.#queue.indexOf(entry), 1);
    this.#release(entry.segment);
    if (this.#queue.length === 0) this.#owner.laneActive(this, false);
  }

  #release(segment: Segment): void {
    if (segment.release()) this.#context.pool.release(segment.storage);
  }
}
