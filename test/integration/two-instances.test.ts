import { afterAll, afterEach, beforeAll, expect, jest, test } from '@jest/globals';
import type { DeploymentOptions, ProcessorProcess } from '../support/processor-process.ts';
import { ReplicatedUsers } from '../support/replicated-users.ts';
import { waitFor } from '../support/wait-for.ts';

const BATCH = 200;
const BATCHES_PER_PHASE = 10;
const STOP_MS = 15_000;
const HAND_OVER_MS = 10_000;
/** RELIABILITY, section 6: the session of a dead member lasts 24 s, then the group is dealt out anew. */
const TAKEOVER_MS = 45_000;
const PARTITIONS = 8;
/** Records of a partition that may be sent again. */
const WINDOW_RECORDS = 200;
const WINDOW = { environment: { DELIVERY_WINDOW_RECORDS: String(WINDOW_RECORDS) } };
/** Each answer of the fake takes so long, so that requests are in flight at every moment. */
const ANSWER_MS = 50;

jest.setTimeout(120_000);

const disposables: AsyncDisposable[] = [];

afterEach(async () => {
  for (const disposable of disposables.splice(0).reverse()) await disposable[Symbol.asyncDispose]();
});

async function setUp(options: DeploymentOptions): Promise<ReplicatedUsers> {
  const users = await ReplicatedUsers.create(options);
  disposables.push(users);
  return users;
}

/** What became of a kill, told when everything had arrived. */
interface Takeover {
  readonly users: ReplicatedUsers;
  readonly milliseconds: number;
}

let survived: Promise<Takeover>;
let restarted: Promise<Takeover>;

// Both wait for the end of a session: other tests run while they do.
beforeAll(() => {
  survived = takeOver('by the other instance');
  restarted = takeOver('by the restarted instance');
  for (const takeover of [survived, restarted]) takeover.catch(() => undefined);
});

afterAll(async () => {
  for (const takeover of await Promise.allSettled([survived, restarted]))
    if (takeover.status === 'fulfilled') await takeover.value.users[Symbol.asyncDispose]();
});

/** Kills an instance in the middle of its work, and measures until all partitions have a living owner. */
async function takeOver(how: 'by the other instance' | 'by the restarted instance'): Promise<Takeover> {
  await using stack = new AsyncDisposableStack();
  const users = stack.use(
    await ReplicatedUsers.create({ mutationTopics: [{ partitions: PARTITIONS }], ...WINDOW }),
  );
  const { deployment, pubsub } = users;
  pubsub.faults.delayAll(ANSWER_MS);
  const killed = await deployment.startReady();
  const other = how === 'by the other instance' ? await deployment.startReady() : null;
  if (other) await untilShared(killed, other, PARTITIONS);
  await killed.waitWhileRunning(async () => {
    await users.keepLead(5 * BATCH);
    return users.arrived > 10 * BATCH;
  }, 'work to be under way');
  killed.kill();
  const since = Date.now();
  await killed.exited;
  await users.send(5 * BATCH);
  const heir = other ?? (await deployment.start());
  await heir.waitWhileRunning(
    async () => (await heir.ownedPartitions()).length === PARTITIONS,
    'all partitions to be taken over',
    TAKEOVER_MS + 20_000,
  );
  const milliseconds = Date.now() - since;
  await heir.waitWhileRunning(() => users.hasAllArrived, 'all operations to arrive', 30_000);
  await deployment.waitUntilCommitted();
  expect(await heir.stop()).toBe(0);
  stack.move();
  return { users, milliseconds };
}

async function untilShared(
  one: ProcessorProcess,
  other: ProcessorProcess,
  partitions: number,
): Promise<void> {
  await one.waitWhileRunning(async () => {
    const owned = [await one.ownedPartitions(), await other.ownedPartitions()];
    const all = owned.flat();
    return (
      owned.every(({ length }) => length > 0) && all.length === partitions && new Set(all).size === partitions
    );
  }, 'each instance to own a part of the partitions');
}

