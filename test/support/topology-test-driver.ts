import { CredentialsTable } from '../../processors/credentials-table.ts';
import { ReplicationTable } from '../../processors/replication-table.ts';
import { AvroOperationEncoder } from '../../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../../schemas/operation-encoder-json.ts';
import { RecordDecoder } from '../../schemas/record-decoder.ts';
import type { CredentialsResolver } from '../../sinks/credentials.ts';
import { SinkRegistry } from '../../sinks/registry.ts';
import type { SinkAdapter } from '../../sinks/sink.ts';
import { ReplicationApplication } from '../../streams/application.ts';
import type { TopicPartition } from '../../streams/kafka-port.ts';
import type { Logger } from '../../streams/logger.ts';
import { EngineMetrics } from '../../streams/metrics.ts';
import type { SchemaLoader } from '../../streams/schema-loader.ts';
import { InMemoryKafka, type InMemoryMember } from './in-memory-kafka.ts';
import { ManualClock, settle } from './manual-clock.ts';
import { scriptedRecord, ScriptedSinks } from './scripted-sink.ts';

export const MUTATIONS = 'datamart-mutations';
export const CREDENTIALS = { topic: 'replication-credentials', partition: 0 };
export const CONFIG = { topic: 'replication-config', partition: 0 };
export const STATUS = { topic: 'replication-status', partition: 0 };
export const REQUESTS = { topic: 'initial-sync-requests', partition: 0 };
export const EXECUTIONS = { topic: 'initial-sync-executions', partition: 0 };
export const SNAPSHOT = 'datamart-snapshot';
export const DEAD_LETTERS = { topic: 'replication-dead-letters', partition: 0 };

export const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';

/** A well-formed mutation; a test shows only what matters to it. */
export function aMutation(fields: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    datamart_id: 1649,
    user_point_id: USER,
    ts: 1_676_627_112_685,
    op: 'UPDATE',
    doc_type: 'UserPoint',
    ...fields,
  };
}

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly fields: object;
}

interface DriverOptions {
  readonly windowRecords?: number;
  readonly memoryBytes?: number;
  readonly schemas?: SchemaLoader & ConstructorParameters<typeof RecordDecoder>[0];
  readonly kafka?: InMemoryKafka;
  readonly clock?: ManualClock;
  readonly sinks?: ScriptedSinks;
  readonly resolver?: CredentialsResolver;
  readonly startFrom?: 'earliest' | 'latest';
  /** Default: it isn't kept. */
  readonly hasSnapshot?: boolean;
  /** Of initial synchronizations, operations a second and replication. Default: none. */
  readonly maxRate?: number;
  /** Default: every topic is there, the mutation topic with 4 partitions. */
  readonly checkTopics?: ConstructorParameters<typeof ReplicationApplication>[0]['checkTopics'];
  /** Default: mutation and snapshot topic have 4 partitions. */
  readonly partitionCounts?: ConstructorParameters<typeof ReplicationApplication>[0]['partitionCounts'];
}

const PARTITIONS = [
  [MUTATIONS, 4],
  [SNAPSHOT, 4],
] as const;

/** Runs the real application, tasks, lanes and table over Kafka and destinations in memory, with a clock that the test moves. */
export class TopologyTestDriver {
  readonly clock: ManualClock;
  readonly kafka: InMemoryKafka;
  readonly sinks: ScriptedSinks;
  readonly member: InMemoryMember;
  readonly table: ReplicationTable;
  readonly credentials = new CredentialsTable();
  readonly metrics = new EngineMetrics();
  readonly application: ReplicationApplication;
  readonly logs: LogLine[] = [];
  areSchemasClosed = false;
  #isDead = false;

