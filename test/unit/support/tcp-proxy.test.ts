import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { TcpProxy, type ClientFilter } from '../../support/tcp-proxy.ts';
import { waitFor } from '../../support/wait-for.ts';

/** Longer than anything takes that isn't held back. */
const A_WHILE_MS = 100;

let stack: AsyncDisposableStack;
let server: Server;
/** What the server has received, of all connections. */
let received: string;
/** The sockets of the server. */
let sockets: Socket[];

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  received = '';
  sockets = [];
  // Says everything back.
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      socket.write(chunk);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
});

afterEach(() => stack.disposeAsync());

async function aProxy(filter?: () => ClientFilter): Promise<TcpProxy> {
  const { port: targetPort } = server.address() as AddressInfo;
  return stack.use(await TcpProxy.start({ targetPort, ...(filter ? { filter } : {}) }));
}

/** A client that remembers what it got, and how its connection ended. */
class Client {
  readonly socket: Socket;
  got = '';
  ending: 'end' | 'reset' | null = null;

  constructor({ port }: TcpProxy) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (chunk: Buffer) => (this.got += chunk.toString('latin1')));
    this.socket.on('end', () => (this.ending = 'end'));
    this.socket.on('error', () => (this.ending = 'reset'));
    stack.defer(() => void this.socket.destroy());
  }

  async says(text: string): Promise<void> {
    this.socket.write(text);
    await waitFor(() => this.got.endsWith(text), { message: `the echo of ${text.slice(0, 20)}` });
  }
}

test('forwards both ways, and an end as an end', async () => {
  const proxy = await aProxy();
  const client = new Client(proxy);
  await client.says('hello');
  const large = 'x'.repeat(3_000_000);
  await client.says(large);
  expect(received).toBe(`hello${large}`);
  sockets[0]?.end('bye');
  await waitFor(() => client.ending, { message: 'the end' });
  expect(client.ending).toBe('end');
  expect(client.got.slice(-3)).toBe('bye');
  await waitFor(() => proxy.open === 0, { message: 'the connection to be forgotten' });
  expect(proxy.accepted).toBe(1);
});

test('delays every byte each way and keeps the order', async () => {
  const proxy = await aProxy();
  proxy.delay(60, 40);
  const client = new Client(proxy);
  const since = performance.now();
  for (let n = 0; n < 10; n++) client.socket.write(`${n}`);
  await waitFor(() => client.got === '0123456789', { message: 'the echo' });
  expect(performance.now() - since).toBeGreaterThanOrEqual(39);
  proxy.delay(0);
  await client.says('fast');
});

test('carries no more bytes a second than told', async () => {
  const proxy = await aProxy();
  proxy.throttle(1_000_000);
  const client = new Client(proxy);
  const since = performance.now();
  await client.says('x'.repeat(400_000));
  expect(performance.now() - since).toBeGreaterThanOrEqual(395);
});

test('hangs with its sockets open, and goes on with what was held back', async () => {
  const proxy = await aProxy();
  const client = new Client(proxy);
  await client.says('before');
  proxy.hang();
  client.socket.write('held');
  sockets[0]?.end('end');
  const later = new Client(proxy);
  later.socket.write('later');
  await sleep(A_WHILE_MS);
  expect({ received, got: client.got, ending: client.ending }).toEqual({
    received: 'before',
    got: 'before',
    ending: null,
  });
  proxy.resume();
  await waitFor(() => client.ending === 'end' && later.got === 'later', { message: 'what was held back' });
  expect(client.got).toBe('beforeend');
});

test('leaves later connections alone when only those of now are to hang', async () => {
  const proxy = await aProxy();
  const hung = new Client(proxy);
  await hung.says('a');
  proxy.hang({ alsoNew: false });
  hung.socket.write('b');
  await new Client(proxy).says('c');
  expect(received).toBe('ac');
});

test('hangs and resets only connections that begin as chosen', async () => {
  const proxy = await aProxy();
  const isChosen = (firstBytes: Buffer): boolean => firstBytes.toString().startsWith('chosen');
  const present = new Client(proxy);
  await present.says('chosen 1');
  const other = new Client(proxy);
  await other.says('other 1');
  proxy.hang({ choice: isChosen });
  present.socket.write('chosen 2');
  new Client(proxy).socket.write('chosen 3');
  await other.says('other 2');
  await new Client(proxy).says('other 3');
  expect(received).toBe('chosen 1other 1other 2other 3');
  proxy.reset(isChosen);
  await waitFor(() => present.ending, { message: 'the reset' });
  expect(present.ending).toBe('reset');
  await other.says('other 4');
});

test('resets the connections of now, on both sides', async () => {
  const proxy = await aProxy();
  const client = new Client(proxy);
  await client.says('a');
  proxy.reset();
  await waitFor(() => client.ending, { message: 'the reset' });
  expect(client.ending).toBe('reset');
  await waitFor(() => sockets[0]?.errored, { message: 'the server to hear of it' });
  expect(sockets[0]?.errored).toMatchObject({ code: 'ECONNRESET' });
  await new Client(proxy).says('b');
});

test('cuts a connection after so many bytes of the server', async () => {
  const proxy = await aProxy();
  proxy.cutAfter(5);
  const client = new Client(proxy);
  client.socket.write('1234567');
  await waitFor(() => client.ending, { message: 'the cut' });
  expect(client.got).toBe('12345');
  proxy.cutAfter(null);
  await new Client(proxy).says('1234567');
});

test('refuses new connections and keeps those of now', async () => {
  const proxy = await aProxy();
  const present = new Client(proxy);
  await present.says('a');
  proxy.refuse();
  const refused = new Client(proxy);
  await waitFor(() => refused.ending, { message: 'the refusal' });
  expect(refused.ending).toBe('reset');
  await present.says('b');
  proxy.refuse(false);
  await new Client(proxy).says('c');
});

test('a server that is not there breaks the connection', async () => {
  const proxy = await aProxy();
  server.close();
  const client = new Client(proxy);
  await waitFor(() => client.ending, { message: 'the end' });
  expect(proxy.open).toBe(0);
});

test('passes on what a filter lets through', async () => {
  const proxy = await aProxy(() => (chunk) => Buffer.from(chunk.toString().replaceAll('x', '')));
  const client = new Client(proxy);
  client.socket.write('axbx');
  await waitFor(() => client.got === 'ab', { message: 'what is let through' });
});
