import { afterAll, afterEach, beforeAll, expect, jest, test } from '@jest/globals';
import { lossOf, takeovers } from '../fault/takeover.ts';
import type { DeploymentOptions, ProcessorProcess } from '../support/processor-process.ts';
import { ReplicatedUsers } from '../support/replicated-users.ts';

const BATCH = 200;
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

/** Kills an instance in the middle of its work, and measures until something out of its partitions is delivered. */
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
  const loss = await lossOf(killed);
  killed.kill();
  await killed.exited;
  await users.send(5 * BATCH);
  const heir = other ?? (await deployment.start());
  await heir.waitWhileRunning(
    async () => (await heir.ownedPartitions()).length === PARTITIONS,
    'all partitions to be taken over',
    TAKEOVER_MS + 20_000,
  );
  await heir.waitWhileRunning(() => users.hasAllArrived, 'all operations to arrive', 30_000);
  await deployment.waitUntilCommitted();
  expect(await heir.stop()).toBe(0);
  const [milliseconds = Infinity] = await takeovers(users, [loss]);
  process.stdout.write(`a kill, taken over ${how}: the first delivery after ${milliseconds} ms\n`);
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
