/** The memory of one segment: encoded operations and, for each entry, where it ends and what it is. */
export interface SegmentStorage {
  /** Whether it counts as memory of replays now. */
  isReplayed: boolean;
  readonly data: Buffer;
  /** End of entry `i` in `data`. */
  readonly ends: Int32Array;
  /** `docType * 2 + op`. */
  readonly kinds: Uint8Array;
  readonly laneHashes: Int32Array;
  readonly offsets: Float64Array;
  /** Kafka timestamps in ms. */
  readonly timestamps: Float64Array;
  /** When the record was fetched, in ms. */
  readonly arrivals: Float64Array;
}

/** Bytes and entries of each class of storage. Beyond the last a storage is made to measure and never kept. */
const CLASSES = [
  { bytes: 16 * 1024, entries: 64 },
  { bytes: 128 * 1024, entries: 256 },
  { bytes: 1536 * 1024, entries: 1000 },
] as const;

const KEPT_BYTES_PER_CLASS = 48 * 1024 * 1024;
/** Less than what must be free before live mutations go on, or replays could stop them for good. */
const REPLAY_SHARE = 1 / 4;

/** Where the segments of one stream of mutations get their memory. */
export interface SegmentLender {
  /** A storage with at least `minBytes`, and of at least the size class of `preferredBytes`. */
  acquire(minBytes: number, preferredBytes: number): SegmentStorage;
}

/**
 * Lends storages to segments and counts what the process holds against `DELIVERY_MEMORY_MB`.
 *
 * Big buffers are used again: a fresh one for every request costs four times the copying itself, nearly all of it
 * garbage collection. The limit is a signal (`isFull`), asked before every record: what one record takes for all its
 * routes may still exceed it. Replays of detached replications have a quarter of it, so that they never fill what live
 * mutations need.
 */
export class SegmentPool implements SegmentLender {
  /** For segments of replays. */
  readonly replays: SegmentLender = {
    acquire: (minBytes, preferredBytes) => this.#acquire(minBytes, preferredBytes, true),
  };
  readonly #limitBytes: number;
  readonly #free: SegmentStorage[][] = CLASSES.map(() => []);
  readonly #onRelieved: () => void;
  #heldBytes = 0;
  #replayedBytes = 0;
  #isFull = false;
  #areReplaysFull = false;

  /** `onRelieved` is called when, after having been full, half of the limit is free again; the same for replays. */
  constructor(limitBytes: number, onRelieved: () => void) {
    this.#limitBytes = limitBytes;
    this.#onRelieved = onRelieved;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  get limitBytes(): number {
    return this.#limitBytes;
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  /** Whether replays may read on. */
  get mayReplay(): boolean {
    return !this.#isFull && !this.#areReplaysFull;
  }

  /** What one of so many lanes may hold of a replay: half of the replays' memory is left for those to come. */
  replayShare(lanes: number): number {
    return (this.#limitBytes * REPLAY_SHARE) / 2 / Math.max(1, lanes);
  }

  acquire(minBytes: number, preferredBytes: number): SegmentStorage {
    return this.#acquire(minBytes, preferredBytes, false);
  }

  #acquire(minBytes: number, preferredBytes: number, isReplayed: boolean): SegmentStorage {
    const wanted = Math.max(minBytes, Math.min(preferredBytes, CLASSES[CLASSES.length - 1]?.bytes ?? 0));
    const index = CLASSES.findIndex(({ bytes }) => bytes >= wanted);
    const storage = this.#free[index]?.pop() ?? makeStorage(CLASSES[index] ?? { bytes: wanted, entries: 1 });
    storage.isReplayed = isReplayed;
    this.#heldBytes += storage.data.length;
    if (this.#heldBytes >= this.#limitBytes) this.#isFull = true;
    if (isReplayed) this.#replayedBytes += storage.data.length;
    if (this.#replayedBytes >= this.#limitBytes * REPLAY_SHARE) this.#areReplaysFull = true;
    return storage;
  }

  /** Takes a storage back. Nobody may read it afterwards. */
  release(storage: SegmentStorage): void {
    const index = CLASSES.findIndex(({ bytes }) => bytes === storage.data.length);
    const free = this.#free[index];
    if (free && free.length * storage.data.length < KEPT_BYTES_PER_CLASS) free.push(storage);
    this.#heldBytes -= storage.data.length;
    if (storage.isReplayed) this.#replayedBytes -= storage.data.length;
    const isRelieved = this.#isFull && this.#heldBytes < this.#limitBytes / 2;
    const areReplaysRelieved =
      this.#areReplaysFull && this.#replayedBytes < (this.#limitBytes * REPLAY_SHARE) / 2;
    if (isRelieved) this.#isFull = false;
    if (areReplaysRelieved) this.#areReplaysFull = false;
    if (isRelieved || areReplaysRelieved) this.#onRelieved();
  }
}

function makeStorage({ bytes, entries }: { bytes: number; entries: number }): SegmentStorage {
  return {
    isReplayed: false,
    data: Buffer.allocUnsafeSlow(bytes),
    ends: new Int32Array(entries),
    kinds: new Uint8Array(entries),
    laneHashes: new Int32Array(entries),
    offsets: new Float64Array(entries),
    timestamps: new Float64Array(entries),
    arrivals: new Float64Array(entries),
  };
}
