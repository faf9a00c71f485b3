import { readFileSync } from 'node:fs';

/** The published Avro schema of mutations, as text. */
export function mutationSchemaText(): string {
  return readFileSync(new URL('./datamart-mutation.avsc', import.meta.url), 'utf8');
}
