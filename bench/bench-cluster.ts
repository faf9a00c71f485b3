import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSettings } from '../config/load.ts';
import { openLogging } from '../config/logging.ts';
import type { Settings } from '../config/settings.ts';
import { startKafka } from '../local/embedded-kafka.ts';
import { replicationKey, writeReplicationStatus } from '../processors/status-record.ts';
import { kafkaClient } from '../streams/kafka/kafkajs-port.ts';
import type { Admin, KafkaClient, Producer } from '../streams/kafka/kafkajs.ts';
import { kafkajsTopicAdmin } from '../streams/kafka/topic-admin.ts';
import type { Logger } from '../streams/logger.ts';
import { createTopics } from '../streams/topics/create-topics.ts';
import type { ControlRecords } from './control-records.ts';
import { BENCH_DATAMART, sampleRecords, type SampleRecord } from './sample-records.ts';
import { snapshotRow, type SnapshotRow } from './snapshot-row.ts';

export const PARTITIONS = 8;
export const PROJECT_ID = 'bench-project';

const SEND_RECORDS = 500;
/** Sealed credentials have some KB, and a request may have 1 MB. */
const SEND_CONTROL_RECORDS = 200;
export const CREDENTIALS_FILE = 'service-account.json';

/** A mutation topic full of records, or an empty one whose snapshot topic has them as rows. */
export interface Dataset {
  readonly topic: string;
  readonly records: number;
  /** The sum, modulo 2^32, of the checksums of the last `count` records, those that `startBehind` leaves to be read. */
  checksumOfLast(count: number): number;
}

/** What a topic is filled with. */
type StoredRecord = Omit<SnapshotRow, 'headers'> & Partial<Pick<SnapshotRow, 'headers'>>;

/** Replications on a control topic of their own. */
export interface ReplicationSet {
  readonly topic: string;
  readonly pubsubTopics: readonly string[];
}

/** The real Kafka of a bench, with what is in it. */
export class BenchCluster implements AsyncDisposable {
  /** Of the embedded broker; null when another one is used. */
  readonly brokerPid: number | null;
  readonly #brokers: readonly string[];
  readonly #stop: () => Promise<void>;
  readonly #directory: string;
  readonly #runId = Date.now().toString(36);
  readonly #logger: Logger;
  readonly #kafka: KafkaClient;
  readonly #admin: Admin;
  readonly #producer: Producer;
  readonly #datasets = new Map<string, Dataset>();
  readonly #snapshots = new Map<string, Dataset>();
  readonly #replicationSets = new Map<string, ReplicationSet>();
  readonly #made = new Set<string>();
  #groups = 0;
  #emptyTopics = 0;

  private constructor(
    brokers: readonly string[],
    brokerPid: number | null,
    directory: string,
    stop: () => Promise<void>,
  ) {
    this.#brokers = brokers;
    this.brokerPid = brokerPid;
    this.#directory = directory;
    this.#stop = stop;
    const settings = loadSettings({
      env: { KAFKA_BROKERS: brokers.join(','), LOG_LEVEL: 'error' },
      flags: {},
      readFile: () => '',
    });
    this.#logger = openLogging(settings.log, process.stderr).logger;
    this.#kafka = kafkaClient(settings.kafka, this.#logger);
    this.#admin = this.#kafka.admin();
    this.#producer = this.#kafka.producer();
  }

