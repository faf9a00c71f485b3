import { hostname } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import type { Settings } from '../config/settings.ts';
import { CredentialsTable } from '../processors/credentials-table.ts';
import { ReplicationTable } from '../processors/replication-table.ts';
import { AvroOperationEncoder } from '../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../schemas/operation-encoder-json.ts';
import { RecordDecoder } from '../schemas/record-decoder.ts';
import { SchemaCache } from '../schemas/schema-cache.ts';
import { HttpSchemaRegistry } from '../schemas/schema-registry.ts';
import { azureEventHubsAdapter } from '../sinks/azure-event-hubs/azure-event-hubs-adapter.ts';
import {
  credentialsResolver,
  credentialsUriProblem,
  fileCredentials,
  sealedCredentials,
  type CredentialsResolver,
} from '../sinks/credentials.ts';
import { fileAdapter } from '../sinks/file/file-adapter.ts';
import { googlePubSubAdapter } from '../sinks/google-pubsub/google-pubsub-adapter.ts';
import { kafkaTopicAdapter } from '../sinks/kafka-topic/kafka-topic-adapter.ts';
import { SinkRegistry } from '../sinks/registry.ts';
import { KeyRing } from '../sinks/sealed-credentials.ts';
import { loadSinkModule } from '../sinks/sink-module.ts';
import type { SinkAdapter } from '../sinks/sink.ts';
import { ReplicationApplication } from '../streams/application.ts';
import { systemClock } from '../streams/clock.ts';
import { FatalStreamsError } from '../streams/errors.ts';
import { tombstonesKeptMs } from '../streams/initial-sync/gap-finding.ts';
import { kafkajsInspectionAdmin } from '../streams/kafka/inspection-admin.ts';
import { kafkajsPort } from '../streams/kafka/kafkajs-port.ts';
import { sinkProducers } from '../streams/kafka/sink-producers.ts';
import { kafkajsTopicAdmin } from '../streams/kafka/topic-admin.ts';
import type { Logger } from '../streams/logger.ts';
import { EngineMetrics } from '../streams/metrics.ts';
import type { CheckedTopics } from '../streams/topics/awaited-topics.ts';
import { checkTopics } from '../streams/topics/create-topics.ts';

const REGISTRY_TIMEOUT_MS = 5_000;

/** What is handed in from outside the settings. */
export interface ProcessorEnvironment {
  /** `PUBSUB_EMULATOR_HOST`, used only when emulators are allowed. */
  readonly pubsubEmulatorHost: string | null;
}

/** The stream processor of one instance, put together from its settings. */
export interface Processor {
  readonly application: ReplicationApplication;
  readonly metrics: EngineMetrics;
  readonly table: ReplicationTable;
  readonly sinks: SinkRegistry;
  readonly schemas: SchemaCache;
}

/** Composes the stream processor: settings → ports → application. Opens no connection yet. */
export async function composeProcessor(
  settings: Settings,
  logger: Logger,
  environment: ProcessorEnvironment,
): Promise<Processor> {
  const sinks = await openSinks(settings, logger, environment);
  const table = openTable(sinks, settings);
  const sealed = new CredentialsTable();
  const schemas = openSchemas(settings);
  const metrics = new EngineMetrics();
  metrics.collectProcessMetrics();
  const application = new ReplicationApplication({
    groupId: settings.kafka.groupId,
    instance: `${hostname()}-${process.pid}`,
    topics: settings.topics,
    delivery: settings.delivery,
    startFrom: settings.kafka.startFrom,
    snapshot: { topics: snapshotTopicsOf(settings.topics), isKept: settings.snapshot.enabled },
    initialSync: {
      windowMs: settings.initialSync.windowHours * 3_600_000,
      maxRate: settings.initialSync.maxRate,
    },
    kafka: kafkajsPort(settings.kafka, logger),
    table,
    decoder: new RecordDecoder(schemas),
    encoders: { 1: new JsonOperationEncoder(), 2: new AvroOperationEncoder() },
    schemas,
    sinks,
    sealedCredentials: sealed,
    credentials: openCredentials(settings, sealed),
    checkTopics: (pinned) => checkOwnTopics(settings, logger, pinned),
    partitionCounts: (topics) => partitionCounts(settings, logger, topics),
    tombstonesKeptMs: (topics) => keptMs(settings, logger, topics),
    metrics,
    clock: systemClock,
    random: Math.random,
    logger,
  });
  return { application, metrics, table, sinks, schemas };
}

