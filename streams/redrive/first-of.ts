/** Keeps the first items of an order, so many at most; holds twice as many at a time. */
export class FirstOf<Item> {
  readonly #limit: number;
  readonly #inOrder: (items: readonly Item[]) => Item[];
  #items: Item[] = [];
  #isCut = false;

  /** `inOrder` sorts, and may leave out what counts once; it must not change what it is given. */
  constructor(limit: number, inOrder: (items: readonly Item[]) => Item[]) {
    this.#limit = limit;
    this.#inOrder = inOrder;
  }

  add(item: Item): void {
    this.#items.push(item);
    if (this.#items.length >= this.#limit * 2) this.#cut();
  }

  /** What was kept, in order. */
  get items(): readonly Item[] {
    this.#cut();
    return this.#items;
  }

  /** Whether there were more than it keeps. */
  get isCut(): boolean {
    this.#cut();
    return this.#isCut;
  }

  #cut(): void {
    const ordered = this.#inOrder(this.#items);
    this.#isCut ||= ordered.length > this.#limit;
    this.#items = ordered.slice(0, this.#limit);
  }
}
