import { expect, jest, test } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { findFreePorts } from '../../../local/free-port.ts';
import { lasts, tell } from '../observed.ts';
import { ReplicatedClouds, p99 } from '../replicated-clouds.ts';

/* Destinations that nobody answers for: row 30 of RELIABILITY section 6. */

jest.setTimeout(240_000);

const DETACH_AFTER_SECONDS = 3;
/** Full jitter up to 30 s, beside the 10 s that an attempt with an open outcome is waited for, on a busy machine. */
const RECOVERY_MS = 120_000;
const DEAD = ['refused', 'silent', 'nameless'];
const DOWN_MS = 40_000;
/** Within `DOWN_MS` the backoff with full jitter admits about ten attempts; one without breaker thousands. */
const MOST_ATTEMPTS = 40;

/** Accepts connections and never says anything. */
class SilentServer implements AsyncDisposable {
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.resume();
  });

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await once(this.#server, 'close');
  }
}

function connectionString(authority: string): string {
  return `Endpoint=sb://${authority};SharedAccessKeyName=local;SharedAccessKey=bG9jYWw=;UseDevelopmentEmulator=true`;
}

test('row 30: a closed port, a port that never answers and a name that nobody knows open the breaker, show their lag and cost the others nothing', async () => {
  await using silent = new SilentServer();
  const [closedPort = 0] = await findFreePorts(1);
  await using clouds = await ReplicatedClouds.create({
    topics: ['users'],
    hubs: ['healthy', ...DEAD],
    files: ['witness'],
    environment: { DELIVERY_DETACH_AFTER_SECONDS: String(DETACH_AFTER_SECONDS) },
  });
  const { deployment, eventHubs } = clouds;
  let processor = await deployment.startReady();
  await clouds.send(200);
  await clouds.waitUntilDelivered(processor);

  const namespaces = [
    `127.0.0.1:${closedPort}`,
    `127.0.0.1:${await silent.listen()}`,
    'nobody-knows-this.invalid',
  ];
  for (const [index, id] of DEAD.entries()) {
    await deployment.putCredentials(`dead-${id}.txt`, connectionString(namespaces[index] ?? ''));
    await clouds.configure(id, { credentials_uri: `file:dead-${id}.txt` });
  }
  // One that has served with other credentials goes on with those while the new ones don't work.
  expect(await processor.stop()).toBe(0);
  processor = await deployment.startReady();
  const since = Date.now();
  await using traffic = clouds.startTraffic(20, 100);
  const isEveryDeadDetached = async (): Promise<boolean> =>
    (await processor.samples('replication_state')).filter(
      ({ labels }) => labels.state === 'DETACHED' && DEAD.includes(labels.replication_id ?? ''),
    ).length === DEAD.length;
  await processor.waitWhileRunning(isEveryDeadDetached, 'all dead ones to be detached', 60_000);
  await lasts(DOWN_MS, processor, since);

  for (const replication_id of DEAD) {
    const lag = await processor.metric('replication_lag_records', { replication_id });
    const attempts = await processor.metric('publish_requests_total', { replication_id });
    const retries = await processor.samples('retries_total');
    const codes = retries.filter(({ labels }) => labels.replication_id === replication_id);
    tell(`row 30, ${replication_id}`, {
      lag,
      attempts,
      codes: codes.map(({ labels, value }) => [labels.code, value]),
    });
    expect(lag).toBeGreaterThan(500);
    expect(attempts).toBeLessThan(MOST_ATTEMPTS);
    expect(
      codes.some(({ labels }) => ['unreachable', 'timeout', 'unavailable'].includes(labels.code ?? '')),
    ).toBe(true);
  }
  expect(await processor.metric('replication_lag_seconds', { replication_id: 'users' })).toBeLessThan(2);
  const latency = p99(clouds.latencies('users', since));
  tell('row 30, p99 of a healthy neighbour in ms', latency);
  expect(latency).toBeLessThan(2_000);
  // Nobody's refusal: they are kept, however long it lasts.
  const states = (await processor.samples('replication_state')).map(({ labels }) => labels.state);
  expect(states).not.toContain('ERROR');
  expect(await processor.metric('partition_blocked')).toBeNull();

  // Whoever opens a client reads the file anew.
  for (const id of DEAD) await deployment.putCredentials(`dead-${id}.txt`, eventHubs.connectionString());
  await traffic.stop();
  await clouds.waitUntilDelivered(processor, RECOVERY_MS);
  expect(await clouds.violations()).toEqual({});
  expect(await processor.stop()).toBe(0);
});
