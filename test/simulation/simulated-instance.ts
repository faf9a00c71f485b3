import { CredentialsTable } from '../../processors/credentials-table.ts';
import { ReplicationTable } from '../../processors/replication-table.ts';
import { AvroOperationEncoder } from '../../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../../schemas/operation-encoder-json.ts';
import { RecordDecoder } from '../../schemas/record-decoder.ts';
import type { CredentialsResolver } from '../../sinks/credentials.ts';
import { SinkRegistry } from '../../sinks/registry.ts';
import type { SinkAdapter } from '../../sinks/sink.ts';
import { ReplicationApplication } from '../../streams/application.ts';
import type { KafkaPort } from '../../streams/kafka-port.ts';
import type { Logger } from '../../streams/logger.ts';
import { EngineMetrics } from '../../streams/metrics.ts';
import type { Scenario } from './scenario.ts';
import type { SimulatedProcess } from './simulated-process.ts';

export const TOPICS = {
  mutations: ['datamart-mutations'],
  replicationConfig: 'replication-config',
  replicationCredentials: 'replication-credentials',
  replicationStatus: 'replication-status',
  initialSyncRequests: 'initial-sync-requests',
  initialSyncExecutions: 'initial-sync-executions',
  snapshots: ['datamart-snapshot'],
  deadLetters: 'replication-dead-letters',
} as const;
export const MUTATIONS = TOPICS.mutations[0];
export const SNAPSHOT = 'datamart-snapshot';
export const GROUP = 'datamart-replication';

export interface InstanceOptions {
  readonly process: SimulatedProcess;
  readonly port: KafkaPort;
  readonly adapter: SinkAdapter<{ target: string }>;
  readonly scenario: Scenario;
  /** How many partitions the mutation topic has now. */
  readonly partitions: () => number;
  /** Opens the sealed credentials that the instance has read. */
  readonly resolver: (sealed: CredentialsTable) => CredentialsResolver;
  readonly random: () => number;
  readonly onLog: (level: string, message: string, fields: object) => void;
}

/** One run of the program: the real application in a simulated process. */
export class SimulatedInstance {
  readonly process: SimulatedProcess;
  readonly application: ReplicationApplication;
  readonly table: ReplicationTable;
  readonly credentials = new CredentialsTable();
  readonly #metrics = new EngineMetrics();
  isStopping = false;
  /** It has owned something: from then on it may dispatch by what its table says. */
  hasRun = false;

  constructor({ process, port, adapter, scenario, partitions, resolver, random, onLog }: InstanceOptions) {
    this.process = process;
    this.table = makeTable(adapter);
    const schemas = {
      get: () => 'unknown' as const,
      load: () => Promise.resolve({ status: 'unknown' as const, detail: '' }),
      close: () => Promise.resolve(),
    };
    const at = (level: string) => (fields: object, message: string) => {
      if (message === 'partitions claimed') this.hasRun = true;
      onLog(level, message, fields);
    };
    const logger: Logger = {
      debug: () => undefined,
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: () => logger,
    };
    this.application = new ReplicationApplication({
      groupId: GROUP,
      instance: process.name,
      topics: TOPICS,
      delivery: {
        memoryBytes: scenario.memoryBytes,
        windowRecords: scenario.windowRecords,
        windowBytes: 32 * 1024 * 1024,
        detachAfterMs: scenario.detachAfterMs,
      },
      startFrom: 'earliest',
      snapshot: { topics: new Map([[MUTATIONS, SNAPSHOT]]), isKept: scenario.hasSnapshot },
      initialSync: { windowMs: 0, maxRate: scenario.maxSyncRate },
      maxMetadataLength: scenario.maxMetadataLength,
      kafka: port,
      table: this.table,
      decoder: new RecordDecoder(schemas),
      encoders: { 1: new JsonOperationEncoder(), 2: new AvroOperationEncoder() },
      schemas,
      sinks: new SinkRegistry([adapter]),
      sealedCredentials: this.credentials,
      credentials: resolver(this.credentials),
      checkTopics: () => Promise.resolve({ missing: [], partitions: new Map([[MUTATIONS, partitions()]]) }),
      partitionCounts: (topics) => Promise.resolve(new Map(topics.map((topic) => [topic, partitions()]))),
      tombstonesKeptMs: () => Promise.resolve(null),
      metrics: this.#metrics,
      clock: process,
      random,
      logger,
    });
  }

  /** Bytes of operations that it holds, as its metrics say. */
  async heldBytes(): Promise<number> {
    const gauge = await this.#metrics.registry.getSingleMetric('datamart_replication_in_flight_bytes')?.get();
    return gauge?.values[0]?.value ?? 0;
  }
}

export function makeTable(adapter: SinkAdapter<{ target: string }>): ReplicationTable {
  return new ReplicationTable({
    types: new Map([[adapter.type, adapter]]),
    checkCredentialsUri: () => null,
  });
}
