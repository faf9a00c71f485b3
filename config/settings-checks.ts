import { BUILT_IN_SINKS, type SettingValues } from './settings-schema.ts';

/** A contradiction between settings that are each allowed by themselves. */
export interface Contradiction {
  /** The file keys of the settings concerned, the one to change first in front. */
  readonly keys: readonly [string, ...string[]];
  readonly message: string;
}

/** Finds every contradiction between the settings. Pure; takes values that passed their own formats. */
export function findContradictions(values: SettingValues): readonly Contradiction[] {
  return [
    ...topicContradictions(values.topics),
    ...kafkaContradictions(values.kafka),
    ...sinkContradictions(values.sinks),
    ...otherContradictions(values),
  ];
}

function topicContradictions(topics: SettingValues['topics']): Contradiction[] {
  const found: Contradiction[] = [];
  if (topics.snapshot.length !== topics.mutations.length) {
    found.push({
      keys: ['topics.snapshot', 'topics.mutations'],
      message:
        `${topics.mutations.length} mutation topics need as many snapshot topics, in the same order; ` +
        `there are ${topics.snapshot.length}`,
    });
  }
  const users = new Map<string, string>();
  for (const [setting, value] of Object.entries(topics)) {
    if (typeof value === 'number') continue;
    for (const topic of typeof value === 'string' ? [value] : value) {
      // Kafka's metrics write both as `_`, so it refuses a topic whose name differs only there.
      const canonical = topic.replaceAll('.', '_');
      const key = `topics.${setting}`;
      const user = users.get(canonical);
      if (user === undefined) users.set(canonical, key);
      else {
        found.push({
          keys: user === key ? [key] : [key, user],
          message: `topic ${topic} is used twice; every topic needs a name of its own ('.' and '_' count as the same)`,
        });
      }
    }
  }
  return found;
}

function kafkaContradictions(kafka: SettingValues['kafka']): Contradiction[] {
  const found: Contradiction[] = [];
  for (const name of ['ssl_ca_file', 'ssl_cert_file', 'ssl_key_file'] as const) {
    if (kafka[name] !== null && !kafka.ssl) {
      found.push({ keys: [`kafka.${name}`, 'kafka.ssl'], message: 'has no effect without KAFKA_SSL=true' });
    }
  }
  if ((kafka.ssl_cert_file === null) !== (kafka.ssl_key_file === null)) {
    found.push({
      keys: ['kafka.ssl_cert_file', 'kafka.ssl_key_file'],
      message: 'mutual TLS needs both, or none of them',
    });
  }
  const sasl = [kafka.sasl_mechanism, kafka.sasl_username, kafka.sasl_password];
  if (sasl.some((part) => part !== null) && sasl.includes(null)) {
    found.push({
      keys: ['kafka.sasl_mechanism', 'kafka.sasl_username', 'kafka.sasl_password'],
      message: 'SASL needs all three, or none of them',
    });
  }
  const { schema_registry_username: username, schema_registry_password: password } = kafka;
  if ((username === null) !== (password === null)) {
    found.push({
      keys: ['kafka.schema_registry_username', 'kafka.schema_registry_password'],
      message: 'the registry needs both, or none of them',
    });
  } else if (username !== null && kafka.schema_registry_url === null) {
    found.push({
      keys: ['kafka.schema_registry_username', 'kafka.schema_registry_url'],
      message: 'has no effect without KAFKA_SCHEMA_REGISTRY_URL',
    });
  }
  return found;
}

function sinkContradictions(sinks: SettingValues['sinks']): Contradiction[] {
  const builtIn: readonly string[] = BUILT_IN_SINKS;
  if (sinks.modules !== null) return [];
  return sinks.enabled
    .filter((type) => !builtIn.includes(type))
    .map((type) => ({
      keys: ['sinks.enabled', 'sinks.modules'],
      message: `${type} is none of ${builtIn.join(', ')}, and no module brings it`,
    }));
}

function otherContradictions(values: SettingValues): Contradiction[] {
  const found: Contradiction[] = [];
  const { delivery, credentials } = values;
  if (delivery.window_mb > delivery.memory_mb) {
    found.push({
      keys: ['delivery.window_mb', 'delivery.memory_mb'],
      message: `one partition's window (${delivery.window_mb} MB) doesn't fit into the process's memory (${delivery.memory_mb} MB)`,
    });
  }
  if (credentials.old_keys !== null && credentials.key === null) {
    found.push({
      keys: ['credentials.old_keys', 'credentials.key'],
      message: 'former keys need a present one',
    });
  }
  return found;
}
