import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { kafkajsPort } from '../../streams/kafka/kafkajs-port.ts';
import type { PartitionReader, PartitionWriter, TopicPartition } from '../../streams/kafka-port.ts';
import { RecordArray } from '../../streams/record-array.ts';
import { brokersUnderTest, createTopic, uniqueTopic } from '../support/kafka.ts';
import { silentLogger } from '../support/silent-logger.ts';

/* Reads of a whole partition whose buffers are used again, from a real broker. */

const RECORDS = 9_000;
const VALUE_BYTES = 1_000;

jest.setTimeout(60_000);

let reader: PartitionReader;
let writer: PartitionWriter;

beforeAll(() => {
  const connection = { brokers: brokersUnderTest(), groupId: 'g', clientId: 'test', tls: null, sasl: null };
  const port = kafkajsPort(connection, silentLogger);
  reader = port.partitionReader();
  writer = port.partitionWriter();
});

afterAll(async () => {
  await reader?.close();
  await writer?.close();
});

/** A value that tells its record from every byte. */
const valueOf = (n: number): Buffer => Buffer.alloc(VALUE_BYTES, `${n}.`);

async function aFilledPartition(): Promise<TopicPartition> {
  const topic = uniqueTopic('read');
  await createTopic(topic, { partitions: 1 });
  const at = { topic, partition: 0 };
  for (let from = 0; from < RECORDS; from += 500) {
    const records = Array.from({ length: 500 }, (_, i) => ({
      key: Buffer.from(`k${from + i}`),
      value: valueOf(from + i),
      headers: {},
      timestamp: 1_763_900_000_000,
    }));
    const outcome = await writer.append(at, new RecordArray(records), () => true);
    expect(outcome.kind).toBe('stored');
  }
  return at;
}

test('a read is written into the bytes of one that was released, and every record is what was stored', async () => {
  const at = await aFilledPartition();
  const buffers = new Set<ArrayBufferLike>();
  let reads = 0;
  for (let offset = 0; offset < RECORDS;) {
    const batch = await reader.read(at, offset, 1_000);
    for (const { offset: n, value } of batch.records) {
      expect(value?.equals(valueOf(n))).toBe(true);
      if (value) buffers.add(value.buffer);
    }
    expect(batch.records[0]?.offset).toBe(offset);
    offset = batch.nextOffset;
    reads += 1;
    batch.release?.();
  }

  expect(reads).toBeGreaterThanOrEqual(4);
  expect(buffers.size).toBeLessThan(reads);
});

test('what isn’t released stays as it is', async () => {
  const at = await aFilledPartition();
  const kept = await reader.read(at, 0, 1_000);
  await reader.read(at, kept.nextOffset, 1_000);
  (await reader.read(at, kept.nextOffset, 1_000)).release?.();
  await reader.read(at, kept.nextOffset, 1_000);

  expect(kept.records.length).toBeGreaterThan(500);
  expect(kept.records.every(({ offset, value }) => value?.equals(valueOf(offset)))).toBe(true);
});
