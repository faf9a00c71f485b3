import { afterEach, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { connect } from 'node:net';
import { ListenError } from '../../../api/listen.ts';
import { openOpsServer, type OpsServer, type OpsSource } from '../../../api/ops-server.ts';
import { silentLogger } from '../../support/silent-logger.ts';

const running: OpsSource = {
  isHealthy: () => true,
  readiness: () => ({ ready: true, state: 'RUNNING', missing: [] }),
  metrics: () => Promise.resolve('up 1\n'),
  contentType: 'text/plain; version=0.0.4; charset=utf-8',
};

const opened: OpsServer[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((server) => server.close()));
});

async function serve(source: Partial<OpsSource> = {}): Promise<string> {
  const server = await openOpsServer(
    { ...running, ...source },
    { host: '127.0.0.1', port: 0, logger: silentLogger },
  );
  opened.push(server);
  return `http://127.0.0.1:${server.port}`;
}

async function answerOf(url: string): Promise<{ status: number; type: string | null; body: string }> {
  const response = await fetch(url);
  return { status: response.status, type: response.headers.get('content-type'), body: await response.text() };
}

test('answers health, readiness and metrics of an instance that works', async () => {
  const address = await serve();

  expect(await answerOf(`${address}/healthz`)).toMatchObject({ status: 200, body: '{"status":"ok"}' });
  expect(await answerOf(`${address}/readyz`)).toMatchObject({
    status: 200,
    body: '{"status":"ready","state":"RUNNING"}',
  });
  expect(await answerOf(`${address}/metrics`)).toEqual({
    status: 200,
    type: 'text/plain; version=0.0.4; charset=utf-8',
    body: 'up 1\n',
  });
});

test('answers 503 with what is missing while it is not ready, and when it is ending', async () => {
  const address = await serve({
    isHealthy: () => false,
    readiness: () => ({ ready: false, state: 'REBALANCING', missing: ['topic replication-config'] }),
  });

  expect((await answerOf(`${address}/healthz`)).status).toBe(503);
  expect(await answerOf(`${address}/readyz`)).toMatchObject({
    status: 503,
    body: '{"status":"not_ready","state":"REBALANCING","missing":["topic replication-config"]}',
  });
});

test('gathers the metrics once for many scrapers, and again for the next', async () => {
  let gathered = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const address = await serve({
    async metrics() {
      gathered++;
      await promise;
      return `gathered ${gathered}\n`;
    },
  });

  const scrapes = [answerOf(`${address}/metrics`), answerOf(`${address}/metrics`)];
  // The health check's answer comes after both scrapes were taken up.
  await answerOf(`${address}/healthz`);
  resolve();
  await Promise.all(scrapes);
  const next = await answerOf(`${address}/metrics`);

  expect(next.body).toBe(`gathered ${gathered}\n`);
  expect(gathered).toBeLessThanOrEqual(3);
});

test('answers 500 without details when the metrics cannot be gathered', async () => {
  const address = await serve({ metrics: () => Promise.reject(new Error('secret detail')) });

  const answer = await answerOf(`${address}/metrics`);

  expect(answer.status).toBe(500);
  expect(answer.body).not.toContain('secret');
});

test('says which settings to change when the port is taken', async () => {
  const address = await serve();
  const port = Number(new URL(address).port);

  const second = openOpsServer(running, { host: '127.0.0.1', port, logger: silentLogger });

  await expect(second).rejects.toThrow(ListenError);
  await expect(second).rejects.toThrow(
    `listening on 127.0.0.1:${port}: the port is taken by another program; change HTTP_HOST and HTTP_PORT`,
  );
});

test('closes although a scraper holds its connection open', async () => {
  const address = await serve({ metrics: () => Promise.resolve('x'.repeat(10_000_000)) });
  const socket = connect(Number(new URL(address).port), '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
  socket.pause();
  await answerOf(`${address}/healthz`);

  await Promise.all(opened.splice(0).map((server) => server.close()));

  socket.destroy();
});
