import type { SinkAdapter } from './sink.ts';

const TYPE_NAME = /^[A-Z][A-Z0-9_]{2,39}$/;

/** The kinds of destinations that this program serves, by the config record's `type`. Filled before anything starts. */
export class SinkRegistry {
  readonly #adapters = new Map<string, SinkAdapter>();

  constructor(adapters: Iterable<SinkAdapter> = []) {
    for (const adapter of adapters) this.register(adapter);
  }

  /** Throws when the type's name isn't allowed or is taken. */
  register(adapter: SinkAdapter): void {
    if (!TYPE_NAME.test(adapter.type)) {
      throw new Error(
        `registering sink ${JSON.stringify(adapter.type)}: a type is named like ${TYPE_NAME.source}`,
      );
    }
    if (this.#adapters.has(adapter.type)) {
      throw new Error(`registering sink ${adapter.type}: there is one of that type already`);
    }
    this.#adapters.set(adapter.type, adapter);
  }

  get(type: string): SinkAdapter | undefined {
    return this.#adapters.get(type);
  }

  has(type: string): boolean {
    return this.#adapters.has(type);
  }

  /** In the order of registration. */
  types(): readonly string[] {
    return [...this.#adapters.keys()];
  }
}
