import type { SchemaLoad } from '../schemas/schema-cache.ts';

/** Loads the Avro schemas that records name. Rejects only when `signal` aborts. */
export interface SchemaLoader {
  load(schemaId: number, signal: AbortSignal): Promise<SchemaLoad>;
}
