import { SeededRandom } from '../../local/random.ts';

/** Every decision of a simulation, from one seed. */
export class Chance {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(Math.imul(seed + 1, 0x9e3779b1));
    for (let i = 0; i < 4; i += 1) this.#random.uint32();
  }

  /** In [0, 1). */
  readonly fraction = (): number => this.#random.uint32() / 0x1_0000_0000;

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.#random.below(high - low + 1);
  }

  /** As `between`, but low numbers come more often. */
  mostlyLow(low: number, high: number): number {
    return low + Math.floor(this.fraction() ** 3 * (high - low + 1));
  }

  is(probability: number): boolean {
    return this.#random.chance(probability);
  }

  of<T>(list: readonly T[]): T {
    if (list.length === 0) throw new RangeError('nothing to choose from');
    return list[this.#random.below(list.length)]!;
  }
}
