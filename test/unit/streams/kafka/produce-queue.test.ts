import { afterEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { BrokerConnection } from '../../../../streams/kafka/broker-connection.ts';
import { applyKafkajsPatches } from '../../../../streams/kafka/kafkajs-patches.ts';
import { ProduceQueue } from '../../../../streams/kafka/produce-queue.ts';
import type { AppendOutcome } from '../../../../streams/kafka-port.ts';
import { RecordArray } from '../../../../streams/record-array.ts';

applyKafkajsPatches();
const requireKafkajs = createRequire(import.meta.url);
const RequestQueue = requireKafkajs('kafkajs/src/network/requestQueue') as new (
  options: object,
) => BrokerConnection['requestQueue'] & {
  fulfillRequest(answer: { correlationId: number; payload: Buffer; size: number }): void;
  rejectAll(error: Error): void;
};

const DEADLINE_MS = 300;
const RECORDS = new RecordArray([{ key: Buffer.from('k'), value: Buffer.from('v'), headers: {} }]);
const noLog = { debug: () => undefined, warn: () => undefined };

/** A broker over TCP that a test answers for; requests reach it over kafkajs' own request queue. */
class ScriptedBroker {
  /** The partitions of each request, in order. */
  readonly requests: number[][] = [];
  /** By partition: the error code that it is answered with; null keeps silent. */
  errorOf: (partition: number) => number | null = () => 0;
  /** While set, answers wait for it. */
  held: Promise<void> | null = null;
  connections = 0;
  #server: Server | null = null;
  readonly #sockets = new Set<Socket>();

  async listen(): Promise<void> {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      let received = Buffer.alloc(0);
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => {
        received = Buffer.concat([received, chunk]);
        while (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) {
          const frame = received.subarray(4, 4 + received.readInt32BE(0));
          received = received.subarray(4 + frame.length);
          void this.#answer(frame, socket);
        }
      });
    }).listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  /** As kafkajs would connect. */
  connect = async (): Promise<{ connection: BrokerConnection; version: number }> => {
    this.connections += 1;
    const { port } = this.#server?.address() as { port: number };
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const requestQueue = new RequestQueue({
      maxInFlightRequests: null,
      requestTimeout: 60_000,
      enforceRequestTimeout: false,
      clientId: 'test',
      broker: 'test',
      logger: noLog,
    });
    socket.on('data', (bytes) => {
      const payload = bytes.subarray(8);
      requestQueue.fulfillRequest({ correlationId: bytes.readInt32BE(4), payload, size: payload.length });
    });
    socket.on('error', (error) => {
      requestQueue.rejectAll(error);
    });
    socket.on('end', () => {
      requestQueue.rejectAll(new Error('closed'));
    });
    let correlationId = 0;
    const connection = {
      clientId: 'test',
      socket,
      requestQueue,
      isConnected: () => !socket.destroyed,
      authenticate: () => Promise.resolve(),
      nextCorrelationId: () => correlationId++,
    };
    return { connection, version: 7 };
  };

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server?.close();
  }

  cutConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #answer(frame: Buffer, socket: Socket): Promise<void> {
    // Correlation id, client id `test`, transactional id, acks and timeout stand before the topics.
    const correlationId = frame.readInt32BE(4);
    let at = 4 + 4 + 6 + 2 + 2 + 4 + 4;
    at += 2 + frame.readInt16BE(at);
    const count = frame.readInt32BE(at);
    at += 4;
    const partitions: number[] = [];
    for (let i = 0; i < count; i += 1) {
      partitions.push(frame.readInt32BE(at));
      at += 8 + frame.readInt32BE(at + 4);
    }
    this.requests.push(partitions);
    await this.held;
    if (partitions.some((partition) => this.errorOf(partition) === null)) return;
    const answer = Buffer.alloc(4 + 4 + 4 + 3 + 4 + 30 * count + 4);
    answer.writeInt32BE(answer.length - 4, 0);
    answer.writeInt32BE(correlationId, 4);
    answer.writeInt32BE(1, 8);
    answer.writeInt16BE(1, 12);
    answer.write('t', 14);
    answer.writeInt32BE(count, 15);
    partitions.forEach((partition, i) => {
      answer.writeInt32BE(partition, 19 + 30 * i);
      answer.writeInt16BE(this.errorOf(partition) ?? 0, 23 + 30 * i);
      answer.writeBigInt64BE(100n, 25 + 30 * i);
    });
    socket.write(answer);
  }
}

