import type { Admin, EachBatchPayload, IHeaders, Message } from 'kafkajs';
import { randomUUID } from 'node:crypto';
import { Kafka, logLevel, type KafkaClient } from '../../streams/kafka/kafkajs.ts';
import { BROKERS_UNDER_TEST } from './shared-services.ts';
import { waitFor } from './wait-for.ts';

/** The broker refuses more in one batch; kafkajs never splits what one `send` gets, and is quadratic in its count. */
const MAX_SEND_MESSAGES = 500;
const MAX_SEND_BYTES = 900_000;
const RECORD_OVERHEAD_BYTES = 100;

/** What a test chooses of a topic. */
export interface TopicOptions {
  /** Default 1. */
  readonly partitions?: number;
  /** Topic settings such as `cleanup.policy`. */
  readonly config?: Readonly<Record<string, string | number>>;
}

/** A record as it lies on its topic. */
export interface StoredRecord {
  readonly partition: number;
  readonly offset: string;
  readonly timestamp: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: IHeaders;
}

/** The brokers that the run's global setup started or was given; for `KAFKA_BROKERS` of what a test starts. */
export function brokersUnderTest(): string[] {
  const brokers = process.env[BROKERS_UNDER_TEST];
  if (!brokers) throw new Error('the integration project sets up the broker; this test is not in it');
  return brokers.split(',');
}

/** A kafkajs client; every helper here takes other brokers for tests that run their own. */
export function kafkaClient(brokers: readonly string[] = brokersUnderTest()): KafkaClient {
  return new Kafka({ brokers: [...brokers], clientId: 'test', logLevel: logLevel.NOTHING });
}

/** A topic name that no other test, file or run uses. */
export function uniqueTopic(prefix: string): string {
  return `${prefix}-${randomUUID()}`;
}

/** Creates the topic and resolves once every partition has a leader that clients are told of. */
export async function createTopic(
  topic: string,
  { partitions = 1, config = {} }: TopicOptions = {},
  brokers?: readonly string[],
): Promise<void> {
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value: String(value) }));
  await withAdmin(brokers, async (admin) => {
    // kafkajs' own waiting gives up when the broker doesn't know the new topic yet.
    await admin.createTopics({
      topics: [{ topic, numPartitions: partitions, configEntries }],
      waitForLeaders: false,
    });
    await waitFor(() => hasLeaders(admin, topic, partitions), { message: `leaders of topic ${topic}` });
  });
}

/** Stores the messages with acks from all, in order, in requests that the broker accepts. */
export async function produce(
  topic: string,
  messages: readonly Message[],
  brokers?: readonly string[],
): Promise<void> {
  const producer = kafkaClient(brokers).producer({ allowAutoTopicCreation: false });
  await producer.connect();
  try {
    for (const chunk of chunksOf(messages)) await producer.send({ topic, messages: chunk, acks: -1 });
  } finally {
    await producer.disconnect();
  }
}

/**
 * Reads every partition from its start to the end it had when called, without committed offsets; by partition, then
 * by offset. Records of open or aborted transactions are left out.
 */
export async function readAll(topic: string, brokers?: readonly string[]): Promise<StoredRecord[]> {
  const unread = await readableEnds(topic, brokers);
  if (unread.size === 0) return [];
  const records: StoredRecord[] = [];
  const { promise: isRead, resolve, reject } = Promise.withResolvers<void>();
  const consumer = kafkaClient(brokers).consumer({
    groupId: `read-all-${randomUUID()}`,
    allowAutoTopicCreation: false,
    maxWaitTimeInMs: 100,
  });
  const ends = new Map(unread);
  // A batch of nothing but transaction markers shows only as an event.
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
    const end = unread.get(payload.partition);
    if (end !== undefined && BigInt(payload.lastOffset) + 1n >= end) unread.delete(payload.partition);
    if (unread.size === 0) resolve();
  });
  // A coordinator that still loads crashes the consumer, which then starts again by itself.
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!payload.restart) reject(payload.error);
  });
  try {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) =>
        void records.push(...storedRecords(batch, ends.get(batch.partition) ?? 0n)),
    });
    await isRead;
  } finally {
    await consumer.disconnect();
  }
  return records.sort((a, b) => a.partition - b.partition || Number(BigInt(a.offset) - BigInt(b.offset)));
}

function storedRecords({ partition, messages }: EachBatchPayload['batch'], end: bigint): StoredRecord[] {
  return messages
    .filter(({ offset }) => BigInt(offset) < end)
    .map(({ offset, timestamp, key, value, headers }) => {
      // With this project's patches kafkajs hands numbers.
      const text = { offset: String(offset), timestamp: String(timestamp) };
      return { partition, ...text, key, value, headers: headers ?? {} };
    });
}

/** The partitions that hold something, with the offset behind the last record that a consumer may see. */
async function readableEnds(
  topic: string,
  brokers: readonly string[] | undefined,
): Promise<Map<number, bigint>> {
  const offsets = await withAdmin(brokers, (admin) => admin.fetchTopicOffsets(topic));
  return new Map(
    offsets
      .filter(({ low, high }) => BigInt(high) > BigInt(low))
      .map(({ partition, high }) => [partition, BigInt(high)]),
  );
}

async function hasLeaders(admin: Admin, topic: string, partitions: number): Promise<boolean> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const known = topics[0]?.partitions ?? [];
  return known.length === partitions && known.every(({ leader }) => leader >= 0);
}

async function withAdmin<Value>(
  brokers: readonly string[] | undefined,
  use: (admin: Admin) => Promise<Value>,
): Promise<Value> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

function* chunksOf(messages: readonly Message[]): Generator<Message[]> {
  let chunk: Message[] = [];
  let bytes = 0;
  for (const message of messages) {
    const size = RECORD_OVERHEAD_BYTES + lengthOf(message.key) + lengthOf(message.value);
    if (chunk.length === MAX_SEND_MESSAGES || (chunk.length > 0 && bytes + size > MAX_SEND_BYTES)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(message);
    bytes += size;
  }
  if (chunk.length > 0) yield chunk;
}

function lengthOf(part: Buffer | string | null | undefined): number {
  return part === null || part === undefined ? 0 : Buffer.byteLength(part);
}
