import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { createTopic, kafkaClient } from '../../support/kafka.ts';
import { Deployment, type ProcessorProcess } from '../../support/processor-process.ts';
import { send, untilWitnessed, WITNESS } from '../witness.ts';

/* A processor that can't start as things are: RELIABILITY, section 6. */

jest.setTimeout(120_000);

let unfinished: Deployment;
let waiting: ProcessorProcess;

// It looks for its topics every 30 s: while it does, other tests run.
beforeAll(async () => {
  unfinished = await Deployment.create({ hasTopics: false });
  waiting = await unfinished.start();
});

afterAll(async () => {
  await unfinished?.[Symbol.asyncDispose]();
});

test('row 43: without its topics a processor is not ready, names them and the command that makes them, and stops cleanly', async () => {
  const { mutations, snapshots, deadLettersRetentionHours, ...others } = unfinished.topics;
  expect(deadLettersRetentionHours).toBeGreaterThan(0);
  const names = [...mutations, ...snapshots, ...Object.values(others)];
  await waiting.waitWhileRunning(
    async () => (await waiting.readiness()).missing.some((what) => what.startsWith('topic:')),
    'the missing topics to be reported',
  );
  const { status, missing } = await waiting.readiness();
  expect(status).toBe(503);
  expect([...missing].sort()).toEqual(names.map((name) => `topic:${name}`).sort());
  expect(await waiting.health()).toBe(200);
  expect(waiting.log()).toContain('`datamart-replication topics create`');
  for (const name of names) expect(waiting.log()).toContain(name);

  const stopped = await unfinished.start();
  await stopped.waitWhileRunning(async () => (await stopped.health()) === 200, 'the process to listen');
  const stopping = Date.now();
  expect(await stopped.stop()).toBe(0);
  expect(Date.now() - stopping).toBeLessThan(5_000);
});

test('row 55: a taken port ends the start with exit code 1, and it says what to change', async () => {
  await using stack = new AsyncDisposableStack();
  const server = createServer().listen(0, '127.0.0.1');
  stack.defer(() => void server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const deployment = stack.use(await Deployment.create({ hasTopics: false }));
  const process = await deployment.start({ HTTP_PORT: String(port) });
  expect(await process.exited).toEqual({ code: 1, signal: null });
  expect(process.log()).toContain(
    `listening on 127.0.0.1:${port}: the port is taken by another program; change HTTP_HOST and HTTP_PORT\n`,
  );
});

test('a compacted mutation topic ends the start with exit code 1, the setting and the remedy', async () => {
  await using deployment = await Deployment.create({ hasTopics: false });
  await createTopic(deployment.mutations, { config: { 'cleanup.policy': 'compact' } });
  const process = await deployment.start();
  expect(await process.exited).toEqual({ code: 1, signal: null });
  expect(process.log()).toContain(`topic ${deployment.mutations}: cleanup.policy is compact; `);
  expect(process.log()).toMatch(/kafka-configs\.sh --alter .*cleanup\.policy=delete/);
});

test('row 43: a processor without topics consumes nothing, and starts by itself once they are there, with what was produced before', async () => {
  const admin = kafkaClient().admin();
  await admin.connect();
  try {
    const { groups } = await admin.describeGroups([unfinished.groupId]);
    expect(groups[0]?.members).toEqual([]);
  } finally {
    await admin.disconnect();
  }
  await unfinished.createTopics();
  await unfinished.configure(WITNESS);
  await send(unfinished, [41]);
  await waiting.waitUntilReady();
  await untilWitnessed(unfinished, waiting, [41]);
  expect(await waiting.stop()).toBe(0);
});
