import { afterEach, expect, jest, test } from '@jest/globals';
import type { DeploymentOptions } from '../../support/processor-process.ts';
import { ReplicatedUsers } from '../../support/replicated-users.ts';
import { waitFor } from '../../support/wait-for.ts';
import { Load } from '../load.ts';
import { stateOf } from '../observed.ts';
import { NOTHING_WRONG } from '../oracle.ts';
import { cpuSeconds, residentMegabytes } from '../process-usage.ts';
import { ReplicatedClouds } from '../replicated-clouds.ts';
import { lossOf, takeovers } from '../takeover.ts';
import { trigger, withMishap } from '../with-mishap.ts';

/* What happens to the process itself, slowly: RELIABILITY, section 6. */

jest.setTimeout(400_000);

const PARTITIONS = 4;
const WINDOW_RECORDS = 200;
const ANSWER_MS = 50;
const LEAD = 800;
/** A window is exact to what one fetch brings, and there is never more than twice the lead to fetch. */
const DUPLICATES_PER_KILL = PARTITIONS * WINDOW_RECORDS + 2 * LEAD;
const TAKEOVER_MS = 45_000;
const BLOCK_MS = 40_000;
/** Longer than a session. */
const SKEWED_MS = 30_000;
/** Three refusals over 30 s make an ERROR. */
const CONFIRMED_MS = 45_000;
const BACKLOG = 60_000;
const BACKLOG_BATCH = 5_000;

let stack = new AsyncDisposableStack();

afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

async function setUp(options: DeploymentOptions = {}): Promise<ReplicatedUsers> {
  const users = stack.use(
    await ReplicatedUsers.create({
      mutationTopics: [{ partitions: PARTITIONS }],
      ...options,
      environment: { DELIVERY_WINDOW_RECORDS: String(WINDOW_RECORDS), ...options.environment },
    }),
  );
  users.pubsub.faults.delayAll(ANSWER_MS);
  return users;
}

async function untilArrived(users: ReplicatedUsers, more: number, timeoutMs = 60_000): Promise<void> {
  const target = users.arrived + more;
  await waitFor(() => users.arrived >= target, { timeoutMs, message: `${more} more messages to arrive` });
}

test('row 46: the clock of an instance is an hour ahead, then an hour behind: it keeps its membership, spins on nothing and sends the records’ own times', async () => {
  const users = await setUp();
  const processor = await users.deployment.startReady(withMishap('clock'));
  const load = stack.use(new Load(users, LEAD));
  await untilArrived(users, LEAD);
  const rebalances = await processor.metric('rebalances_total');
  trigger(processor);
  await untilArrived(users, LEAD);
  await load.stop();
  await load.oracle.waitUntilDelivered();
  const cpuBefore = cpuSeconds(processor.pid);
  const since = performance.now();
  await waitFor(() => performance.now() - since > SKEWED_MS, { timeoutMs: 2 * SKEWED_MS });
  const share = (cpuSeconds(processor.pid) - cpuBefore) / (SKEWED_MS / 1_000);
  expect(share).toBeLessThan(0.2);
  expect(processor.log()).toContain('the mishap: clock');
  expect(await processor.metric('rebalances_total')).toBe(rebalances);
  expect((await processor.metric('restarts_total')) ?? 0).toBe(0);
  await users.send(100);
  await load.oracle.waitUntilDelivered();
  expect(await processor.stop()).toBe(0);
  const verdict = await load.oracle.verdict();
  process.stdout.write(`row 46: ${Math.round(share * 100)} % of a core when idle\n`);
  expect(verdict).toEqual({ ...NOTHING_WRONG, duplicates: 0 });
});

test('row 46: a clock that is an hour behind makes tokens that have expired: it is said so, no ERROR comes of it, others go on, and once the clock is right nothing is missing', async () => {
  const clouds = stack.use(await ReplicatedClouds.create({ topics: ['users'], hubs: ['events'] }));
  const { deployment, eventHubs } = clouds;
  const processor = await deployment.startReady(withMishap('clock'));
  await clouds.send(200);
  await processor.waitWhileRunning(() => clouds.hasAllArrived(), 'a first delivery', 60_000);
  trigger(processor);
  eventHubs.faults.refuseExpiredTokens();
  eventHubs.faults.dropConnections();
  await clouds.send(200);
  await processor.waitWhileRunning(
    () => processor.logged("this machine's clock is wrong").length > 0,
    'the wrong clock to be told',
    60_000,
  );
  expect(processor.logged("this machine's clock is wrong")[0]).toMatchObject({
    level: 'warn',
    replication_id: 'events',
    code: 'unauthenticated',
    remedy: expect.stringContaining('synchronize the clock'),
  });
  // A permanent fault would be confirmed three times by then.
  const since = performance.now();
  await processor.waitWhileRunning(
    () => performance.now() - since > CONFIRMED_MS,
    'a while',
    2 * CONFIRMED_MS,
  );
  expect(await stateOf(processor, 'events')).not.toBe('ERROR');
  expect(await clouds.hasAllArrived(['users'])).toBe(true);
  expect(await clouds.hasAllArrived(['events'])).toBe(false);
  expect(await processor.stop()).toBe(0);

  const next = await deployment.startReady();
  await clouds.waitUntilDelivered(next);
  expect(await next.stop()).toBe(0);
  expect(await clouds.violations()).toEqual({});
});

