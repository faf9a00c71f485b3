import { describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { FetchedBatch } from '../../../../streams/kafka/fetched-batch.ts';
import { assertFetchingIsPatched } from '../../../../streams/kafka/kafkajs-patches.ts';
import { Kafka, logLevel } from '../../../../streams/kafka/kafkajs.ts';
import { aRecordBatch } from './record-batch-builder.ts';

const requireKafkajs = createRequire(import.meta.url);
const { decode } = requireKafkajs('kafkajs/src/protocol/requests/fetch/v11/response') as {
  decode: (bytes: Buffer) => Promise<{
    responses: readonly { partitions: readonly ConstructorParameters<typeof FetchedBatch>[2][] }[];
  }>;
};

/** A fetch response of version 11 with one partition. */
function aFetchResponse(records: Buffer): Buffer {
  const int32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    return bytes;
  };
  const ends = Buffer.alloc(24);
  ends.writeBigInt64BE(100n);
  return Buffer.concat([
    ...[int32(0), Buffer.alloc(2), int32(0), int32(1), Buffer.from([0, 1]), Buffer.from('t')],
    ...[int32(1), int32(5), Buffer.alloc(2), ends, int32(-1), int32(-1), int32(records.length), records],
  ]);
}

async function consumed(records: Buffer, from = 0): Promise<ReturnType<FetchedBatch['consumed']>> {
  const { responses } = await decode(aFetchResponse(records));
  const data = responses[0]?.partitions[0];
  if (!data) throw new Error('no partition');
  return new FetchedBatch('t', String(from), data).consumed();
}

/** A message set with one message of magic 1. */
function aMessageSet(offset: bigint, value: string): Buffer {
  const message = Buffer.alloc(8 + 4 + 4 + 2 + 8 + 4 + 4);
  message.writeBigInt64BE(offset, 0);
  message.writeInt32BE(message.length - 12 + value.length, 8);
  message.writeInt8(1, 16);
  message.writeBigInt64BE(77n, 18);
  message.writeInt32BE(-1, 26);
  message.writeInt32BE(value.length, 30);
  return Buffer.concat([message, Buffer.from(value)]);
}

test('a fetch response of kafkajs has this program’s record batches', async () => {
  expect(assertFetchingIsPatched).not.toThrow();
  expect(requireKafkajs('kafkajs/src/consumer/batch')).toBe(FetchedBatch);
  expect(await consumed(aRecordBatch({ firstOffset: 4n, records: [{}, {}] }), 5)).toMatchObject({
    partition: 5,
    fetchedOffset: 5,
    nextOffset: 6,
    highWatermark: 100,
    records: [{ offset: 5 }],
  });
});

test('messages of older formats are left to kafkajs', async () => {
  expect(await consumed(aMessageSet(8n, 'old'), 8)).toMatchObject({
    nextOffset: 9,
    records: [{ offset: 8, timestamp: 77, key: null, value: Buffer.from('old') }],
  });
});

test('a compression codec that Kafka has not assigned ends the consumer, as kafkajs means it', async () => {
  await expect(consumed(aRecordBatch({ attributes: 5, records: [{}] }))).rejects.toMatchObject({
    name: 'KafkaJSNotImplemented',
  });
});

test('a fetch that is cut off before the first magic byte has nothing yet', async () => {
  const batch = aRecordBatch({ records: [{}] });
  for (const length of [0, 1, 16, 17, 60]) {
    expect(await consumed(batch.subarray(0, length), 3)).toMatchObject({ nextOffset: 3, records: [] });
  }
});

test('a connection on which a request has timed out is given up, and another one is made', async () => {
  await using stack = new AsyncDisposableStack();
  // Takes everything and answers nothing.
  const connections: Socket[] = [];
  const server = createServer((socket) => {
    socket.resume().on('error', () => undefined);
    connections.push(socket);
  }).listen(0, '127.0.0.1');
  stack.defer(() => {
    for (const connection of connections) connection.destroy();
    server.close();
  });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const admin = new Kafka({
    brokers: [`127.0.0.1:${port}`],
    requestTimeout: 50,
    retry: { retries: 2, initialRetryTime: 1 },
    logLevel: logLevel.NOTHING,
  }).admin();
  stack.defer(() => admin.disconnect());
  await expect(admin.connect().then(() => admin.listTopics())).rejects.toThrow(/timed out/);
  expect(connections.length).toBeGreaterThan(1);
  expect(connections[0]?.destroyed).toBe(true);
});

test('an idle connection sets no timer; one with something pending does', () => {
  const RequestQueue = requireKafkajs('kafkajs/src/network/requestQueue') as new (options: object) => {
    pending: object[];
    throttleCheckTimeoutId: NodeJS.Timeout | null;
    scheduleCheckPendingRequests(): void;
  };
  const queue = new RequestQueue({});
  queue.scheduleCheckPendingRequests();
  expect(queue.throttleCheckTimeoutId).toBeNull();
  queue.pending.push({});
  queue.scheduleCheckPendingRequests();
  expect(queue.throttleCheckTimeoutId).not.toBeNull();
  clearTimeout(queue.throttleCheckTimeoutId ?? undefined);
});

describe('kafkajs’ offsets', () => {
  const OffsetManager = requireKafkajs('kafkajs/src/consumer/offsetManager') as new (options: object) => {
    resolvedOffsets: Record<string, Record<number, string>>;
    setDefaultOffset(at: object): Promise<void>;
    resolveOffset(at: object): void;
    seek(at: object): Promise<void>;
  };
  const committing: string[] = [];
  const offsets = () =>
    new OffsetManager({
      memberAssignment: { t: [0] },
      autoCommit: false,
      coordinator: {
        isConnected: () => true,
        offsetCommit: () => Promise.resolve(committing.push('commit')),
      },
      cluster: {
        fetchTopicsOffset: ([{ fromBeginning }]: readonly [{ fromBeginning: boolean }]) =>
          Promise.resolve([
            { topic: 't', partitions: [{ partition: 0, offset: fromBeginning ? '7' : '99' }] },
          ]),
      },
    });

  test('out of range, the position moves to the log’s start, and nothing is committed', async () => {
    const manager = offsets();
    await manager.setDefaultOffset({ topic: 't', partition: 0 });
    expect(manager.resolvedOffsets).toEqual({ t: { 0: '7' } });
    expect(committing).toEqual([]);
  });

  test('a seek commits nothing', async () => {
    const manager = offsets();
    await manager.seek({ topic: 't', partition: 0, offset: '5' });
    expect(manager.resolvedOffsets).toEqual({ t: { 0: '5' } });
    expect(committing).toEqual([]);
  });

  test('a batch of a topic that the member has nothing of any more is no error', () => {
    const manager = offsets();
    expect(() => {
      manager.resolveOffset({ topic: 'lost', partition: 0, offset: '5' });
    }).not.toThrow();
    manager.resolveOffset({ topic: 't', partition: 0, offset: '5' });
    expect(manager.resolvedOffsets).toEqual({ t: { 0: '6' } });
  });
});
