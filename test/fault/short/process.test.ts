import { expect, jest, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brokersUnderTest, produce } from '../../support/kafka.ts';
import { Deployment } from '../../support/processor-process.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { waitFor } from '../../support/wait-for.ts';
import { range, send, untilWitnessed, WITNESS, witnessed } from '../witness.ts';

/* What happens to the process itself: RELIABILITY, section 6. The longer ones are in ../long/process.test.ts. */

jest.setTimeout(120_000);

const CLEAN_MS = 15_000;
const AT_ONCE_MS = 5_000;
const REFUSED_RECORDS = 30_000;

test.each([
  ['SIGINT', ['SIGINT']],
  ['SIGTERM, twice,', ['SIGTERM', 'SIGTERM']],
] as const)(
  'row 4: %s while a frozen broker holds up the start: it ends at once, and nothing is committed',
  async (_what, signals) => {
    const targetPort = Number(brokersUnderTest()[0]?.split(':')[1]);
    await using proxy = await TcpProxy.start({ targetPort });
    await using deployment = await Deployment.create({ environment: { KAFKA_BROKERS: proxy.address } });
    proxy.hang();
    const processor = await deployment.start();
    await processor.waitWhileRunning(
      async () => proxy.open > 0 && (await processor.readiness()).status === 503,
      'the process to wait for the broker',
    );
    const since = performance.now();
    for (const signal of signals) if (processor.isRunning) process.kill(processor.pid, signal);
    const { code, signal } = await processor.exited;
    expect(signal).toBeNull();
    // The second signal forces the end, if the first one hasn't brought it yet.
    expect(code).toBeLessThan(signals.length);
    expect(performance.now() - since).toBeLessThan(AT_ONCE_MS);
    // A broker that has just started has no coordinator yet.
    const progress = await waitFor(() => deployment.progress(), { message: 'the group' });
    expect(progress.map(({ committed }) => committed)).toEqual([null]);
  },
);

test('row 49: the disk of the log is full: the processor goes on without it', async () => {
  await using deployment = await Deployment.create();
  await deployment.configure(WITNESS);
  const processor = await deployment.start({}, '/dev/full');
  await processor.waitUntilReady();
  await send(deployment, range(1, 10));
  await untilWitnessed(deployment, processor, range(1, 10));
  await deployment.waitUntilCommitted();
  expect(await processor.metric('logs_dropped_total')).toBeGreaterThan(0);
  expect(await processor.stop()).toBe(0);
});

test('row 49: nobody reads the log: the processor goes on, drops lines and counts them, and ends in time', async () => {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'datamart-replication-unread-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const unread = join(directory, 'unread');
  await promisify(execFile)('mkfifo', [unread]);
  // Opened for reading too, or the process would have no reader at all.
  stack.use(await open(unread, 'r+'));
  const deployment = stack.use(await Deployment.create());
  await deployment.configure(WITNESS);
  const processor = await deployment.start({ LOG_LEVEL: 'debug' }, unread);
  await processor.waitUntilReady();
  await produce(
    deployment.topics.replicationConfig,
    range(1, REFUSED_RECORDS).map((id) => ({ key: String(id), value: 'no config' })),
  );
  await processor.waitWhileRunning(
    async () => ((await processor.metric('logs_dropped_total')) ?? 0) > 0,
    'lines to be dropped',
    60_000,
  );
  await send(deployment, range(1, 10));
  await untilWitnessed(deployment, processor, range(1, 10));
  await deployment.waitUntilCommitted();
  expect(await witnessed(deployment)).toEqual(range(1, 10));
  const since = performance.now();
  expect(await processor.stop()).toBe(0);
  expect(performance.now() - since).toBeLessThan(CLEAN_MS);
});
