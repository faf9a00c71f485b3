import type { SchemaObj } from 'convict';
import {
  anyText,
  base64Key,
  choice,
  hostAndPort,
  httpUrl,
  integer,
  kafkaId,
  list,
  listenHost,
  path,
  sinkType,
  text,
  topicName,
  trueOrFalse,
  type SettingFormat,
} from './setting-formats.ts';

/** One setting: convict's entry, and the format that reads it. */
export interface Setting<T> extends SchemaObj<T> {
  readonly doc: string;
  readonly env: string;
  readonly default: T;
  readonly sensitive: boolean;
  readonly reader: SettingFormat<unknown>;
}

interface SettingOptions {
  readonly sensitive?: boolean;
}

const secret: SettingOptions = { sensitive: true };

function setting<T>(
  env: string,
  defaultValue: NoInfer<T>,
  reader: SettingFormat<T>,
  doc: string,
): Setting<T> {
  return entry(env, defaultValue, reader, doc, {});
}

/** A setting without default: null while it isn't set. */
function optional<T>(
  env: string,
  reader: SettingFormat<T>,
  doc: string,
  options: SettingOptions = {},
): Setting<T | null> {
  return entry<T | null>(env, null, reader, doc, options);
}

function entry<T>(
  env: string,
  defaultValue: T,
  reader: SettingFormat<unknown>,
  doc: string,
  options: SettingOptions,
): Setting<T> {
  return {
    env,
    doc,
    default: defaultValue,
    reader,
    sensitive: options.sensitive ?? false,
    nullable: defaultValue === null,
    format(value: unknown) {
      if (reader.parse(value) === undefined) throw new Error(`allowed is ${reader.allowed}`);
    },
  };
}

/** The sink types that are part of this program. */
export const BUILT_IN_SINKS = ['GOOGLE_PUBSUB', 'AZURE_EVENT_HUBS', 'KAFKA_TOPIC', 'FILE'] as const;

/** What an instance can do. */
export const ROLES = ['replicate', 'api'] as const;

/**
 * The convict schema of every setting (CONTRACT section 9). A variable `A_B_C` is the file key `a.b_c` and the flag
 * `--a-b-c`; a test keeps the names so. Sensitive settings can also come as `NAME_FILE`, the path of a file.
 */
