import { murmur2 } from '../schemas/murmur2.ts';
import type { DatamartKey, MutationView } from '../schemas/mutation.ts';
import type { OperationEncoder } from '../schemas/operation-encoder.ts';
import type { SegmentLender } from './segment-pool.ts';
import { RowDetails, Segment, type RecordOrigin } from './segment.ts';

const SMALLEST_SEGMENT_BYTES = 16 * 1024;
const GROWTH = 8;

/** Reads the segments of a log, in order: a replication's lane. */
export interface SegmentReader {
  /** Whose operations it may read. */
  readonly datamart: DatamartKey;
  /** A segment of `log` begins; the reader is one of its owners and releases it when it needs it no more. */
  enqueue(segment: Segment, log: SegmentLog): void;
  /** The segment is sealed: a reader that is through with it lets it go. */
  dropDrained(segment: Segment): void;
  /** Records were appended. */
  pump(nowMs: number): void;
}

/**
 * The segments of one route in one task: each operation is encoded here once, for all the route's replications.
 *
 * With ordering there is one open segment per ordering lane, since a request may hold one ordering key only. A segment
 * that fills up makes the next one larger; one that all lanes have read to its end is given back at once, so an idle
 * route holds no memory.
 */
export class SegmentLog {
  readonly #datamart: DatamartKey;
  readonly #encoder: OperationEncoder;
  readonly #orderingLanes: number;
  readonly #pool: SegmentLender;
  readonly #isOfRows: boolean;
  readonly #open = new Map<number, { segment: Segment; drained: number }>();
  #readers: readonly SegmentReader[] = [];
  #nextBytes = SMALLEST_SEGMENT_BYTES;

  /** `isOfRows`: what is appended are rows of a snapshot, each with a `RowOrigin`. */
  constructor(
    datamart: DatamartKey,
    encoder: OperationEncoder,
    orderingLanes: number,
    pool: SegmentLender,
    isOfRows: boolean,
  ) {
    this.#datamart = datamart;
    this.#encoder = encoder;
    this.#orderingLanes = orderingLanes;
    this.#pool = pool;
    this.#isOfRows = isOfRows;
  }

  get readers(): readonly SegmentReader[] {
    return this.#readers;
  }

  /** From the next operation on these read the log. Segments that are open are sealed for those that read them so far. */
  setReaders(readers: readonly SegmentReader[]): void {
    if (readers.some(({ datamart }) => datamart !== this.#datamart))
      throw new Error('a replication would read operations of another datamart');
    for (const { segment } of [...this.#open.values()]) this.#seal(segment);
    this.#readers = readers;
  }

  append(mutation: MutationView, origin: RecordOrigin): void {
    if (this.#readers.length === 0) return;
    const laneHash = murmur2(mutation.bytes, mutation.userPointStart, mutation.userPointEnd) & 0x7fffffff;
    const lane = this.#orderingLanes > 0 ? laneHash % this.#orderingLanes : -1;
    const needed = this.#encoder.maxBytes(mutation);
    let open = this.#open.get(lane);
    if (open && !open.segment.hasRoomFor(needed)) {
      this.#nextBytes = open.segment.storage.data.length * GROWTH;
      this.#seal(open.segment);
      open = undefined;
    }
    open ??= this.#openSegment(lane, needed);
    open.segment.append(this.#encoder, mutation, laneHash, origin);
    open.drained = 0;
  }

  /** What was appended so far is to be sent without waiting for more. */
  sealOpen(): void {
    for (const { segment } of [...this.#open.values()]) this.#sealAsItIs(segment);
  }

  /** A reader is through with all that an open segment holds so far. */
  drained(segment: Segment): void {
    const lane = segment.orderingLane ?? -1;
    const open = this.#open.get(lane);
    if (open?.segment !== segment) return;
    open.drained += 1;
    if (open.drained < this.#readers.length) return;
    this.#sealAsItIs(segment);
  }

  /** The next one will be as large as this has become. */
  #sealAsItIs(segment: Segment): void {
    this.#nextBytes = Math.max(SMALLEST_SEGMENT_BYTES, segment.byteLength);
    this.#seal(segment);
  }

  #seal(segment: Segment): void {
    this.#open.delete(segment.orderingLane ?? -1);
    segment.seal();
    for (const reader of this.#readers) reader.dropDrained(segment);
  }

  #openSegment(lane: number, needed: number): { segment: Segment; drained: number } {
    const storage = this.#pool.acquire(needed, this.#nextBytes);
    const orderingLane = lane < 0 ? null : lane;
    const { version } = this.#encoder;
    const rows = this.#isOfRows ? new RowDetails() : null;
    const segment = new Segment(this.#datamart, version, orderingLane, storage, this.#readers.length, rows);
    const open = { segment, drained: 0 };
    this.#open.set(lane, open);
    for (const reader of this.#readers) reader.enqueue(segment, this);
    return open;
  }
}
