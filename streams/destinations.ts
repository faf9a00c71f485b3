import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { SinkRegistry } from '../sinks/registry.ts';
import type { SinkError } from '../sinks/sink.ts';
import { Destination, type DestinationContext } from './destination.ts';
import { identityOf } from './replication-identity.ts';

/** The destinations of this instance, one for each replication that some lane has needed. */
export class Destinations {
  readonly #registry: SinkRegistry;
  readonly #context: DestinationContext;
  readonly #byIdentity = new Map<string, Destination>();

  constructor(registry: SinkRegistry, context: DestinationContext) {
    this.#registry = registry;
    this.#context = context;
  }

  /** The replication's destination; it opens nothing before its first batch. */
  of(config: ReplicationConfig): Destination {
    const identity = identityOf(config);
    const existing = this.#byIdentity.get(identity);
    if (existing) return existing;
    const adapter = this.#registry.get(config.type);
    if (!adapter)
      throw new Error(
        `replication ${config.id} has type ${config.type}, which the table should have refused`,
      );
    const destination = new Destination(config, adapter, this.#context);
    this.#byIdentity.set(identity, destination);
    return destination;
  }

  /** Follows a change of the table: takes new options, closes what was deleted or made anew. */
  async apply(previous: ReplicationConfig | null, next: ReplicationConfig | null): Promise<void> {
    const before = previous ? identityOf(previous) : null;
    const after = next ? identityOf(next) : null;
    if (before !== null && before !== after) {
      const gone = this.#byIdentity.get(before);
      this.#byIdentity.delete(before);
      await gone?.close();
    }
    if (next && after !== null) await this.#byIdentity.get(after)?.update(next);
  }

  /**
   * The replication's credentials have changed (`Destination.renew`). Resolves with why the new ones don't work; null
   * when they do, or when nothing is open that they would matter to. Never rejects.
   */
  async renew(config: ReplicationConfig): Promise<SinkError | null> {
    return (await this.find(config)?.renew()) ?? null;
  }

  /** The replication's destination, if some lane has needed it. */
  find(config: ReplicationConfig): Destination | null {
    return this.#byIdentity.get(identityOf(config)) ?? null;
  }

  all(): IterableIterator<Destination> {
    return this.#byIdentity.values();
  }

  async close(): Promise<void> {
    const destinations = [...this.#byIdentity.values()];
    this.#byIdentity.clear();
    await Promise.all(destinations.map((destination) => destination.close()));
  }
}