export const settingsSchema = {
  kafka: {
    brokers: optional('KAFKA_BROKERS', list(hostAndPort), 'the brokers to start from'),
    group_id: setting(
      'KAFKA_GROUP_ID',
      'datamart-replication',
      kafkaId,
      'the consumer group that all instances share',
    ),
    client_id: setting('KAFKA_CLIENT_ID', 'datamart-replication', kafkaId, 'the name that brokers log'),
    ssl: setting('KAFKA_SSL', false, trueOrFalse, 'whether brokers are reached over TLS'),
    ssl_ca_file: optional('KAFKA_SSL_CA_FILE', path, "the PEM file of the brokers' certificate authority"),
    ssl_cert_file: optional(
      'KAFKA_SSL_CERT_FILE',
      path,
      'the PEM file of the client certificate (mutual TLS)',
    ),
    ssl_key_file: optional('KAFKA_SSL_KEY_FILE', path, "the PEM file of the client certificate's key"),
    sasl_mechanism: optional(
      'KAFKA_SASL_MECHANISM',
      choice(['plain', 'scram-sha-256', 'scram-sha-512']),
      'how the client authenticates',
    ),
    sasl_username: optional('KAFKA_SASL_USERNAME', anyText, 'the user of SASL'),
    sasl_password: optional('KAFKA_SASL_PASSWORD', anyText, 'the password of SASL', secret),
    schema_registry_url: optional(
      'KAFKA_SCHEMA_REGISTRY_URL',
      httpUrl,
      'the Confluent schema registry; needed once an Avro mutation arrives',
    ),
    schema_registry_username: optional('KAFKA_SCHEMA_REGISTRY_USERNAME', anyText, "the registry's user"),
    schema_registry_password: optional(
      'KAFKA_SCHEMA_REGISTRY_PASSWORD',
      anyText,
      "the registry's password",
      secret,
    ),
    start_from: setting(
      'KAFKA_START_FROM',
      'earliest',
      choice(['earliest', 'latest']),
      'where a group without committed offsets starts',
    ),
  },
  topics: {
    mutations: setting('TOPICS_MUTATIONS', ['datamart-mutations'], list(topicName), 'the mutation topics'),
    replication_config: setting(
      'TOPICS_REPLICATION_CONFIG',
      'replication-config',
      topicName,
      'the control topic of replications',
    ),
    replication_credentials: setting(
      'TOPICS_REPLICATION_CREDENTIALS',
      'replication-credentials',
      topicName,
      'sealed credentials',
    ),
    replication_status: setting(
      'TOPICS_REPLICATION_STATUS',
      'replication-status',
      topicName,
      'what the processors observed',
    ),
    initial_sync_requests: setting(
      'TOPICS_INITIAL_SYNC_REQUESTS',
      'initial-sync-requests',
      topicName,
      'requests of initial syncs',
    ),
    initial_sync_executions: setting(
      'TOPICS_INITIAL_SYNC_EXECUTIONS',
      'initial-sync-executions',
      topicName,
      'initial syncs and their tasks',
    ),
    snapshot: setting(
      'TOPICS_SNAPSHOT',
      ['datamart-snapshot'],
      list(topicName),
      'the snapshot topics, one for each mutation topic, in the same order',
    ),
    dead_letters: setting(
      'TOPICS_DEAD_LETTERS',
      'replication-dead-letters',
      topicName,
      "mutations that can't be replicated",
    ),
    dead_letters_retention_hours: setting(
      'TOPICS_DEAD_LETTERS_RETENTION_HOURS',
      336,
      integer(1, 87_600),
      'how long `topics create` makes dead letters stay',
    ),
  },
  roles: setting('ROLES', ROLES, list(choice(ROLES)), 'what this instance does'),
  http: {
    host: setting('HTTP_HOST', '127.0.0.1', listenHost, 'where API, console, health and metrics listen'),
    port: setting('HTTP_PORT', 8080, integer(0, 65_535), 'its port; 0 takes a free one'),
    internal_host: optional(
      'HTTP_INTERNAL_HOST',
      listenHost,
      'when set, health and metrics listen only here',
    ),
    internal_port: optional(
      'HTTP_INTERNAL_PORT',
      integer(0, 65_535),
      'when set, health and metrics listen only here',
    ),
    tokens_file: optional(
      'HTTP_TOKENS_FILE',
      path,
      "the file of the API's tokens; without it /v1 answers 401",
    ),
    rate_limit: setting('HTTP_RATE_LIMIT', 20, integer(1, 100_000), 'API requests per second and token'),
  },
  credentials: {
    directory: optional('CREDENTIALS_DIRECTORY', path, 'the only directory for `file:` credentials'),
    key: optional(
      'CREDENTIALS_KEY',
      base64Key,
      'the key that `sealed:` credentials are encrypted under',
      secret,
    ),
    old_keys: optional(
      'CREDENTIALS_OLD_KEYS',
      list(base64Key),
      'former keys, while `credentials rotate` has not run',
      secret,
    ),
  },
  sinks: {
    allow_emulators: setting(
      'SINKS_ALLOW_EMULATORS',
      false,
      trueOrFalse,
      'allows emulators and custom endpoints; never in production',
    ),
    file_directory: optional('SINKS_FILE_DIRECTORY', path, 'the only directory for FILE replications'),
    enabled: setting('SINKS_ENABLED', BUILT_IN_SINKS, list(sinkType), 'the types that replications may have'),
    modules: optional(
      'SINKS_MODULES',
      list(text(/^[^\s,]+$/, 'a module specifier')),
      'modules of third-party sinks',
    ),
    kafka_brokers: optional(
      'SINKS_KAFKA_BROKERS',
      list(hostAndPort),
      'the brokers that KAFKA_TOPIC replications may name',
    ),
  },
  snapshot: {
    enabled: setting('SNAPSHOT_ENABLED', true, trueOrFalse, 'whether this program keeps the snapshot topic'),
  },
  initial: {
    sync_window_hours: setting(
      'INITIAL_SYNC_WINDOW_HOURS',
      168,
      integer(0, 87_600),
      'how long a succeeded initial sync blocks the next; 0 turns it off',
    ),
    sync_max_rate: optional(
      'INITIAL_SYNC_MAX_RATE',
      integer(1, 10_000_000),
      'operations per second and replication',
    ),
  },
  delivery: {
    detach_after_seconds: setting(
      'DELIVERY_DETACH_AFTER_SECONDS',
      30,
      integer(1, 3_600),
      'how long a stuck destination holds up its partition before it is left to catch up',
    ),
    memory_mb: setting('DELIVERY_MEMORY_MB', 256, integer(16, 65_536), 'operations held by the process'),
    window_records: setting(
      'DELIVERY_WINDOW_RECORDS',
      10_000,
      integer(1, 1_000_000),
      'mutations in flight per partition',
    ),
    window_mb: setting('DELIVERY_WINDOW_MB', 32, integer(1, 4_096), 'bytes in flight per partition'),
    shutdown_seconds: setting('DELIVERY_SHUTDOWN_SECONDS', 10, integer(0, 20), 'how long SIGTERM drains'),
  },
  limits: {
    replications_per_datamart: setting(
      'LIMITS_REPLICATIONS_PER_DATAMART',
      100,
      integer(1, 100_000),
      'replications of one datamart',
    ),
  },
  log: {
    level: setting(
      'LOG_LEVEL',
      'info',
      choice(['debug', 'info', 'warn', 'error']),
      'the least level that is logged',
    ),
    format: setting(
      'LOG_FORMAT',
      'auto',
      choice(['auto', 'json', 'pretty']),
      'JSON lines, or pretty; auto is pretty on a terminal',
    ),
  },
} as const;

