import {
  copyRecord,
  type DeadLetter,
  type DeadLetterCause,
  type DeadLetters,
  type StoreOptions,
} from './dead-letters.ts';
import type { ConsumedRecord } from './kafka-port.ts';

export interface ParkedRecordsOptions extends StoreOptions {
  readonly deadLetters: DeadLetters;
  /** So many records are durable and hold their offsets no more. */
  readonly onStored: (count: number) => void;
}

/**
 * A task's records that can't be replicated, until their dead letters are durable. They hold their offsets.
 * One produce at a time, so the dead letters of a partition keep its order.
 */
export class ParkedRecords {
  readonly #options: ParkedRecordsOptions;
  readonly #offsets = new Set<number>();
  #unstored: DeadLetter[] = [];
  #isStoring = false;

  constructor(options: ParkedRecordsOptions) {
    this.#options = options;
  }

  /** The smallest offset that is held, or null. */
  get position(): number | null {
    let first: number | null = null;
    for (const offset of this.#offsets) if (first === null || offset < first) first = offset;
    return first;
  }

  /** Takes a copy of the record; `store` sends it. */
  park(record: ConsumedRecord, cause: DeadLetterCause): void {
    this.#offsets.add(record.offset);
    this.#unstored.push({ record: copyRecord(record), cause });
  }

  /** Stores what was parked, and what is parked meanwhile. Never rejects. */
  async store(): Promise<void> {
    if (this.#isStoring) return;
    this.#isStoring = true;
    const { deadLetters, onStored } = this.#options;
    while (this.#unstored.length > 0) {
      const letters = this.#unstored;
      this.#unstored = [];
      if (!(await deadLetters.store(letters, this.#options))) break;
      for (const { record } of letters) this.#offsets.delete(record.offset);
      onStored(letters.length);
    }
    this.#isStoring = false;
  }
}