test('two instances share the partitions, and stopping one under load hands its part over within seconds, with nothing lost or sent twice', async () => {
  const partitions = PARTITIONS;
  const users = await setUp({ mutationTopics: [{ partitions }] });
  const { deployment } = users;
  const staying = await deployment.startReady();
  const leaving = await deployment.startReady();
  await untilShared(staying, leaving, partitions);
  expect(await staying.samples('consumer_lag_records')).toHaveLength(partitions / 2);

  for (let batch = 0; batch < BATCHES_PER_PHASE; batch++) await users.send(BATCH);
  const stopping = Date.now();
  const stopped = leaving.stop();
  for (let batch = 0; batch < BATCHES_PER_PHASE; batch++) await users.send(BATCH);
  expect(await stopped).toBe(0);
  expect(Date.now() - stopping).toBeLessThan(STOP_MS);

  await staying.waitWhileRunning(
    async () => (await staying.ownedPartitions()).length === partitions,
    'the staying instance to own all partitions',
    HAND_OVER_MS,
  );
  await users.send(BATCH);
  await staying.waitWhileRunning(() => users.hasAllArrived, 'all operations to arrive');
  await deployment.waitUntilCommitted();
  expect((await staying.readiness()).status).toBe(200);
  expect(await staying.stop()).toBe(0);

  expect(users.compare()).toEqual({
    lost: [],
    unknown: [],
    outOfOrder: [],
    duplicates: 0,
  });
});

test('an instance without a partition is healthy and ready, and takes over when the other one leaves', async () => {
  const users = await setUp({ mutationTopics: [{ partitions: 1 }] });
  const { deployment } = users;
  const instances = [await deployment.startReady(), await deployment.startReady()];
  const owners = async () =>
    Promise.all(instances.map(async (instance) => (await instance.ownedPartitions()).length));
  await waitFor(async () => (await owners()).sort().join() === '0,1', { message: 'one of two to be idle' });
  const counts = await owners();
  const owner = instances[counts.indexOf(1)];
  const idle = instances[counts.indexOf(0)];
  if (!owner || !idle) throw new Error('nobody is idle');
  expect(await idle.readiness()).toMatchObject({ status: 200, state: 'RUNNING' });
  expect(await idle.health()).toBe(200);

  await users.send(BATCH);
  await waitFor(() => users.arrived === BATCH, { message: 'the first operations' });
  expect(await owner.stop()).toBe(0);
  await users.send(BATCH);
  await idle.waitWhileRunning(() => users.arrived >= 2 * BATCH, 'the idle one to take over', HAND_OVER_MS);
  expect(await idle.stop()).toBe(0);
  expect(users.compare()).toMatchObject({ lost: [], duplicates: 0 });
});

test('a second instance joins under load: both work then, nothing is lost, the order is kept, little is sent twice', async () => {
  const users = await setUp({ mutationTopics: [{ partitions: PARTITIONS }], ...WINDOW });
  const { deployment, pubsub } = users;
  pubsub.faults.delayAll(ANSWER_MS);
  const first = await deployment.startReady();
  const underLoad = async (condition: () => boolean | Promise<boolean>, message: string): Promise<void> => {
    await first.waitWhileRunning(
      async () => {
        await users.keepLead(4 * BATCH);
        return condition();
      },
      message,
      40_000,
    );
  };
  await underLoad(() => users.arrived > 10 * BATCH, 'work to be under way');
  const second = await deployment.start();
  const owned = async (): Promise<readonly string[]> =>
    (await Promise.all([first.ownedPartitions(), second.ownedPartitions()])).flat();
  await underLoad(async () => (await second.ownedPartitions()).length > 0, 'the second to own partitions');
  await untilShared(first, second, PARTITIONS);
  const delivered = () => second.metric('operations_total', { result: 'delivered' });
  await underLoad(async () => ((await delivered()) ?? 0) > 5 * BATCH, 'the second to deliver');
  expect(new Set(await owned()).size).toBe(PARTITIONS);

  await first.waitWhileRunning(() => users.hasAllArrived, 'all operations to arrive');
  await deployment.waitUntilCommitted();
  const moved = (await second.ownedPartitions()).length;
  expect(await Promise.all([first.stop(), second.stop()])).toEqual([0, 0]);
  const { duplicates, ...violations } = users.compare();
  expect(violations).toEqual({ lost: [], unknown: [], outOfOrder: [] });
  expect(duplicates).toBeLessThanOrEqual(moved * WINDOW_RECORDS);
});

test.each([
  ['another instance', () => survived, PARTITIONS / 2],
  ['the same one, started again,', () => restarted, PARTITIONS],
] as const)(
  'after a kill %s takes over within 45 s, without anybody’s help, and nothing is lost',
  async (_heir, takeover, orphaned) => {
    const { users, milliseconds } = await takeover();
    expect(milliseconds).toBeLessThan(TAKEOVER_MS);
    const { duplicates, ...violations } = users.compare();
    expect(violations).toEqual({ lost: [], unknown: [], outOfOrder: [] });
    expect(duplicates).toBeLessThanOrEqual(orphaned * WINDOW_RECORDS);
  },
);
