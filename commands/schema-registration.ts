import { ConfigError } from '../config/config-error.ts';
import type { KafkaSettings } from '../config/settings.ts';

const REGISTRY_TIMEOUT_MS = 10_000;

/**
 * What registers the published schema of mutations under a subject, and tells its id. Throws a ConfigError without a
 * registry.
 */
export async function schemaRegistration({
  schemaRegistry,
}: KafkaSettings): Promise<(subject: string) => Promise<number>> {
  if (!schemaRegistry) {
    throw new ConfigError([
      'KAFKA_SCHEMA_REGISTRY_URL (default): not set; allowed is an http:// or https:// address, which schemas need',
    ]);
  }
  const { HttpSchemaRegistry } = await import('../schemas/schema-registry.ts');
  const { mutationSchemaText } = await import('../schemas/mutation-schema.ts');
  const registry = new HttpSchemaRegistry({ ...schemaRegistry, timeoutMs: REGISTRY_TIMEOUT_MS });
  return (subject) => registry.registerSchema(subject, mutationSchemaText(), new AbortController().signal);
}
