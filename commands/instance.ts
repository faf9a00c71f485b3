import type { Readiness } from '../api/ops-server.ts';
import type { SchemaCache } from '../schemas/schema-cache.ts';
import type { SinkRegistry } from '../sinks/registry.ts';
import type { Unfinished } from '../streams/application.ts';
import type { ControlTables } from '../streams/control-tables.ts';
import type { EngineMetrics } from '../streams/metrics.ts';
import type { PartitionPins } from '../streams/partition-pins.ts';
import type { PositionLists } from '../streams/position-lists.ts';

/** What `start` runs: the processor with its tables, or the tables alone for an instance that only serves the API. */
export interface Instance {
  readonly metrics: EngineMetrics;
  readonly sinks: SinkRegistry;
  readonly schemas: SchemaCache;
  readonly control: {
    readonly tables: ControlTables;
    readonly pins: Pick<PartitionPins, 'isHeld' | 'countOf'>;
    readonly lists: Pick<PositionLists, 'resolve'>;
  };
  /** False once it is ending, or can't work any more. */
  readonly isHealthy: boolean;
  /** Rejects when it can't go on by itself. Never resolves. */
  readonly failed: Promise<never>;
  readiness(): Readiness;
  /** Resolves when it works. Rejects when that can't be, or when `close` was called meanwhile. */
  start(): Promise<void>;
  /** Stops it; what was taken up is delivered within `drainMs`. Idempotent. */
  close(drainMs: number): Promise<void>;
  /** What isn't done yet, for the line that says why an end was forced. */
  unfinished(): Unfinished;
}