test('row 47: the event loop of an instance is blocked for 40 s: another one takes over, the metric shows it, no older value stays', async () => {
  const users = await setUp();
  const { deployment } = users;
  const blocked = await deployment.startReady(withMishap('block', BLOCK_MS));
  const other = await deployment.startReady();
  const owned = async (processor = blocked): Promise<number> => (await processor.ownedPartitions()).length;
  await waitFor(async () => (await owned()) > 0 && (await owned(other)) > 0, {
    timeoutMs: 30_000,
    message: 'each to own a part of the partitions',
  });
  const load = stack.use(new Load(users, LEAD));
  await untilArrived(users, LEAD);
  const loss = await lossOf(blocked);
  const since = performance.now();
  trigger(blocked);
  await other.waitWhileRunning(
    async () => (await owned(other)) === PARTITIONS,
    'the other one to own everything',
    2 * TAKEOVER_MS,
  );
  await waitFor(() => performance.now() - since > BLOCK_MS, { timeoutMs: 2 * BLOCK_MS });
  const text = await (await fetch(`${blocked.url}/metrics`)).text();
  const [, lag = '0'] = /^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(text) ?? [];
  await blocked.waitWhileRunning(
    async () => (await owned()) > 0 && (await owned()) + (await owned(other)) === PARTITIONS,
    'both to share the partitions again',
    2 * TAKEOVER_MS,
  );
  await untilArrived(users, LEAD);
  await load.stop();
  await load.oracle.waitUntilDelivered();
  expect(await Promise.all([blocked.stop(), other.stop()])).toEqual([0, 0]);
  const { duplicates, ...violations } = await load.oracle.verdict();
  const [takeover = Infinity] = await takeovers(users, [loss]);
  process.stdout.write(
    `row 47: taken over after ${takeover} ms, event loop lag ${lag} s, ${duplicates} duplicates\n`,
  );
  expect(violations).toEqual(NOTHING_WRONG);
  expect(takeover).toBeLessThan(TAKEOVER_MS);
  expect(Number(lag)).toBeGreaterThan(BLOCK_MS / 2_000);
  expect(duplicates).toBeLessThanOrEqual(DUPLICATES_PER_KILL);
});

test('row 48: a heap of 128 MB while the destination stands still and the log grows: memory stays bounded and everything arrives', async () => {
  const users = await setUp({
    environment: {
      NODE_OPTIONS: '--max-old-space-size=128',
      DELIVERY_WINDOW_RECORDS: '1000000',
      DELIVERY_WINDOW_MB: '8',
      DELIVERY_MEMORY_MB: '16',
    },
  });
  const { pubsub, deployment } = users;
  const processor = await deployment.startReady();
  await users.send(1);
  await untilArrived(users, 1);
  pubsub.faults.hangNext(1_000_000);
  let highest = 0;
  const stuck = new Set<number>();
  while (users.sent < BACKLOG) {
    await users.send(BACKLOG_BATCH);
    highest = Math.max(highest, residentMegabytes(processor.pid));
  }
  const since = performance.now();
  await processor.waitWhileRunning(
    async () => {
      highest = Math.max(highest, residentMegabytes(processor.pid));
      stuck.add((await processor.metric('in_flight_bytes')) ?? 0);
      return performance.now() - since > 20_000;
    },
    'the time of the standstill',
    60_000,
  );
  expect(users.arrived).toBe(1);
  // What was fetched by the time that the memory was full is still taken up.
  expect(Math.max(...stuck)).toBeLessThan(32 * 1024 * 1024);
  expect(Math.max(...stuck)).toBeGreaterThan(8 * 1024 * 1024);
  expect((await processor.readiness()).status).toBe(200);
  pubsub.faults.clear();
  await processor.waitWhileRunning(() => users.hasAllArrived, 'everything to arrive', 120_000);
  await deployment.waitUntilDelivered();
  expect(await processor.stop()).toBe(0);
  const { duplicates, ...violations } = users.compare();
  process.stdout.write(`row 48: RSS ${Math.round(highest)} MB at most, ${duplicates} duplicates\n`);
  expect(violations).toEqual({ lost: [], unknown: [], outOfOrder: [] });
  expect(highest).toBeLessThan(500);
});

test('row 48: an instance runs out of memory: as when it is killed, the next one loses nothing', async () => {
  const users = await setUp();
  const { deployment } = users;
  const leaking = await deployment.startReady({
    ...withMishap('leak'),
    NODE_OPTIONS: `${withMishap('leak').NODE_OPTIONS} --max-old-space-size=128`,
  });
  const load = stack.use(new Load(users, LEAD));
  await untilArrived(users, LEAD);
  trigger(leaking);
  const { code, signal } = await leaking.exited;
  expect({ code, signal }).toEqual({ code: null, signal: 'SIGABRT' });
  const next = await deployment.start();
  await untilArrived(users, LEAD, 2 * TAKEOVER_MS);
  await load.stop();
  await load.oracle.waitUntilDelivered();
  expect(await next.stop()).toBe(0);
  const { duplicates, ...violations } = await load.oracle.verdict();
  expect(violations).toEqual(NOTHING_WRONG);
  expect(duplicates).toBeLessThanOrEqual(DUPLICATES_PER_KILL);
});
