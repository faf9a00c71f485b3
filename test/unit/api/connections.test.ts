import { afterEach, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { openApiServer } from '../../../api/api-server.ts';
import type { OpsServer } from '../../../api/ops-server.ts';
import {
  ApiUnderTest,
  PUBSUB,
  REPLICATIONS,
  TOKENS,
  type ApiUnderTestOptions,
} from '../../support/api-under-test.ts';

const servers: OpsServer[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

/** A bare connection to a server that gives a request half a second to arrive. */
async function connected(options: ApiUnderTestOptions = {}): Promise<Connection> {
  const api = new ApiUnderTest(options);
  api.plane.given({ id: '80', datamart_id: '1649', ...PUBSUB });
  const where = { host: '127.0.0.1', port: 0 };
  const server = await openApiServer({ ...(await api.options), requestTimeoutMs: 500, ...where });
  servers.push(server);
  const socket = connect(server.port, '127.0.0.1');
  sockets.push(socket);
  await once(socket, 'connect');
  return new Connection(socket, api);
}

class Connection {
  readonly api: ApiUnderTest;
  readonly #socket: Socket;
  #received = '';
  readonly #ended = Promise.withResolvers<void>();

  constructor(socket: Socket, api: ApiUnderTest) {
    this.api = api;
    this.#socket = socket;
    socket.on('data', (chunk) => {
      this.#received += chunk.toString('latin1');
    });
    // Reset while we write on: what was received is what counts.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#ended.resolve());
  }

  write(text: string): void {
    this.#socket.write(text, 'latin1');
  }

  /** Everything that came until the server closed the connection. */
  async untilClosed(): Promise<string> {
    await this.#ended.promise;
    return this.#received;
  }

  /** Everything that came until there were so many answers. */
  async untilAnswers(count: number): Promise<readonly number[]> {
    for (;;) {
      const statuses = [...this.#received.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) =>
        Number(status),
      );
      if (statuses.length >= count) return statuses;
      await once(this.#socket, 'data');
    }
  }
}

const AUTHORIZED = `Host: x\r\nAuthorization: api:${TOKENS.acme}\r\n`;

function envelopeOf(answer: string): Record<string, unknown> {
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as Record<string, unknown>;
}

test('gives up a body that comes too slowly', async () => {
  const connection = await connected();
  connection.write(
    `POST ${REPLICATIONS} HTTP/1.1\r\n${AUTHORIZED}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
  );

  const answer = await connection.untilClosed();

  expect(answer).toContain('HTTP/1.1 408');
  expect(envelopeOf(answer)).toMatchObject({ status: 'error', error_code: 'request_timeout' });
  expect(connection.api.plane.written).toHaveLength(1);
});

test('gives up headers that come too slowly', async () => {
  const connection = await connected();
  connection.write(`GET ${REPLICATIONS} HTTP/1.1\r\nHost:`);

  expect(await connection.untilClosed()).toContain('HTTP/1.1 408');
});

test.each([
  ['one long header', `X-Long: ${'x'.repeat(20_000)}\r\n`],
  ['many headers', Array.from({ length: 1_000 }, (_, i) => `X-Header-${i}: ${'x'.repeat(20)}\r\n`).join('')],
])('refuses %s', async (_what, headers) => {
  const connection = await connected();
  connection.write(`GET ${REPLICATIONS} HTTP/1.1\r\n${AUTHORIZED}${headers}\r\n`);

  const answer = await connection.untilClosed();

  expect(answer).toContain('HTTP/1.1 431');
  expect(envelopeOf(answer)).toMatchObject({ error_code: 'headers_too_large' });
});

test.each([
  ['no HTTP', 'hello there\r\n\r\n'],
  [
    'two lengths',
    `POST ${REPLICATIONS} HTTP/1.1\r\n${AUTHORIZED}Content-Length: 5\r\nContent-Length: 6\r\n\r\n`,
  ],
  [
    'a length and chunks',
    `POST ${REPLICATIONS} HTTP/1.1\r\n${AUTHORIZED}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
])('refuses %s', async (_what, text) => {
  const connection = await connected();
  connection.write(text);

  const answer = await connection.untilClosed();

  expect(answer).toContain('HTTP/1.1 400');
  expect(envelopeOf(answer)).toMatchObject({ error_code: 'invalid_request' });
});

test('refuses a body by the length that it announces, before it comes', async () => {
  const connection = await connected();
  connection.write(
    `POST ${REPLICATIONS} HTTP/1.1\r\n${AUTHORIZED}Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n`,
  );

  const answer = await connection.untilClosed();

  expect(answer).toContain('HTTP/1.1 413');
  expect(envelopeOf(answer)).toMatchObject({ error_code: 'payload_too_large' });
});

test('refuses a body that doesn’t say how long it is and goes on and on', async () => {
  const connection = await connected();
  const chunk = `2000\r\n${'x'.repeat(0x2000)}\r\n`;
  connection.write(
    `POST ${REPLICATIONS} HTTP/1.1\r\n${AUTHORIZED}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  connection.write(chunk.repeat(16));

  expect(await connection.untilClosed()).toContain('HTTP/1.1 413');
});

test('refuses an upload that goes on before its first part', async () => {
  const connection = await connected();
  connection.write(
    `POST ${REPLICATIONS}/80/credentials HTTP/1.1\r\n${AUTHORIZED}` +
      'Content-Type: multipart/form-data; boundary=abc\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  connection.write(`2000\r\n${'x'.repeat(0x2000)}\r\n`.repeat(160));

  const answer = await connection.untilClosed();

  expect(answer).toContain('HTTP/1.1 413');
  expect(answer).toContain('"error_code":"credentials_too_large"');
});

test('reads no byte of a body whose sender has no token', async () => {
  const connection = await connected();
  connection.write(
    `POST ${REPLICATIONS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n`,
  );

  expect(await connection.untilAnswers(1)).toEqual([401]);
});

test('survives an upload that is cut off', async () => {
  const connection = await connected();
  const { api } = connection;
  connection.write(
    `POST ${REPLICATIONS}/80/credentials HTTP/1.1\r\n${AUTHORIZED}` +
      'Content-Type: multipart/form-data; boundary=abc\r\nContent-Length: 1000\r\n\r\n' +
      '--abc\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{"type"',
  );
  sockets.splice(0).forEach((socket) => socket.destroySoon());
  await connection.untilClosed();

  expect((await api.call('GET', `${REPLICATIONS}/80`)).status).toBe(200);
  expect(api.plane.sealed.size).toBe(0);
  await api.close();
});

test('answers pipelined requests in their order', async () => {
  const connection = await connected();
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\n${AUTHORIZED}\r\n`;
  connection.write(
    get(REPLICATIONS) + get(`${REPLICATIONS}/81`) + get('/openapi.json') + get(`${REPLICATIONS}/80`),
  );

  expect(await connection.untilAnswers(4)).toEqual([200, 404, 200, 200]);
});

test('closes while a request is being answered, after its answer', async () => {
  const answering = Promise.withResolvers<Record<string, never>>();
  const asked = Promise.withResolvers<void>();
  const explainer = {
    explain: () => {
      asked.resolve();
      return answering.promise;
    },
  };
  const connection = await connected({ service: { explainer } });
  connection.write(
    `POST ${REPLICATIONS}/80/explain HTTP/1.1\r\n${AUTHORIZED}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
  );
  await asked.promise;

  const closing = Promise.all(servers.splice(0).map((server) => server.close()));
  answering.resolve({});

  expect(await connection.untilClosed()).toContain('HTTP/1.1 200');
  await closing;
});
