import { afterEach, expect, jest, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { kafkaClient } from '../../support/kafka.ts';
import type { ProcessorProcess } from '../../support/processor-process.ts';
import { ReplicatedUsers } from '../../support/replicated-users.ts';
import { waitFor } from '../../support/wait-for.ts';
import { Load } from '../load.ts';
import { NOTHING_WRONG } from '../oracle.ts';
import { lossOf, takeovers, type Loss } from '../takeover.ts';

/* Instances die, freeze, come and go: RELIABILITY, section 6. Single kills are in ../../integration/two-instances.test.ts. */

jest.setTimeout(500_000);

const PARTITIONS = 4;
const WINDOW_RECORDS = 200;
const ANSWER_MS = 50;
const LEAD = 800;
/** A window is exact to what one fetch brings, and there is never more than twice the lead to fetch. */
const DUPLICATES_PER_KILL = PARTITIONS * WINDOW_RECORDS + 2 * LEAD;
const KILLS = 5;
const KILL_EVERY_MS = 20_000;
const TAKEOVER_MS = 45_000;
/** Members that died while they joined may be found out one after another, each by the end of its session. */
const CONVERGENCE_MS = 200_000;
const FROZEN_MS = 60_000;
const STORM_MS = 120_000;
const MEMBER_MS = 3_000;
/** A commit is looked for in each of these. */
const PROGRESS_MS = 10_000;

let stack = new AsyncDisposableStack();

afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

async function setUp(): Promise<ReplicatedUsers> {
  const users = stack.use(
    await ReplicatedUsers.create({
      mutationTopics: [{ partitions: PARTITIONS }],
      environment: { DELIVERY_WINDOW_RECORDS: String(WINDOW_RECORDS) },
    }),
  );
  users.pubsub.faults.delayAll(ANSWER_MS);
  return users;
}

function startLoad(users: ReplicatedUsers): Load {
  return stack.use(new Load(users, LEAD));
}

/** Waits until so many more messages have arrived; resolves with the milliseconds that took. */
async function untilArrived(users: ReplicatedUsers, more: number, timeoutMs = 60_000): Promise<number> {
  const since = performance.now();
  const target = users.arrived + more;
  await waitFor(() => users.arrived >= target, { timeoutMs, message: `${more} more messages to arrive` });
  return Math.round(performance.now() - since);
}

async function ownedBy(processor: ProcessorProcess): Promise<number> {
  return (await processor.ownedPartitions()).length;
}

test('row 1: an instance is killed every 20 s, five times, under load: nothing is lost, little is sent twice, another one takes over within 45 s', async () => {
  const users = await setUp();
  const { deployment } = users;
  const survivor = await deployment.startReady();
  let victim = await deployment.startReady();
  const load = startLoad(users);
  await untilArrived(users, LEAD);
  const losses: Loss[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    await waitFor(async () => (await ownedBy(victim)) > 0, {
      timeoutMs: 2 * TAKEOVER_MS,
      message: () => `the instance to own a partition; ${victim.describe()}`,
    });
    await waitFor(() => Date.now() - (losses.at(-1)?.atMs ?? 0) > KILL_EVERY_MS, {
      timeoutMs: 2 * KILL_EVERY_MS,
    });
    losses.push(await lossOf(victim));
    victim.kill();
    await victim.exited;
    if (kill < KILLS - 1) victim = await deployment.start();
  }
  await survivor.waitWhileRunning(
    async () => (await ownedBy(survivor)) === PARTITIONS,
    'the survivor to own everything',
    2 * TAKEOVER_MS,
  );
  await untilArrived(users, LEAD);
  await load.stop();
  await load.oracle.waitUntilDelivered();
  expect(await survivor.stop()).toBe(0);
  const { duplicates, ...violations } = await load.oracle.verdict();
  const taken = await takeovers(users, losses);
  process.stdout.write(
    `row 1: taken over after ${taken.join(', ')} ms, ${duplicates} duplicates of ${users.sent}\n`,
  );
  expect(violations).toEqual(NOTHING_WRONG);
  for (const [index, milliseconds] of taken.entries())
    expect(milliseconds).toBeLessThan(allowedTakeover(losses, index, milliseconds));
  expect(duplicates).toBeLessThanOrEqual(KILLS * DUPLICATES_PER_KILL);
});

/** The next kill may come before what the one before orphaned is delivered again: then the time counts from there. */
function allowedTakeover(losses: readonly Loss[], index: number, milliseconds: number): number {
  const { atMs } = losses[index]!;
  const later = losses.slice(index + 1).filter((loss) => loss.atMs < atMs + milliseconds);
  return (later.at(-1)?.atMs ?? atMs) - atMs + TAKEOVER_MS;
}

test('row 39: killed again 2 s after each restart, three times: it converges, and nothing is lost', async () => {
  const users = await setUp();
  const { deployment } = users;
  let processor = await deployment.startReady();
  const load = startLoad(users);
  await untilArrived(users, LEAD);
  await load.pause();
  processor.kill();
  await processor.exited;
  const since = performance.now();
  for (let kill = 0; kill < 3; kill++) {
    processor = await deployment.start();
    await waitFor(async () => (await processor.health()) === 200, {
      timeoutMs: 30_000,
      message: () => `the process to work; ${processor.describe()}`,
    });
    await sleep(2_000);
    processor.kill();
    await processor.exited;
  }
  load.resume();
  processor = await deployment.start();
  const target = users.arrived + LEAD;
  await processor.waitWhileRunning(() => users.arrived >= target, 'deliveries to go on', CONVERGENCE_MS);
  const recovery = Math.round(performance.now() - since);
  await load.stop();
  await load.oracle.waitUntilDelivered();
  expect(await processor.stop()).toBe(0);
  const { duplicates, ...violations } = await load.oracle.verdict();
  process.stdout.write(`row 39: at work again after ${recovery} ms, ${duplicates} duplicates\n`);
  expect(violations).toEqual(NOTHING_WRONG);
  expect(duplicates).toBeLessThanOrEqual(4 * DUPLICATES_PER_KILL);
});

test('row 2: an instance is frozen for 60 s and comes back: another one has taken over, its commits are refused, and no older value stays', async () => {
  const users = await setUp();
  const { deployment } = users;
  const frozen = await deployment.startReady();
  const other = await deployment.startReady();
  await waitFor(async () => (await ownedBy(frozen)) > 0 && (await ownedBy(other)) > 0, {
    timeoutMs: 30_000,
    message: 'each to own a part of the partitions',
  });
  const load = startLoad(users);
  await untilArrived(users, LEAD);
  const loss = await lossOf(frozen);
  process.kill(frozen.pid, 'SIGSTOP');
  const since = performance.now();
  try {
    await other.waitWhileRunning(
      async () => (await ownedBy(other)) === PARTITIONS,
      'the other one to own everything',
      2 * TAKEOVER_MS,
    );
    await waitFor(() => performance.now() - since > FROZEN_MS, { timeoutMs: 2 * FROZEN_MS });
  } finally {
    process.kill(frozen.pid, 'SIGCONT');
  }
  const commitsBefore = await deployment.progress();
  await frozen.waitWhileRunning(
    async () =>
      (await ownedBy(frozen)) > 0 && (await ownedBy(frozen)) + (await ownedBy(other)) === PARTITIONS,
    'both to share the partitions again',
    2 * TAKEOVER_MS,
  );
  const commitsAfter = await deployment.progress();
  for (const [index, { committed }] of commitsAfter.entries())
    expect(committed).toBeGreaterThanOrEqual(commitsBefore[index]?.committed ?? 0);
  await untilArrived(users, LEAD);
  await load.stop();
  await load.oracle.waitUntilDelivered();
  expect(await Promise.all([frozen.stop(), other.stop()])).toEqual([0, 0]);
  const { duplicates, ...violations } = await load.oracle.verdict();
  const [takeover = Infinity] = await takeovers(users, [loss]);
  process.stdout.write(`row 2: taken over after ${takeover} ms, ${duplicates} duplicates\n`);
  expect(violations).toEqual(NOTHING_WRONG);
  expect(takeover).toBeLessThan(TAKEOVER_MS);
  expect(duplicates).toBeLessThanOrEqual(DUPLICATES_PER_KILL);
});

test('row 12: a third member joins and leaves every 3 s for 2 min: commits go on, nothing is lost', async () => {
  const users = await setUp();
  const { deployment } = users;
  const instances = [await deployment.startReady(), await deployment.startReady()];
  const load = startLoad(users);
  await untilArrived(users, LEAD);
  const rebalancesBefore = (await instances[0]?.metric('rebalances_total')) ?? 0;
  const storm = stormOfMembers(deployment.groupId, deployment.mutations, STORM_MS);
  storm.catch(() => undefined);
  const committed: number[] = [];
  const until = performance.now() + STORM_MS;
  while (performance.now() < until) {
    const progress = await deployment.progress();
    committed.push(progress.reduce((sum, at) => sum + (at.committed ?? 0), 0));
    await sleep(PROGRESS_MS);
    for (const instance of instances) if (!instance.isRunning) throw new Error(instance.describe());
  }
  const joins = await storm;
  const rebalances = ((await instances[0]?.metric('rebalances_total')) ?? 0) - rebalancesBefore;
  const steps = committed.slice(1).map((sum, index) => sum - (committed[index] ?? 0));
  await untilArrived(users, LEAD);
  await load.stop();
  await load.oracle.waitUntilDelivered();
  expect(await Promise.all(instances.map((instance) => instance.stop()))).toEqual([0, 0]);
  const { duplicates, ...violations } = await load.oracle.verdict();
  process.stdout.write(
    `row 12: ${joins} joins, ${rebalances} rebalances, committed each 10 s ${steps.join(', ')}, ${duplicates} duplicates\n`,
  );
  expect(violations).toEqual(NOTHING_WRONG);
  expect(rebalances).toBeGreaterThan(5);
  expect(Math.min(...steps)).toBeGreaterThan(0);
  expect(duplicates).toBeLessThanOrEqual(joins * DUPLICATES_PER_KILL);
});

/** Lets a member that delivers and commits nothing join and leave the group; resolves with how often it joined. */
async function stormOfMembers(groupId: string, topic: string, durationMs: number): Promise<number> {
  const until = performance.now() + durationMs;
  let joins = 0;
  while (performance.now() < until) {
    const consumer = kafkaClient().consumer({ groupId, sessionTimeout: 24_000, heartbeatInterval: 1_000 });
    consumer.on(consumer.events.GROUP_JOIN, () => (joins += 1));
    await consumer.connect();
    await consumer.subscribe({ topic });
    await consumer.run({ autoCommit: false, eachBatch: () => Promise.resolve() });
    await sleep(MEMBER_MS);
    await consumer.disconnect();
    await sleep(MEMBER_MS);
  }
  return joins;
}
