interface Checkpoint {
  readonly offset: number;
  readonly records: number;
  readonly bytes: number;
}

/**
 * How much of a partition was dispatched since the last ACKNOWLEDGED commit (PROTOCOL A7): what a crash would send
 * again. Counted per accepted batch, so it is exact to a batch.
 */
export class Window {
  readonly #maxRecords: number;
  readonly #maxBytes: number;
  #dispatched: Checkpoint;
  #committed: Checkpoint;
  #checkpoints: Checkpoint[] = [];

  constructor(startOffset: number, limits: { readonly maxRecords: number; readonly maxBytes: number }) {
    this.#maxRecords = limits.maxRecords;
    this.#maxBytes = limits.maxBytes;
    this.#dispatched = { offset: startOffset, records: 0, bytes: 0 };
    this.#committed = this.#dispatched;
  }

  get records(): number {
    return this.#dispatched.records - this.#committed.records;
  }

  get bytes(): number {
    return this.#dispatched.bytes - this.#committed.bytes;
  }

  get isFull(): boolean {
    return this.records >= this.#maxRecords || this.bytes >= this.#maxBytes;
  }

  get isHalfEmpty(): boolean {
    return this.records <= this.#maxRecords / 2 && this.bytes <= this.#maxBytes / 2;
  }

  /** A batch that ends before `nextOffset` was taken up. */
  dispatched(nextOffset: number, records: number, bytes: number): void {
    this.#dispatched = {
      offset: nextOffset,
      records: this.#dispatched.records + records,
      bytes: this.#dispatched.bytes + bytes,
    };
    this.#checkpoints.push(this.#dispatched);
  }

  /** The coordinator has acknowledged this offset. */
  committed(offset: number): void {
    const done = this.#checkpoints.findLastIndex((checkpoint) => checkpoint.offset <= offset);
    if (done < 0) return;
    this.#committed = this.#checkpoints[done] ?? this.#committed;
    this.#checkpoints.splice(0, done + 1);
  }
}
