import { murmur2 } from '../schemas/murmur2.ts';
import type { MutationView } from '../schemas/mutation.ts';
import type { OperationEncoder } from '../schemas/operation-encoder.ts';
import type { Lane } from './lane.ts';
import type { SegmentPool } from './segment-pool.ts';
import { Segment, type RecordOrigin } from './segment.ts';

const SMALLEST_SEGMENT_BYTES = 16 * 1024;
const GROWTH = 8;

/**
 * The segments of one route in one task: each operation is encoded here once, for all the route's replications.
 *
 * With ordering there is one open segment per ordering lane, since a request may hold one ordering key only. A segment
 * that fills up makes the next one larger; one that all lanes have read to its end is given back at once, so an idle
 * route holds no memory.
 */
export class SegmentLog {
  readonly #encoder: OperationEncoder;
  readonly #orderingLanes: number;
  readonly #pool: SegmentPool;
  readonly #open = new Map<number, { segment: Segment; drained: number }>();
  #lanes: readonly Lane[] = [];
  #nextBytes = SMALLEST_SEGMENT_BYTES;

  constructor(encoder: OperationEncoder, orderingLanes: number, pool: SegmentPool) {
    this.#encoder = encoder;
    this.#orderingLanes = orderingLanes;
    this.#pool = pool;
  }

  get lanes(): readonly Lane[] {
    return this.#lanes;
  }

  /** From the next operation on these lanes read the log. Segments that are open are sealed for those that read them so far. */
  setLanes(lanes: readonly Lane[]): void {
    for (const { segment } of [...this.#open.values()]) this.#seal(segment);
    this.#lanes = lanes;
  }

  append(mutation: MutationView, origin: RecordOrigin): void {
    if (this.#lanes.length === 0) return;
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

  /** A lane has read all that an open segment holds so far. */
  drained(segment: Segment): void {
    const lane = segment.orderingLane ?? -1;
    const open = this.#open.get(lane);
    if (open?.segment !== segment) return;
    open.drained += 1;
    if (open.drained < this.#lanes.length) return;
    this.#nextBytes = Math.max(SMALLEST_SEGMENT_BYTES, segment.byteLength);
    this.#seal(segment);
  }

  #seal(segment: Segment): void {
    this.#open.delete(segment.orderingLane ?? -1);
    segment.seal();
    for (const lane of this.#lanes) lane.dropDrained(segment);
  }

  #openSegment(lane: number, needed: number): { segment: Segment; drained: number } {
    const storage = this.#pool.acquire(needed, this.#nextBytes);
    const segment = new Segment(this.#encoder.version, lane < 0 ? null : lane, storage, this.#lanes.length);
    const open = { segment, drained: 0 };
    this.#open.set(lane, open);
    for (const reader of this.#lanes) reader.enqueue(segment, this);
    return open;
  }
}