/** The snapshot topic of each mutation topic. */
function snapshotTopicsOf(topics: Settings['topics']): ReadonlyMap<string, string> {
  return new Map(topics.mutations.map((topic, i) => [topic, topics.snapshots[i] ?? '']));
}

/** The table of replications whose destinations are of these kinds, still empty. */
export function openTable(sinks: SinkRegistry, { limits }: Settings): ReplicationTable {
  const types = sinks.types().flatMap((type) => {
    const adapter = sinks.get(type);
    return adapter ? [[type, adapter] as const] : [];
  });
  return new ReplicationTable(
    { types: new Map(types), checkCredentialsUri: credentialsUriProblem },
    { maxPerDatamart: limits.replicationsPerDatamart },
  );
}

/** Resolves both kinds of `credentials_uri`; sealed ones from this table. */
export function openCredentials({ credentials }: Settings, records: CredentialsTable): CredentialsResolver {
  return credentialsResolver({
    file: fileCredentials(credentials),
    sealed: sealedCredentials({ records, keys: new KeyRing(credentials) }),
  });
}

export function openSchemas({ kafka: { schemaRegistry } }: Settings): SchemaCache {
  return new SchemaCache({
    source:
      schemaRegistry === null
        ? null
        : new HttpSchemaRegistry({ ...schemaRegistry, timeoutMs: REGISTRY_TIMEOUT_MS }),
    now: () => performance.now(),
    sleep: (milliseconds, signal) => setTimeout(milliseconds, undefined, { signal }),
  });
}

/** The kinds of destinations that `SINKS_ENABLED` and `SINKS_MODULES` turn on. */
export async function openSinks(
  { kafka, sinks, topics }: Settings,
  logger: Logger,
  { pubsubEmulatorHost }: ProcessorEnvironment,
): Promise<SinkRegistry> {
  const { allowEmulators } = sinks;
  const ownTopics = [
    ...topics.mutations,
    ...topics.snapshots,
    topics.replicationConfig,
    topics.replicationCredentials,
    topics.replicationStatus,
    topics.initialSyncRequests,
    topics.initialSyncExecutions,
    topics.deadLetters,
  ];
  const builtIn = [
    googlePubSubAdapter({ allowEmulators, emulatorHost: pubsubEmulatorHost }),
    azureEventHubsAdapter({ allowEmulators }),
    kafkaTopicAdapter({
      producers: sinkProducers(kafka, logger),
      ownTopics,
      allowedBrokers: sinks.kafkaBrokers,
    }),
    fileAdapter({ directory: sinks.fileDirectory }),
  ];
  const modules = await Promise.all(sinks.modules.map(loadSinkModule));
  const isEnabled = ({ type }: { type: string }): boolean => sinks.enabled.includes(type);
  // An adapter is only ever handed the configs that it parsed itself.
  return new SinkRegistry([...(builtIn as readonly SinkAdapter<unknown>[]), ...modules].filter(isEnabled));
}

async function partitionCounts(
  settings: Settings,
  logger: Logger,
  topics: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const admin = kafkajsInspectionAdmin(settings.kafka, logger);
  try {
    return await admin.partitionCounts(topics);
  } finally {
    await admin.close();
  }
}

/** Null also when the cluster can't be asked: whoever processes needn't have the right to read settings. */
async function keptMs(settings: Settings, logger: Logger, topics: readonly string[]): Promise<number | null> {
  const admin = kafkajsTopicAdmin(settings.kafka, logger);
  try {
    return tombstonesKeptMs(await admin.describeTopics(topics));
  } catch {
    return null;
  } finally {
    await admin.close();
  }
}

/** Which topics are missing; refuses settings that would lose data, each with its remedy. */
export async function checkOwnTopics(
  settings: Settings,
  logger: Logger,
  pinned: ReadonlyMap<string, number> | null,
): Promise<CheckedTopics> {
  const admin = kafkajsTopicAdmin(settings.kafka, logger);
  try {
    const { create, refused, warnings, partitions } = await checkTopics(admin, settings.topics, pinned);
    if (refused.length > 0) {
      const reasons = refused.map(
        ({ topic, setting, value, remedy }) => `topic ${topic}: ${setting} is ${value}; ${remedy}`,
      );
      throw new FatalStreamsError(reasons.join('\n'));
    }
    // Asked twice at the start: warned of once.
    for (const { topic, setting, value, remedy } of pinned ? warnings : []) {
      logger.warn({ topic }, `${setting} is ${value}; ${remedy}`);
    }
    return { missing: create.map(({ name }) => name), partitions };
  } finally {
    await admin.close();
  }
}
