import { expect, test } from '@jest/globals';
import type {
  ConsumedBatch,
  NeededOfRecords,
  PartitionReader,
  TopicPartition,
} from '../../../streams/kafka-port.ts';
import { ReaderPerTopic } from '../../../streams/reader-per-topic.ts';

const STATUS = { topic: 'status', partition: 0 };
const CONFIG = { topic: 'config', partition: 0 };

/** Answers one request after the other, as a broker does on one connection; a read of `status` is never answered. */
class OneConnection implements PartitionReader {
  isClosed = false;
  /** What of its records the last read was asked for. */
  needed: NeededOfRecords | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  async bounds(): Promise<{ start: number; end: number }> {
    await this.#turn;
    return { start: 0, end: 7 };
  }

  async read(
    { topic }: TopicPartition,
    offset: number,
    _maxWaitMs: number,
    needed?: NeededOfRecords,
  ): Promise<ConsumedBatch> {
    this.needed = needed;
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    await before;
    if (topic === STATUS.topic) await new Promise(() => undefined);
    resolve();
    return { records: [], nextOffset: offset + 1, highWatermark: offset + 1 } as unknown as ConsumedBatch;
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

function aReader(): { readonly reader: ReaderPerTopic; readonly connections: OneConnection[] } {
  const connections: OneConnection[] = [];
  const reader = new ReaderPerTopic(() => {
    const connection = new OneConnection();
    connections.push(connection);
    return connection;
  });
  return { reader, connections };
}

test('a read that waits for records of one topic doesn’t hold up another topic', async () => {
  const { reader, connections } = aReader();

  void reader.read(STATUS, 0, 250);

  expect(await reader.read(CONFIG, 3, 250)).toMatchObject({ nextOffset: 4 });
  expect(await reader.bounds(CONFIG)).toEqual({ start: 0, end: 7 });
  expect(connections).toHaveLength(2);
});

test('asks for no more of the records than it is asked for', async () => {
  const { reader, connections } = aReader();
  await reader.read(CONFIG, 0, 250, 'keys');

  expect(connections.map(({ needed }) => needed)).toEqual(['keys']);
});

test('closes every connection, and opens none afterwards', async () => {
  const { reader, connections } = aReader();
  await reader.bounds(STATUS);

  await reader.close();

  expect(connections.map(({ isClosed }) => isClosed)).toEqual([true]);
  await expect(reader.read(CONFIG, 0, 250)).rejects.toThrow('closed');
  expect(connections).toHaveLength(1);
});
