const FIRST_SLOTS = 1024;
/** Of the slots; beyond it the table is doubled. */
const MOST_FILLED = 0.7;
const BYTES_PER_SLOT = 8;

/** Memory that the sets of one instance share, in bytes. */
export interface SetMemory {
  /** Takes so much; false, with nothing taken, when there isn't enough. */
  take(bytes: number): boolean;
  giveBack(bytes: number): void;
}

/** The set holds as many documents as there is memory for. */
export class DocumentSetFullError extends Error {
  override readonly name = 'DocumentSetFullError';
}

/**
 * A set of documents by their 64-bit hashes (`schemas/hash64.ts`), as a table of open addressing with linear
 * probing: 11 to 23 bytes a document, 11 to 23 MB a million; half as much again for the moment in which it is doubled.
 * An empty one takes none.
 */
export class DocumentSet {
  readonly #memory: SetMemory;
  /** None before the first document. */
  #slots: Int32Array = new Int32Array(0);
  #mask = FIRST_SLOTS - 1;
  #size = 0;

  constructor(memory: SetMemory) {
    this.#memory = memory;
  }

  get size(): number {
    return this.#size;
  }

  get byteLength(): number {
    return this.#slots.byteLength;
  }

  has(high: number, low: number): boolean {
    return this.#find(high, lowOf(high, low)) >= 0;
  }

  /** Throws `DocumentSetFullError` when there is no memory for one more. */
  add(high: number, low: number): void {
    const key = lowOf(high, low);
    const at = this.#find(high, key);
    if (at >= 0) return;
    if (this.#slots.length === 0) this.#slots = this.#allocate(FIRST_SLOTS);
    this.#put(~at, high, key);
    this.#size += 1;
    if (this.#size > (this.#mask + 1) * MOST_FILLED) this.#double();
  }

  delete(high: number, low: number): void {
    let hole = this.#find(high, lowOf(high, low));
    if (hole < 0) return;
    this.#size -= 1;
    // Those that were put off their own slot by this one come up, so that no search ends at the hole.
    for (let next = (hole + 1) & this.#mask; this.#isTaken(next); next = (next + 1) & this.#mask) {
      const home = (this.#slots[next * 2] ?? 0) & this.#mask;
      const distance = (next - home) & this.#mask;
      if (distance < ((next - hole) & this.#mask)) continue;
      this.#put(hole, this.#slots[next * 2] ?? 0, this.#slots[next * 2 + 1] ?? 0);
      hole = next;
    }
    this.#put(hole, 0, 0);
  }

  /** Gives the memory back. The set must not be used any more. */
  close(): void {
    this.#memory.giveBack(this.#slots.byteLength);
    this.#slots = new Int32Array(0);
  }

  /** The slot of the document, or the complement of the free one where it belongs. */
  #find(high: number, low: number): number {
    const slots = this.#slots;
    for (let at = high & this.#mask; ; at = (at + 1) & this.#mask) {
      const h = slots[at * 2] ?? 0;
      const l = slots[at * 2 + 1] ?? 0;
      if (h === high && l === low) return at;
      if (h === 0 && l === 0) return ~at;
    }
  }

  #isTaken(at: number): boolean {
    return this.#slots[at * 2] !== 0 || this.#slots[at * 2 + 1] !== 0;
  }

  #put(at: number, high: number, low: number): void {
    this.#slots[at * 2] = high;
    this.#slots[at * 2 + 1] = low;
  }

  #double(): void {
    const before = this.#slots;
    this.#slots = this.#allocate(before.length);
    this.#mask = this.#mask * 2 + 1;
    for (let i = 0; i < before.length; i += 2) {
      const high = before[i] ?? 0;
      const low = before[i + 1] ?? 0;
      if (high !== 0 || low !== 0) this.#put(~this.#find(high, low), high, low);
    }
    this.#memory.giveBack(before.byteLength);
  }

  #allocate(slots: number): Int32Array {
    if (!this.#memory.take(slots * BYTES_PER_SLOT))
      throw new DocumentSetFullError(
        'more documents were changed or deleted than can be remembered: raise DELIVERY_MEMORY_MB, or INITIAL_SYNC_MAX_RATE',
      );
    return new Int32Array(slots * 2);
  }
}

/** Zero in both halves means a free slot: the one hash that would be it takes the next. */
function lowOf(high: number, low: number): number {
  return high === 0 && low === 0 ? 1 : low;
}
