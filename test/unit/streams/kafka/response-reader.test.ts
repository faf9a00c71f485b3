import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import {
  ResponseReader,
  socketInto,
  type ResponseTarget,
} from '../../../../streams/kafka/response-reader.ts';

class RecordingConnection implements ResponseTarget {
  authHandlers: object | null = null;
  readonly chunks: Buffer[] = [];
  readonly responses: { size: number; correlationId: number; payload: Buffer }[] = [];
  readonly requestQueue = {
    fulfillRequest: (response: { size: number; correlationId: number; payload: Buffer }): void =>
      void this.responses.push(response),
  };

  processData(chunk: Buffer): void {
    this.chunks.push(chunk);
  }
}

function aResponse(correlationId: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeInt32BE(4 + payload.length);
  head.writeInt32BE(correlationId, 4);
  return Buffer.concat([head, payload]);
}

/** Writes as a socket does: as much as there is and as fits. */
function write(reader: ResponseReader, bytes: Buffer): Error | null {
  for (let at = 0; at < bytes.length;) {
    const space = reader.space();
    const length = bytes.copy(space, 0, at);
    expect(length).toBeGreaterThan(0);
    const problem = reader.received(length);
    if (problem) return problem;
    at += length;
  }
  return null;
}

describe('responses', () => {
  test('come whole and in order, however the socket cuts them', () => {
    const size = fc.oneof(fc.nat(20), fc.nat(20_000), fc.nat(200_000));
    fc.assert(
      fc.property(
        fc.array(size, { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 20 }),
        (sizes, cuts) => {
          const connection = new RecordingConnection();
          const reader = new ResponseReader(connection);
          const payloads = sizes.map((length, i) => Buffer.alloc(length, i + 1));
          const stream = Buffer.concat(payloads.map((payload, i) => aResponse(i, payload)));
          for (let at = 0, i = 0; at < stream.length; i++) {
            const end = at + (cuts[i % cuts.length] ?? 1);
            expect(write(reader, stream.subarray(at, end))).toBeNull();
            at = end;
          }

          expect(connection.responses.map(({ correlationId }) => correlationId)).toEqual(
            sizes.map((_, i) => i),
          );
          expect(connection.responses.every(({ payload }, i) => payloads[i]?.equals(payload))).toBe(true);
          expect(connection.responses.map((response) => response.size)).toEqual(
            sizes.map((length) => length + 4),
          );
        },
      ),
    );
  });

  test('stay as they were while others arrive', () => {
    const connection = new RecordingConnection();
    const reader = new ResponseReader(connection);
    write(reader, aResponse(1, Buffer.from('first')));
    write(reader, aResponse(2, Buffer.from('other')));

    expect(connection.responses.map(({ payload }) => payload.toString())).toEqual(['first', 'other']);
  });

  test('are left to kafkajs while it authenticates', () => {
    const connection = new RecordingConnection();
    const reader = new ResponseReader(connection);
    connection.authHandlers = {};
    write(reader, Buffer.from('challenge'));
    connection.authHandlers = null;
    write(reader, aResponse(7, Buffer.from('answer')));

    expect(connection.chunks.map(String)).toEqual(['challenge']);
    expect(connection.responses).toMatchObject([{ correlationId: 7 }]);
  });

  test.each([
    ['a TLS listener', Buffer.from([0x15, 3, 3, 0, 2, 2, 0x46])],
    ['an HTTP server', Buffer.from('HTTP/1.1 400 Bad Request')],
    ['nonsense', Buffer.from([0xff, 0xff, 0xff, 0xff])],
    ['no correlation id', Buffer.from([0, 0, 0, 3, 1, 2, 3])],
  ])('are refused from %s', (_what, bytes) => {
    expect(write(new ResponseReader(new RecordingConnection()), bytes)?.message).toMatch('another protocol');
  });
});

test('a socket hands responses over and says when it ends', async () => {
  const payload = Buffer.alloc(300_000, 7);
  const server = createServer((peer) =>
    peer.end(Buffer.concat([aResponse(1, payload), aResponse(2, payload)])),
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const connection = new RecordingConnection();
  const socket = socketInto(connection)({ host: '127.0.0.1', port, ssl: null, onConnect: () => undefined });
  socket.on('data', () => {
    throw new Error('a response went another way');
  });

  await once(socket, 'end');
  server.close();

  expect(connection.responses.map((response) => response.payload.equals(payload))).toEqual([true, true]);
});

test('a socket that gets something else fails', async () => {
  const server = createServer((peer) => peer.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const socket = socketInto(new RecordingConnection())({
    host: '127.0.0.1',
    port,
    ssl: null,
    onConnect: () => undefined,
  });

  const [error] = (await once(socket, 'error').catch((cause: unknown) => [cause])) as [Error];
  server.close();

  expect(error.message).toMatch('another protocol');
});