  constructor(options: DriverOptions = {}) {
    this.clock = options.clock ?? new ManualClock();
    this.kafka = options.kafka ?? new InMemoryKafka(this.clock);
    this.sinks = options.sinks ?? new ScriptedSinks();
    const { port, member } = this.kafka.instance();
    this.member = member;
    const adapter = { ...this.sinks.adapter, credentials: 'optional' as const };
    const registry = new SinkRegistry([this.#mortal(adapter)]);
    this.table = new ReplicationTable({
      types: new Map([[adapter.type, adapter]]),
      checkCredentialsUri: () => null,
    });
    const schemas = options.schemas ?? {
      get: () => 'unknown' as const,
      load: () => Promise.resolve({ status: 'unknown' as const, detail: '' }),
    };
    this.application = new ReplicationApplication({
      groupId: 'group',
      instance: 'instance-1',
      topics: {
        mutations: [MUTATIONS],
        replicationConfig: CONFIG.topic,
        replicationCredentials: CREDENTIALS.topic,
        replicationStatus: STATUS.topic,
        initialSyncRequests: REQUESTS.topic,
        initialSyncExecutions: EXECUTIONS.topic,
        snapshots: [SNAPSHOT],
        deadLetters: DEAD_LETTERS.topic,
      },
      delivery: {
        memoryBytes: options.memoryBytes ?? 256 * 1024 * 1024,
        windowRecords: options.windowRecords ?? 10_000,
        windowBytes: 32 * 1024 * 1024,
        detachAfterMs: 30_000,
      },
      startFrom: options.startFrom ?? 'earliest',
      snapshot: { topics: new Map([[MUTATIONS, SNAPSHOT]]), isKept: options.hasSnapshot ?? false },
      initialSync: { windowMs: 168 * 3_600_000, maxRate: options.maxRate ?? null },
      kafka: port,
      table: this.table,
      decoder: new RecordDecoder(schemas),
      encoders: { 1: new JsonOperationEncoder(), 2: new AvroOperationEncoder() },
      schemas: {
        load: (id, signal) => schemas.load(id, signal),
        close: async () => {
          this.areSchemasClosed = true;
        },
      },
      sinks: registry,
      sealedCredentials: this.credentials,
      credentials: options.resolver ?? {
        resolve: () => Promise.reject(new Error('no credentials in this test')),
      },
      checkTopics:
        options.checkTopics ??
        (() => Promise.resolve({ missing: [], partitions: new Map([[MUTATIONS, 4]]) })),
      partitionCounts: options.partitionCounts ?? (() => Promise.resolve(new Map(PARTITIONS))),
      tombstonesKeptMs: () => Promise.resolve(7 * 86_400_000),
      metrics: this.metrics,
      clock: {
        now: () => this.clock.now(),
        monotonic: () => this.clock.monotonic(),
        schedule: (delayMs, task) =>
          this.clock.schedule(delayMs, () => {
            if (!this.#isDead) task();
          }),
      },
      random: () => 0.5,
      logger: this.#logger(),
    });
  }

  partition(partition = 0): TopicPartition {
    return { topic: MUTATIONS, partition };
  }

  /** Writes a record to the control topic and lets the table follow. */
  async configure(id: string, fields: Record<string, unknown> | null): Promise<void> {
    this.kafka.append(CONFIG, { key: Buffer.from(id), value: fields && scriptedRecord(id, fields) });
    await this.clock.advance(300);
  }

  /** Starts the application and gives it these partitions. */
  async start(partitions: readonly number[] = [0]): Promise<void> {
    const started = this.application.start();
    await this.clock.advance(300);
    this.member.assign(partitions.map((partition) => this.partition(partition)));
    await this.clock.advance(50);
    await started;
  }

  produce(value: Record<string, unknown> | Buffer | null, partition = 0): number {
    const bytes = value === null || Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
    const key = value === null || Buffer.isBuffer(value) ? null : Buffer.from(String(value.user_point_id));
    return this.kafka.append(this.partition(partition), { key, value: bytes });
  }

  /** Fetches once and lets everything settle that needs no more time than `ms`. */
  async run(ms = 50): Promise<void> {
    this.member.poll();
    await this.clock.advance(ms);
  }

  /** What a new owner waits for before its first attempt when the last one was not quiet (PROTOCOL A3). */
  async quietTime(): Promise<void> {
    await this.clock.advance(10_000);
  }

  /** Values of `op` records in a scrape, for a metric with exactly these labels. */
  async metric(name: string, labels: Record<string, string | number> = {}): Promise<number | undefined> {
    const found = await this.metrics.registry.getSingleMetric(`datamart_replication_${name}`)?.get();
    return found?.values.find((sample) =>
      Object.entries(labels).every(
        ([label, value]) => (sample.labels as Record<string, unknown>)[label] === value,
      ),
    )?.value;
  }

  async close(): Promise<void> {
    if (this.#isDead) return;
    const closed = this.application.close(0);
    await this.clock.advance(4_000);
    await closed;
  }

  /** The instance dies: nothing more comes of it, not even a commit. */
  async kill(): Promise<void> {
    const { member } = this;
    this.#isDead = true;
    member.isStopped = true;
    this.kafka.nextGeneration();
    await settle();
  }

  /** The adapter's sinks as a process has them: once it is dead nothing is sent and no answer comes. */
  #mortal<Config>(adapter: SinkAdapter<Config>): SinkAdapter<Config> {
    return {
      ...adapter,
      open: async (options) => {
        const sink = await adapter.open(options);
        return {
          limits: sink.limits,
          check: (signal) => sink.check(signal),
          close: () => sink.close(),
          send: async (batch, signal) => {
            const outcome = this.#isDead ? null : await sink.send(batch, signal);
            return this.#isDead || !outcome ? new Promise(() => undefined) : outcome;
          },
        };
      },
    };
  }

  #logger(): Logger {
    const at = (level: string) => (fields: object, msg: string) => {
      this.logs.push({ level, msg, fields });
    };
    const logger: Logger = {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: () => logger,
    };
    return logger;
  }
}
