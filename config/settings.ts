import { keyBytes } from './setting-formats.ts';
import { ROLES, type SettingValues } from './settings-schema.ts';

/** How the brokers are reached. PEM texts are the contents of the files that the settings name. */
export interface KafkaSettings {
  /** Empty when KAFKA_BROKERS isn't set: commands that need a broker refuse then. */
  readonly brokers: readonly string[];
  readonly groupId: string;
  readonly clientId: string;
  readonly tls: {
    readonly caPem: string | null;
    readonly certPem: string | null;
    readonly keyPem: string | null;
  } | null;
  readonly sasl: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: string;
  } | null;
  readonly schemaRegistry: {
    readonly url: string;
    readonly username: string | null;
    readonly password: string | null;
  } | null;
  readonly startFrom: 'earliest' | 'latest';
}

/** Topic names. `snapshots[i]` belongs to `mutations[i]`. */
export interface TopicSettings {
  readonly mutations: readonly string[];
  readonly snapshots: readonly string[];
  readonly replicationConfig: string;
  readonly replicationCredentials: string;
  readonly replicationStatus: string;
  readonly initialSyncRequests: string;
  readonly initialSyncExecutions: string;
  readonly deadLetters: string;
  readonly deadLettersRetentionHours: number;
}

export type Role = (typeof ROLES)[number];

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface HttpSettings extends ListenAddress {
  /** Where health and metrics listen; null when they share the API's address. */
  readonly internal: ListenAddress | null;
  readonly tokensFile: string | null;
  /** Requests per second and token. */
  readonly rateLimit: number;
}

export interface CredentialsSettings {
  readonly directory: string | null;
  /** 32 bytes. */
  readonly key: Buffer | null;
  readonly oldKeys: readonly Buffer[];
}

export interface SinksSettings {
  readonly allowEmulators: boolean;
  readonly fileDirectory: string | null;
  readonly enabled: readonly string[];
  readonly modules: readonly string[];
  readonly kafkaBrokers: readonly string[];
}

export interface InitialSyncSettings {
  /** 0 turns the window off. */
  readonly windowHours: number;
  /** Operations per second and replication; null is no limit. */
  readonly maxRate: number | null;
}

export interface DeliverySettings {
  readonly detachAfterMs: number;
  readonly memoryBytes: number;
  readonly windowRecords: number;
  readonly windowBytes: number;
  readonly shutdownMs: number;
}

export interface LogSettings {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'auto' | 'json' | 'pretty';
}

/** Every setting, checked, typed and frozen. The composition root hands each part its slice. */
export interface Settings {
  readonly kafka: KafkaSettings;
  readonly topics: TopicSettings;
  readonly roles: readonly Role[];
  readonly http: HttpSettings;
  readonly credentials: CredentialsSettings;
  readonly sinks: SinksSettings;
  readonly snapshot: { readonly enabled: boolean };
  readonly initialSync: InitialSyncSettings;
  readonly delivery: DeliverySettings;
  readonly limits: { readonly replicationsPerDatamart: number };
  readonly log: LogSettings;
}

const MEBIBYTE = 1024 * 1024;

/**
 * Turns checked values into `Settings`. `readPem` returns the content of a certificate file, null when it can't
 * be read (which the caller has reported then).
 */
export function settingsOf(values: SettingValues, readPem: (path: string) => string | null): Settings {
  const { kafka, topics, http, credentials, sinks, initial, delivery } = values;
  const pem = (file: string | null): string | null => (file === null ? null : readPem(file));
  return deepFreeze<Settings>({
    kafka: {
      brokers: distinct(kafka.brokers ?? []),
      groupId: kafka.group_id,
      clientId: kafka.client_id,
      tls: kafka.ssl
        ? {
            caPem: pem(kafka.ssl_ca_file),
            certPem: pem(kafka.ssl_cert_file),
            keyPem: pem(kafka.ssl_key_file),
          }
        : null,
      sasl: saslOf(kafka),
      schemaRegistry:
        kafka.schema_registry_url === null
          ? null
          : {
              url: kafka.schema_registry_url,
              username: kafka.schema_registry_username,
              password: kafka.schema_registry_password,
            },
      startFrom: kafka.start_from,
    },
    topics: {
      mutations: [...topics.mutations],
      snapshots: [...topics.snapshot],
      replicationConfig: topics.replication_config,
      replicationCredentials: topics.replication_credentials,
      replicationStatus: topics.replication_status,
      initialSyncRequests: topics.initial_sync_requests,
      initialSyncExecutions: topics.initial_sync_executions,
      deadLetters: topics.dead_letters,
      deadLettersRetentionHours: topics.dead_letters_retention_hours,
    },
    roles: ROLES.filter((role) => values.roles.includes(role)),
    http: {
      host: http.host,
      port: http.port,
      internal: internalAddress(http),
      tokensFile: http.tokens_file,
      rateLimit: http.rate_limit,
    },
    credentials: {
      directory: credentials.directory,
      key: credentials.key === null ? null : keyBytes(credentials.key),
      oldKeys: (credentials.old_keys ?? []).map(keyBytes),
    },
    sinks: {
      allowEmulators: sinks.allow_emulators,
      fileDirectory: sinks.file_directory,
      enabled: distinct(sinks.enabled),
      modules: distinct(sinks.modules ?? []),
      kafkaBrokers: distinct(sinks.kafka_brokers ?? []),
    },
    snapshot: { enabled: values.snapshot.enabled },
    initialSync: { windowHours: initial.sync_window_hours, maxRate: initial.sync_max_rate },
    delivery: {
      detachAfterMs: delivery.detach_after_seconds * 1000,
      memoryBytes: delivery.memory_mb * MEBIBYTE,
      windowRecords: delivery.window_records,
      windowBytes: delivery.window_mb * MEBIBYTE,
      shutdownMs: delivery.shutdown_seconds * 1000,
    },
    limits: { replicationsPerDatamart: values.limits.replications_per_datamart },
    log: { level: values.log.level, format: values.log.format },
  });
}

function saslOf(kafka: SettingValues['kafka']): KafkaSettings['sasl'] {
  const { sasl_mechanism: mechanism, sasl_username: username, sasl_password: password } = kafka;
  return mechanism === null || username === null || password === null
    ? null
    : { mechanism, username, password };
}

function internalAddress(http: SettingValues['http']): ListenAddress | null {
  const host = http.internal_host ?? http.host;
  const port = http.internal_port ?? http.port;
  const isSame = host === http.host && port === http.port;
  return isSame ? null : { host, port };
}

function distinct<T>(values: readonly T[]): readonly T[] {
  return [...new Set(values)];
}

function deepFreeze<T>(value: T): T {
  // The elements of a Buffer can't be frozen.
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}