type ValuesOf<Node> = {
  -readonly [Key in keyof Node]: Node[Key] extends Setting<infer T> ? T : ValuesOf<Node[Key]>;
};

/** The settings as convict holds them: the file's keys, values parsed one by one, null where there is none. */
export type SettingValues = ValuesOf<typeof settingsSchema>;

/** One setting under all its names. */
export interface SettingDefinition {
  /** `a.b_c`, as in the file. */
  readonly key: string;
  /** `A_B_C` */
  readonly env: string;
  /** `a-b-c`, without the dashes in front. */
  readonly flag: string;
  readonly doc: string;
  readonly isSecret: boolean;
  readonly isBoolean: boolean;
  readonly default: unknown;
  readonly reader: SettingFormat<unknown>;
}

/** Every setting, in the schema's order. */
export const SETTINGS: readonly SettingDefinition[] = definitionsOf(settingsSchema, '');

function definitionsOf(node: object, prefix: string): SettingDefinition[] {
  return Object.entries(node).flatMap(([name, entry]: [string, object]) => {
    const key = prefix + name;
    if (!isSetting(entry)) return definitionsOf(entry, `${key}.`);
    const definition = {
      key,
      env: entry.env,
      flag: key.replaceAll(/[._]/g, '-'),
      doc: entry.doc,
      isSecret: entry.sensitive,
      isBoolean: typeof entry.default === 'boolean',
      default: entry.default,
      reader: entry.reader,
    };
    return [definition];
  });
}

function isSetting(entry: object): entry is Setting<unknown> {
  return 'reader' in entry;
}