describe('a produce queue', () => {
  const brokers: ScriptedBroker[] = [];
  afterEach(() => {
    for (const broker of brokers.splice(0)) broker.close();
  });

  async function aQueue(): Promise<{
    broker: ScriptedBroker;
    append: (partition: number, mayStart?: () => boolean) => Promise<AppendOutcome>;
  }> {
    const broker = new ScriptedBroker();
    brokers.push(broker);
    await broker.listen();
    const queue = new ProduceQueue(broker.connect, DEADLINE_MS);
    return {
      broker,
      append: (partition, mayStart = () => true) =>
        queue.append({ at: { topic: 't', partition }, records: RECORDS }, mayStart),
    };
  }

  test('sends one request at a time, and what comes meanwhile together in the next', async () => {
    const { broker, append } = await aQueue();
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    broker.held = held;
    const first = append(0);
    while (broker.requests.length === 0) await new Promise(setImmediate);
    const others = [append(1), append(2), append(3)];
    release();

    expect(await Promise.all([first, ...others])).toEqual(
      Array.from({ length: 4 }, () => ({ kind: 'stored', baseOffset: 100 })),
    );
    expect(broker.requests).toEqual([[0], [1, 2, 3]]);
  });

  test('sends nothing of who may not start any more when it is written', async () => {
    const { broker, append } = await aQueue();

    expect(await Promise.all([append(0, () => false), append(1)])).toEqual([
      { kind: 'not_started' },
      { kind: 'stored', baseOffset: 100 },
    ]);
    expect(broker.requests).toEqual([[1]]);
  });

  test.each([
    [6, 'failed', 'NOT_LEADER_FOR_PARTITION'],
    [7, 'failed', 'REQUEST_TIMED_OUT'],
    [10, 'too_large', 'MESSAGE_TOO_LARGE'],
    [18, 'too_large', 'RECORD_LIST_TOO_LARGE'],
    [19, 'failed', 'NOT_ENOUGH_REPLICAS'],
    [20, 'failed', 'NOT_ENOUGH_REPLICAS_AFTER_APPEND'],
    [29, 'failed', 'TOPIC_AUTHORIZATION_FAILED'],
    [9_999, 'failed', 'KAFKAJS_UNKNOWN_ERROR_CODE'],
  ])('error code %d of the broker is %s, %s, for its partition only', async (code, kind, type) => {
    const { broker, append } = await aQueue();
    broker.errorOf = (partition) => (partition === 1 ? code : 0);

    expect(await Promise.all([append(0), append(1)])).toMatchObject([
      { kind: 'stored' },
      { kind, error: { type } },
    ]);
  });

  test('an attempt without an answer is open at its deadline, and its connection is dropped', async () => {
    const { broker, append } = await aQueue();
    broker.errorOf = () => null;
    const startedAt = performance.now();

    expect(await append(0)).toMatchObject({ kind: 'open' });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(DEADLINE_MS - 5);
    broker.errorOf = () => 0;
    expect(await append(0)).toMatchObject({ kind: 'stored' });
    expect(broker.connections).toBe(2);
  });

  test('an attempt whose connection is cut is open, and who waited behind it has failed', async () => {
    const { broker, append } = await aQueue();
    broker.errorOf = () => null;
    const first = append(0);
    while (broker.requests.length === 0) await new Promise(setImmediate);
    const second = append(1);
    broker.cutConnections();

    expect(await Promise.all([first, second])).toMatchObject([{ kind: 'open' }, { kind: 'failed' }]);
  });

  test('without a connection nothing has been sent', async () => {
    const queue = new ProduceQueue(() => Promise.reject(new Error('refused')), DEADLINE_MS);
    let isAsked = false;
    const outcome = await queue.append({ at: { topic: 't', partition: 0 }, records: RECORDS }, () => {
      isAsked = true;
      return true;
    });

    expect(outcome).toMatchObject({ kind: 'failed', error: { message: 'refused' } });
    expect(isAsked).toBe(false);
  });
});
