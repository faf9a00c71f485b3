import type { WriterSchemas } from './avro-mutation-decoder.ts';
import { orAbort } from './or-abort.ts';
import type { SchemaAnswer, SchemaSource } from './schema-registry.ts';
import { compileWriterSchema, type WriterSchema } from './writer-schema.ts';

/** How an unknown id is treated, and the time to do it by. */
export interface SchemaCacheOptions {
  /** Null when no registry address is set. */
  readonly source: SchemaSource | null;
  /** Milliseconds of any monotonic clock. */
  readonly now: () => number;
  /** Resolves after so many milliseconds; rejects when `signal` aborts. */
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  /** How often an id that the registry doesn't know is asked for before its records are given up. */
  readonly triesOfUnknown?: number;
  /** From the first of those tries to the last. */
  readonly triesWithinMs?: number;
  /** How long an unknown id stays unknown before it is asked for again. */
  readonly askAgainAfterMs?: number;
  /** How many unknown ids are remembered. */
  readonly maxUnknown?: number;
}

/**
 * What came of loading a schema.
 *
 * - `loaded`: `get` gives it.
 * - `unknown`: the registry doesn't have it; its records are dead letters.
 * - `unavailable`: nobody knows; wait and load it again.
 * - `unconfigured`: no registry address is set; nothing will come of waiting.
 */
export interface SchemaLoad {
  readonly status: 'loaded' | 'unknown' | 'unavailable' | 'unconfigured';
  /** In words, why it isn't loaded; empty when it is. */
  readonly detail: string;
}

const LOADED: SchemaLoad = { status: 'loaded', detail: '' };
const UNCONFIGURED: SchemaLoad = {
  status: 'unconfigured',
  detail: 'a record is in Avro and KAFKA_SCHEMA_REGISTRY_URL is not set',
};

/**
 * Keeps writer schemas by id.
 *
 * A schema never changes, so one that was loaded stays. An id that the registry doesn't know is asked for a few times
 * at first, since a producer may be faster than the registry's replicas; then its records are given up at once, while
 * `get` asks again in the background from time to time. One request per id is under way at most.
 */
export class SchemaCache implements WriterSchemas {
  private readonly options: Required<SchemaCacheOptions>;
  private readonly schemas = new Map<number, WriterSchema>();
  /** When an unknown id is to be asked for again. */
  private readonly unknown = new Map<number, number>();
  private readonly loads = new Map<number, Promise<SchemaLoad>>();
  private readonly closing = new AbortController();

  constructor(options: SchemaCacheOptions) {
    this.options = {
      triesOfUnknown: 3,
      triesWithinMs: 60_000,
      askAgainAfterMs: 600_000,
      maxUnknown: 10_000,
      ...options,
    };
  }

  /** The schema, or that there is none; undefined when it must be loaded first. Never waits. */
  get(id: number): WriterSchema | 'unknown' | undefined {
    const schema = this.schemas.get(id);
    if (schema !== undefined) return schema;
    const askAgainAt = this.unknown.get(id);
    if (askAgainAt === undefined) return undefined;
    if (this.options.now() >= askAgainAt) this.askAgain(id);
    return 'unknown';
  }

  /** Loads a schema, together with all others that wait for it. Rejects only when `signal` aborts, or after `close`. */
  async load(id: number, signal: AbortSignal): Promise<SchemaLoad> {
    signal.throwIfAborted();
    if (this.schemas.has(id)) return LOADED;
    if (this.unknown.has(id)) return unknownLoad(id);
    if (this.options.source === null) return UNCONFIGURED;
    return orAbort(this.startLoad(id, this.options.source, this.options.triesOfUnknown), signal);
  }

  /** Ends all loads, whose callers see the abort, and waits for them. */
  async close(): Promise<void> {
    this.closing.abort(new Error('the schema cache is closed'));
    await Promise.allSettled(this.loads.values());
  }

  private startLoad(id: number, source: SchemaSource, tries: number): Promise<SchemaLoad> {
    const running = this.loads.get(id);
    if (running !== undefined) return running;
    const load = this.ask(id, source, tries).finally(() => this.loads.delete(id));
    // A caller may have gone by the time this ends.
    load.catch(() => undefined);
    this.loads.set(id, load);
    return load;
  }

  private async ask(id: number, source: SchemaSource, tries: number): Promise<SchemaLoad> {
    const { signal } = this.closing;
    const pauseMs = this.options.triesWithinMs / Math.max(1, this.options.triesOfUnknown - 1);
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted();
      const answer: SchemaAnswer = await source.fetchSchema(id, signal);
      if (answer.kind === 'schema') {
        this.schemas.set(id, compileWriterSchema(answer.schema.text, answer.schema.references));
        this.unknown.delete(id);
        return LOADED;
      }
      if (answer.kind === 'unavailable') return { status: 'unavailable', detail: answer.detail };
      if (attempt >= tries) {
        this.remember(id);
        return unknownLoad(id);
      }
      await this.options.sleep(pauseMs, signal);
    }
  }

  /** One try in the background; the id stays unknown meanwhile, and when nobody answers. */
  private askAgain(id: number): void {
    const { source, now, askAgainAfterMs } = this.options;
    if (source === null || this.closing.signal.aborted) return;
    this.unknown.set(id, now() + askAgainAfterMs);
    void this.startLoad(id, source, 1);
  }

  private remember(id: number): void {
    this.unknown.delete(id);
    this.unknown.set(id, this.options.now() + this.options.askAgainAfterMs);
    if (this.unknown.size <= this.options.maxUnknown) return;
    const [oldest] = this.unknown.keys();
    if (oldest !== undefined) this.unknown.delete(oldest);
  }
}

function unknownLoad(id: number): SchemaLoad {
  return { status: 'unknown', detail: `the registry has no schema ${id}` };
}