  /** Starts the embedded Kafka, or connects to `KAFKA_BROKERS`. */
  static async open(): Promise<BenchCluster> {
    const given = process.env['KAFKA_BROKERS'] ?? '';
    const embedded = given === '' ? await startKafka() : null;
    const directory = await mkdtemp(join(tmpdir(), 'datamart-replication-bench-'));
    await writeFile(join(directory, CREDENTIALS_FILE), serviceAccount());
    const brokers = embedded?.brokers ?? given.split(',');
    const cluster = new BenchCluster(brokers, embedded?.pid ?? null, directory, async () => {
      await embedded?.stop();
      await rm(directory, { recursive: true, force: true });
    });
    await Promise.all([cluster.#admin.connect(), cluster.#producer.connect()]);
    return cluster;
  }

  /** `host:port` of each broker to start from. */
  get brokers(): readonly string[] {
    return this.#brokers;
  }

  /** The settings of a processor that reads this dataset for these replications; its group is the caller's. */
  settings(
    dataset: Pick<Dataset, 'topic'>,
    replications: Pick<ReplicationSet, 'topic'>,
  ): Record<string, string> {
    const name = (topic: string): string => `bench-${this.#runId}-${topic}`;
    return {
      KAFKA_BROKERS: this.#brokers.join(','),
      TOPICS_MUTATIONS: dataset.topic,
      TOPICS_SNAPSHOT: snapshotTopicOf(dataset),
      TOPICS_REPLICATION_CONFIG: replications.topic,
      TOPICS_REPLICATION_CREDENTIALS: credentialsTopicOf(replications),
      TOPICS_REPLICATION_STATUS: statusTopicOf(replications),
      TOPICS_INITIAL_SYNC_REQUESTS: name('sync-requests'),
      TOPICS_INITIAL_SYNC_EXECUTIONS: name('sync-executions'),
      TOPICS_DEAD_LETTERS: name('dead-letters'),
      // Benches turn it on where they measure it.
      SNAPSHOT_ENABLED: 'false',
      SINKS_ALLOW_EMULATORS: 'true',
      CREDENTIALS_DIRECTORY: this.#directory,
      LOG_LEVEL: 'error',
      LOG_FORMAT: 'json',
    };
  }

  /** A mutation topic of 8 partitions with records whose `value` has `valueBytes` bytes; made once for each size. */
  async produce(records: number, valueBytes: number): Promise<Dataset> {
    const key = `${records} of ${valueBytes}`;
    const dataset = this.#datasets.get(key) ?? (await this.#produce(records, valueBytes));
    this.#datasets.set(key, dataset);
    return dataset;
  }

  /** The same records as rows of the snapshot topic of a mutation topic that holds nothing. */
  async snapshot(records: number, valueBytes: number): Promise<Dataset> {
    const key = `${records} of ${valueBytes}`;
    const dataset = this.#snapshots.get(key) ?? (await this.#produceRows(records, valueBytes));
    this.#snapshots.set(key, dataset);
    return dataset;
  }

  async #produce(records: number, valueBytes: number): Promise<Dataset> {
    const topic = `bench-${this.#runId}-mutations-${valueBytes}-${records}`;
    await this.#makeTopics({ topic }, { topic: `bench-${this.#runId}-replications-0` });
    return this.#fill(topic, records, valueBytes, ({ key, value }) => ({ key, value }));
  }

  async #produceRows(records: number, valueBytes: number): Promise<Dataset> {
    const topic = `bench-${this.#runId}-synced-${valueBytes}-${records}`;
    await this.#makeTopics({ topic }, { topic: `bench-${this.#runId}-replications-0` });
    const rows = await this.#fill(snapshotTopicOf({ topic }), records, valueBytes, ({ value }, at) =>
      snapshotRow(value, { ...at, partitionCount: PARTITIONS }),
    );
    return { ...rows, topic };
  }

  /** Writes the sample records to a topic of 8 partitions, as what `toStored` makes of them. */
  async #fill(
    topic: string,
    records: number,
    valueBytes: number,
    toStored: (
      record: SampleRecord,
      at: { readonly partition: number; readonly offset: number },
    ) => StoredRecord,
  ): Promise<Dataset> {
    const source = sampleRecords(valueBytes);
    const checksums = Array.from({ length: PARTITIONS }, () => new Uint32Array(records / PARTITIONS));
    const perPartition = SEND_RECORDS / 4;
    for (let from = 0; from < records / PARTITIONS; from += perPartition) {
      const to = Math.min(records / PARTITIONS, from + perPartition);
      for (const [partition, sums] of checksums.entries()) {
        const messages = [];
        for (let i = from; i < to; i++) {
          const record = source.next().value;
          sums[i] = record.checksum;
          messages.push({ ...toStored(record, { partition, offset: i }), partition });
        }
        await this.#producer.send({ topic, messages });
      }
    }
    return {
      topic,
      records,
      checksumOfLast: (count) =>
        checksums
          .flatMap((sums) => [...sums.subarray(sums.length - count / PARTITIONS)])
          .reduce((sum, checksum) => (sum + checksum) >>> 0, 0),
    };
  }

  /**
   * Puts `wanted` version 2 Pub/Sub replications of the bench's datamart, and `foreign` ones of others, on a topic; all of
   * them as an earlier start has left them, activated.
   */
  async replicate(wanted: number, foreign = 0): Promise<ReplicationSet> {
    const topic = `bench-${this.#runId}-replications-${wanted}-${foreign}`;
    const known = this.#replicationSets.get(topic);
    if (known !== undefined) return known;
    await this.#makeTopics({ topic: `bench-${this.#runId}-mutations-0` }, { topic });
    const pubsubTopics = Array.from({ length: wanted }, (_, i) => `operations-${i}`);
    const configs = [
      ...Array.from({ length: foreign }, (_, i) =>
        replicationConfig(`foreign-${i}`, String(2_000_000 + (i >> 1)), `foreign-${i}`),
      ),
      ...pubsubTopics.map((name, i) => replicationConfig(`bench-${i}`, BENCH_DATAMART, name)),
    ];
    for (let from = 0; from < configs.length; from += SEND_RECORDS) {
      const messages = configs
        .slice(from, from + SEND_RECORDS)
        .map((config) => ({ key: config.id, value: JSON.stringify(config) }));
      const [stored] = await this.#producer.send({ topic, messages });
      const firstOffset = Number(stored?.baseOffset);
      const statuses = messages.map(({ key }, i) => activeStatus(key, firstOffset + i));
      await this.#producer.send({ topic: statusTopicOf({ topic }), messages: statuses });
    }
    const replications = { topic, pubsubTopics };
    this.#replicationSets.set(topic, replications);
    return replications;
  }

  /** The control topic of that name, which is to be filled; its settings can be asked for at once. */
  controlTopic(name: string): Pick<ReplicationSet, 'topic'> {
    return { topic: `bench-${this.#runId}-${name}` };
  }

  /** Makes the control topic with those that belong to it, and stores these records as the first ones. */
  async control(replications: Pick<ReplicationSet, 'topic'>, records: ControlRecords): Promise<void> {
    await this.#makeTopics({ topic: `bench-${this.#runId}-mutations-0` }, replications);
    const lists = [
      [credentialsTopicOf(replications), records.credentials],
      [replications.topic, records.configs],
      [statusTopicOf(replications), records.statuses],
    ] as const;
    for (const [topic, messages] of lists)
      for (let from = 0; from < messages.length; from += SEND_CONTROL_RECORDS)
        await this.#producer.send({ topic, messages: messages.slice(from, from + SEND_CONTROL_RECORDS) });
  }

  /** Of the bench's own failures. */
  get logger(): Logger {
    return this.#logger;
  }

  /** A mutation topic that holds nothing yet, and is nobody else's. */
  async emptyTopic(partitions: number): Promise<Pick<Dataset, 'topic'>> {
    this.#emptyTopics += 1;
    const dataset = { topic: `bench-${this.#runId}-live-${this.#emptyTopics}` };
    await this.#makeTopics(dataset, { topic: `bench-${this.#runId}-replications-0` }, partitions);
    return dataset;
  }

  /** A group's name that was never used. */
  newGroup(): string {
    this.#groups += 1;
    return `bench-${this.#runId}-group-${this.#groups}`;
  }

  /** Has a new group begin where only `count` records of the dataset are left. */
  async startBehind(groupId: string, dataset: Dataset, count: number): Promise<void> {
    const ends = await this.#admin.fetchTopicOffsets(dataset.topic);
    await this.#admin.setOffsets({
      groupId,
      topic: dataset.topic,
      partitions: ends.map(({ partition, high }) => ({
        partition,
        offset: String(Number(high) - count / PARTITIONS),
      })),
    });
  }

  /** Rejects unless the group has committed all of the dataset. */
  async assertCommitted(groupId: string, dataset: Dataset): Promise<void> {
    const ends = await this.#admin.fetchTopicOffsets(dataset.topic);
    const [commits] = await this.#admin.fetchOffsets({ groupId, topics: [dataset.topic] });
    for (const { partition, high } of ends) {
      const committed = commits?.partitions.find((commit) => commit.partition === partition)?.offset;
      if (committed !== high) {
        throw new Error(`partition ${partition} is committed up to ${committed}, it ends at ${high}`);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if ((process.env['KAFKA_BROKERS'] ?? '') !== '')
      await this.#admin.deleteTopics({ topics: [...this.#made] });
    await Promise.all([this.#admin.disconnect(), this.#producer.disconnect()]);
    await this.#stop();
  }

  async #makeTopics(
    dataset: Pick<Dataset, 'topic'>,
    replications: Pick<ReplicationSet, 'topic'>,
    partitions = PARTITIONS,
  ): Promise<void> {
    const settings: Settings = loadSettings({
      env: this.settings(dataset, replications),
      flags: {},
      readFile: () => '',
    });
    const admin = kafkajsTopicAdmin(settings.kafka, this.#logger);
    try {
      const options = { partitions, replicationFactor: null, isDryRun: false };
      const { topics, refused } = await createTopics(admin, settings.topics, options);
      if (refused.length > 0) throw new Error(`topics are refused: ${JSON.stringify(refused)}`);
      for (const { topic } of topics) this.#made.add(topic);
    } finally {
      await admin.close();
    }
  }
}

function snapshotTopicOf({ topic }: Pick<Dataset, 'topic'>): string {
  return `${topic}-snapshot`;
}

function credentialsTopicOf({ topic }: Pick<ReplicationSet, 'topic'>): string {
  return `${topic}-credentials`;
}

function statusTopicOf({ topic }: Pick<ReplicationSet, 'topic'>): string {
  return `${topic}-status`;
}

/** What the processors write of a replication whose record at `configOffset` they have activated. */
function activeStatus(replicationId: string, configOffset: number): { key: string; value: Buffer } {
  const status = {
    replicationId,
    datamartId: '',
    state: 'ACTIVE',
    verdict: { configOffset, credentialsVersion: null, failure: null },
    since: 0,
    lostOffsets: 0,
    deferredStatus: null,
  } as const;
  return { key: replicationKey(replicationId), value: writeReplicationStatus(status, 0) };
}

function replicationConfig(id: string, datamartId: string, topicId: string) {
  return {
    id,
    datamart_id: datamartId,
    name: id,
    version: 2,
    status: 'ACTIVE',
    type: 'GOOGLE_PUBSUB',
    project_id: PROJECT_ID,
    topic_id: topicId,
    credentials_uri: `file:${CREDENTIALS_FILE}`,
  };
}

/** A key file of nobody's. */
export function serviceAccount(): string {
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  return JSON.stringify({
    type: 'service_account',
    project_id: PROJECT_ID,
    private_key_id: 'bench',
    private_key: privateKey,
    client_email: `bench@${PROJECT_ID}.iam.gserviceaccount.com`,
    universe_domain: 'googleapis.com',
  });
}
