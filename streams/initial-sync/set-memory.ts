import type { SetMemory } from './document-set.ts';

/** Of `DELIVERY_MEMORY_MB`, beside what is held for operations. */
const SHARE = 1 / 4;

/** What the sets of documents of one instance may take together: a quarter of the delivery's memory. */
export class SharedSetMemory implements SetMemory {
  readonly #limitBytes: number;
  #takenBytes = 0;

  constructor(deliveryMemoryBytes: number) {
    this.#limitBytes = deliveryMemoryBytes * SHARE;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  take(bytes: number): boolean {
    if (this.#takenBytes + bytes > this.#limitBytes) return false;
    this.#takenBytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#takenBytes -= bytes;
  }
}
