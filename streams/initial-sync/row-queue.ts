import type { DatamartKey } from '../../schemas/mutation.ts';
import type { SinkError } from '../../sinks/sink.ts';
import type { Lane, LaneRows, QueuedSegment } from '../lane.ts';
import type { SegmentLog, SegmentReader } from '../segment-log.ts';
import type { Segment } from '../segment.ts';

/** What a queue of rows tells and asks. */
export type RowQueueOwner = Pick<
  LaneRows,
  'isNewer' | 'delivered' | 'skipped' | 'storeRejected' | 'rejected'
>;

/**
 * The rows of a snapshot partition that one lane has before it: where its replication's part of an initial
 * synchronization stands, exactly.
 *
 * It ends with its lane's service: when that is detached or closed, everything queued is given up but the position.
 */
export class RowQueue implements LaneRows, SegmentReader {
  readonly #lane: Lane;
  readonly #owner: RowQueueOwner;
  #queue: QueuedSegment[] = [];
  #fedTo: number;
  #isGivenUp = false;

  /** Rows from `position` on, an offset of the snapshot partition, will be fed. */
  constructor(lane: Lane, position: number, owner: RowQueueOwner) {
    this.#lane = lane;
    this.#fedTo = position;
    this.#owner = owner;
    lane.serveRows(this);
  }

  get lane(): Lane {
    return this.#lane;
  }

  get datamart(): DatamartKey {
    return this.#lane.datamart;
  }

  /** The first row's offset that is neither delivered nor skipped: nothing below it is needed again. */
  get position(): number {
    let first = this.#fedTo;
    for (const { segment, cursor } of this.#queue)
      if (cursor < segment.count) first = Math.min(first, segment.offset(cursor));
    return first;
  }

  /** The first offset that wasn't fed. */
  get fedTo(): number {
    return this.#fedTo;
  }

  /** True once the lane serves it no more: it takes nothing and its position stays. */
  get isGivenUp(): boolean {
    return this.#isGivenUp;
  }

  get pending(): number {
    return this.#queue.reduce((sum, { segment, cursor }) => sum + segment.count - cursor, 0);
  }

  get heldBytes(): number {
    return this.#queue.reduce((sum, { segment }) => sum + segment.storage.data.length, 0);
  }

  get entries(): readonly QueuedSegment[] {
    return this.#queue;
  }

  /** Every row below `offset` was fed. */
  fed(offset: number): void {
    if (!this.#isGivenUp) this.#fedTo = offset;
  }

  enqueue(segment: Segment, log: SegmentLog): void {
    this.#queue.push({ segment, log, cursor: 0, rows: this });
  }

  dropDrained(segment: Segment): void {
    this.#lane.dropDrainedRows(this, segment);
  }

  pump(nowMs: number): void {
    this.#lane.pump(nowMs);
  }

  isNewer(high: number, low: number): boolean {
    return this.#owner.isNewer(high, low);
  }

  delivered(segment: Segment, from: number, to: number): void {
    this.#owner.delivered(segment, from, to);
  }

  skipped(count: number): void {
    this.#owner.skipped(count);
  }

  storeRejected(offset: number, error: SinkError): Promise<void> {
    return this.#owner.storeRejected(offset, error);
  }

  rejected(): void {
    this.#owner.rejected();
  }

  remove(entry: QueuedSegment): void {
    this.#queue.splice(this.#queue.indexOf(entry), 1);
  }

  giveUp(): readonly QueuedSegment[] {
    this.#fedTo = this.position;
    this.#isGivenUp = true;
    const queue = this.#queue;
    this.#queue = [];
    return queue;
  }
}
