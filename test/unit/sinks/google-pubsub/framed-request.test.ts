import { protos, v1 } from '@google-cloud/pubsub';
import { Client, credentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { frameOf, messageIn, sendFramesUntouched } from '../../../../sinks/google-pubsub/framed-request.ts';
import { googlePubSubAdapter } from '../../../../sinks/google-pubsub/google-pubsub-adapter.ts';
import type { OperationBatch, Sink } from '../../../../sinks/sink.ts';
import { anOperationBatch, binaryOperation, bytesOf } from '../../../support/operation-batch.ts';
import { aServiceAccountFile, RSA_PRIVATE_KEY } from '../../../support/service-account.ts';

const { PublishRequest, PublishResponse } = protos.google.pubsub.v1;

const noAbort = (): AbortSignal => new AbortController().signal;

test('a frame is a header and the message, in as many pieces as were given', () => {
  const message = Buffer.alloc(70_000, 7);

  const frame = frameOf(message.subarray(0, 10), message.subarray(10));

  expect(frame[1]!.buffer).toBe(message.buffer);
  expect(Buffer.concat(frame).subarray(0, 5).toString('hex')).toBe('0000011170');
  expect(messageIn(frame).equals(message)).toBe(true);
});

describe('a channel', () => {
  test('of the installed official client is built as known here: else requests are copied', async () => {
    const publisher = new v1.PublisherClient({
      servicePath: '127.0.0.1',
      port: 1,
      projectId: 'acme',
      // Without any the client looks for the machine's.
      credentials: { client_email: 'writer@acme.iam.gserviceaccount.com', private_key: RSA_PRIVATE_KEY },
      sslCreds: credentials.createInsecure(),
    });
    const stub: unknown = await publisher.initialize();

    const isKnown = stub instanceof Client && sendFramesUntouched(stub.getChannel());
    await publisher.close();

    expect(isKnown).toBe(true);
  });

  test.each([
    ['without the filters', {}],
    [
      'with another filter',
      { internalChannel: { filterStackFactory: { factories: [{ createFilter: () => null }] } } },
    ],
    ['with no filter', { internalChannel: { filterStackFactory: { factories: [] } } }],
  ])('built otherwise, %s, is left alone', (_, channel) => {
    const before = structuredClone(Object.keys(channel));

    expect(sendFramesUntouched(channel as unknown as ReturnType<Client['getChannel']>)).toBe(false);
    expect(Object.keys(channel)).toEqual(before);
  });
});

/** A gRPC server that keeps what it was sent to the byte, and reads it only when told. */
describe('on the wire', () => {
  let server: Http2Server;
  let sinks: Sink[];
  let bodies: Buffer[];
  /** Of requests that were cancelled on their way. */
  let cutBodies: Buffer[];
  let isReading: boolean;
  let waiting: ServerHttp2Stream[];

  const read = (stream: ServerHttp2Stream): void => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const body = Buffer.concat(chunks);
      if (body.length < 5 || body.length < 5 + body.readUInt32BE(1)) {
        cutBodies.push(body);
        return;
      }
      bodies.push(body);
      const { messages } = PublishRequest.decode(body.subarray(5));
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      const messageIds = messages.map((__, i) => `${i}`);
      stream.end(Buffer.concat(frameOf(PublishResponse.encode({ messageIds }).finish())));
    });
  };

  beforeEach(async () => {
    sinks = [];
    bodies = [];
    cutBodies = [];
    waiting = [];
    isReading = true;
    server = createServer();
    server.on('stream', (stream: ServerHttp2Stream) => {
      stream.on('error', () => stream.destroy());
      if (isReading) read(stream);
      else waiting.push(stream);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });

  afterEach(async () => {
    for (const sink of sinks) await sink.close();
    await new Promise((resolve) => server.close(resolve));
  });

  const open = async (count: number): Promise<readonly Sink[]> => {
    const emulatorHost = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const adapter = googlePubSubAdapter({ allowEmulators: true, emulatorHost });
    for (let i = 0; i < count; i++) {
      sinks.push(
        await adapter.open({
          config: { projectId: 'acme', topicId: `users-${i}`, endpoint: null },
          options: {
            version: 2,
            userPointParent: false,
            messageId: false,
            ordering: false,
            orderingLanes: 16,
          },
          credentials: aServiceAccountFile(),
        }),
      );
    }
    return sinks;
  };

  const send = (sink: Sink, seed: number, signal = noAbort()) => sink.send(batchFilledWith(seed), signal);

  test('a request is one frame, whose message reads with the official protos', async () => {
    const [first, second] = await open(2);
    const batch = anOperationBatch({ operations: [binaryOperation(1, 300_000, 2), binaryOperation(2)] });

    const outcomes = await Promise.all([first!.send(batch, noAbort()), second!.send(batch, noAbort())]);

    expect(outcomes.map(({ failure }) => failure)).toEqual([null, null]);
    const requests = bodies.map((body) => {
      expect(body[0]).toBe(0);
      expect(body.readUInt32BE(1)).toBe(body.length - 5);
      return PublishRequest.decode(body.subarray(5));
    });
    expect(requests.map(({ topic }) => topic).sort()).toEqual(
      [0, 1].map((i) => `projects/acme/topics/users-${i}`),
    );
    for (const { messages } of requests) {
      expect(messages.map(({ data }, i) => bytesOf(batch, i).equals(data as Uint8Array))).toEqual([
        true,
        true,
      ]);
    }
  });

  test('a cancelled request that the server had not read never carries the bytes of later ones', async () => {
    const [sink, other] = await open(2);
    isReading = false;
    const abort = new AbortController();
    const seeds = [0, 1, 2, 3, 4, 5];
    const cancelled = seeds.map((seed) => send(sink!, seed, abort.signal));
    await untilTrue(() => waiting.length === seeds.length);

    abort.abort();
    await Promise.all(cancelled);
    isReading = true;
    for (let seed = 100; seed < 130; seed++) expect((await send(other!, seed)).failure).toBeNull();
    for (const stream of waiting) read(stream);
    const again = await send(sink!, 200);

    expect(again).toEqual({ delivered: 1, failure: null });
    expect(bodies).toHaveLength(31);
    expect(fillsOf(bodies)).toEqual([...Array.from({ length: 30 }, (_, i) => 100 + i), 200]);
    for (const fill of fillsOf(cutBodies)) expect(seeds).toContain(fill);
  });

  test('requests that share their bytes arrive whole while buffers are used again and again', async () => {
    const opened = await open(4);
    const seeds = Array.from({ length: 20 }, (_, i) => i);

    for (const seed of seeds) {
      const batch = batchFilledWith(seed);
      const isCut = seed % 5 === 0;
      const outcomes = await Promise.all(
        opened.map((sink, i) => sink.send(batch, isCut && i === 0 ? AbortSignal.timeout(1) : noAbort())),
      );
      expect(outcomes.slice(1).map(({ failure }) => failure)).toEqual([null, null, null]);
    }

    for (const seed of seeds) {
      const ofSeed = fillsOf(bodies).filter((fill) => fill === seed);
      expect(ofSeed.length).toBeGreaterThanOrEqual(3);
    }
  });
});

function batchFilledWith(fill: number): OperationBatch {
  return anOperationBatch({ operations: [{ data: Buffer.alloc(300_000, fill) }] });
}

/** What the one operation of each request is filled with, as far as the request arrived. NaN when bytes were mixed. */
function fillsOf(requests: readonly Buffer[]): readonly number[] {
  const beyondHeaders = 200;
  return requests
    .map((request) => request.subarray(beyondHeaders))
    .filter((data) => data.length > 0)
    .map((data) => (data.equals(Buffer.alloc(data.length, data[0])) ? data[0]! : NaN));
}

async function untilTrue(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
}
