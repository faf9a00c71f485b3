import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { kafkajsPort } from '../../streams/kafka/kafkajs-port.ts';
import type {
  AppendOutcome,
  PartitionWriter,
  ProducedRecord,
  TopicPartition,
} from '../../streams/kafka-port.ts';
import { RecordArray } from '../../streams/record-array.ts';
import { brokersUnderTest, createTopic, readAll, uniqueTopic } from '../support/kafka.ts';
import { silentLogger } from '../support/silent-logger.ts';

/* Own record batches and produce requests against a real broker, which checks their checksums and fields. */

jest.setTimeout(60_000);

let writer: PartitionWriter;
const always = (): boolean => true;

const append = (
  at: TopicPartition,
  records: readonly ProducedRecord[],
  mayStart = always,
): Promise<AppendOutcome> => writer.append(at, new RecordArray(records), mayStart);

beforeAll(() => {
  const connection = { brokers: brokersUnderTest(), groupId: 'g', clientId: 'test', tls: null, sasl: null };
  writer = kafkajsPort(connection, silentLogger).partitionWriter();
});

afterAll(async () => {
  await writer?.close();
  await writer?.close();
});

const record = (n: number, bytes = 10): ProducedRecord => ({
  key: Buffer.from(`k${n}`),
  value: Buffer.alloc(bytes, 'x'),
  headers: { source: `00002-1-${String(n).padStart(20, '0')}` },
  timestamp: 1_763_900_000_000 + n,
});

test('stores records in the partition that was chosen, in order, with headers and times', async () => {
  const topic = uniqueTopic('appended');
  await createTopic(topic, { partitions: 2, config: { 'cleanup.policy': 'compact' } });
  const at = { topic, partition: 1 };

  expect(await append(at, [record(0), record(1)])).toEqual({ kind: 'stored', baseOffset: 0 });
  const [one, other] = await Promise.all([
    append(at, [{ ...record(2), value: null }]),
    append({ topic, partition: 0 }, [record(3)]),
  ]);
  expect([one, other]).toEqual([
    { kind: 'stored', baseOffset: 2 },
    { kind: 'stored', baseOffset: 0 },
  ]);
  expect(
    (await readAll(topic)).map(({ partition, offset, timestamp, key, value, headers }) => [
      `${partition}/${offset}`,
      Number(timestamp) - 1_763_900_000_000,
      key?.toString(),
      value?.length ?? null,
      String(headers.source).at(-1),
    ]),
  ).toEqual([
    ['0/0', 3, 'k3', 10, '3'],
    ['1/0', 0, 'k0', 10, '0'],
    ['1/1', 1, 'k1', 10, '1'],
    ['1/2', 2, 'k2', null, '2'],
  ]);
});

test('what the topic is too small for is told as such', async () => {
  const topic = uniqueTopic('small');
  await createTopic(topic, { config: { 'max.message.bytes': 5_000 } });

  expect(await append({ topic, partition: 0 }, [record(0, 10_000)])).toMatchObject({
    kind: 'too_large',
  });
  expect(await append({ topic, partition: 0 }, [record(0, 4_000)])).toMatchObject({
    kind: 'stored',
  });
});

test('nothing is sent of who may not start, nor to a topic that isn’t there', async () => {
  const topic = uniqueTopic('untouched');
  await createTopic(topic);

  expect(await append({ topic, partition: 0 }, [record(0)], () => false)).toEqual({
    kind: 'not_started',
  });
  expect(await readAll(topic)).toEqual([]);
  const missing = await append({ topic: uniqueTopic('missing'), partition: 0 }, [record(0)]);
  expect(missing.kind).toBe('failed');
  expect(await append({ topic, partition: 7 }, [record(0)])).toMatchObject({ kind: 'failed' });
  expect(await append({ topic, partition: 0 }, [record(0)])).toMatchObject({ kind: 'stored' });
});
