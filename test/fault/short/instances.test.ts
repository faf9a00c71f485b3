import { expect, jest, test } from '@jest/globals';
import { ReplicatedUsers } from '../../support/replicated-users.ts';
import { waitFor } from '../../support/wait-for.ts';

/* Instances that leave, and more of them than partitions: RELIABILITY, section 6. The longer ones are in ../long/instances.test.ts. */

jest.setTimeout(180_000);

const BATCH = 200;
const BATCHES_PER_PHASE = 10;
const STOP_MS = 15_000;
const HAND_OVER_MS = 10_000;

test('row 3: an instance is stopped under load: it ends within seconds, the other one has its partitions at once, nothing is lost or sent twice', async () => {
  const partitions = 8;
  await using users = await ReplicatedUsers.create({ mutationTopics: [{ partitions }] });
  const { deployment } = users;
  const staying = await deployment.startReady();
  const leaving = await deployment.startReady();
  await staying.waitWhileRunning(async () => {
    const owned = [...(await staying.ownedPartitions()), ...(await leaving.ownedPartitions())];
    const each = (await staying.ownedPartitions()).length;
    return owned.length === partitions && new Set(owned).size === partitions && each === partitions / 2;
  }, 'each instance to own a half of the partitions');
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
  expect(users.compare()).toEqual({ lost: [], unknown: [], outOfOrder: [], duplicates: 0 });
});

test('row 13: of five instances for four partitions the idle one is healthy and ready, logs no error, and takes over when another one leaves', async () => {
  await using users = await ReplicatedUsers.create({ mutationTopics: [{ partitions: 4 }] });
  const { deployment } = users;
  const instances = await Promise.all(Array.from({ length: 5 }, () => deployment.start()));
  await Promise.all(instances.map((instance) => instance.waitUntilReady(90_000)));
  const counts = async (): Promise<readonly number[]> =>
    Promise.all(instances.map(async (instance) => (await instance.ownedPartitions()).length));
  await waitFor(async () => [...(await counts())].sort().join() === '0,1,1,1,1', {
    timeoutMs: 30_000,
    message: 'one of five to be idle',
  });
  const owned = await counts();
  const owner = instances[owned.indexOf(1)];
  const idle = instances[owned.indexOf(0)];
  if (!owner || !idle) throw new Error('nobody is idle');
  expect(await idle.readiness()).toMatchObject({ status: 200, state: 'RUNNING' });
  expect(await idle.health()).toBe(200);

  await users.send(BATCH);
  await waitFor(() => users.arrived === BATCH, { message: 'the first operations' });
  expect(await owner.stop()).toBe(0);
  await users.send(BATCH);
  await idle.waitWhileRunning(
    async () => users.arrived >= 2 * BATCH && (await idle.ownedPartitions()).length === 1,
    'the idle one to take over',
    2 * HAND_OVER_MS,
  );
  await deployment.waitUntilCommitted();
  const others = instances.filter((instance) => instance !== owner);
  expect(await Promise.all(others.map((instance) => instance.stop()))).toEqual([0, 0, 0, 0]);
  for (const instance of instances) {
    expect(instance.log()).not.toContain('TypeError');
    expect(instance.log()).not.toContain('"level":"error"');
  }
  expect(users.compare()).toEqual({ lost: [], unknown: [], outOfOrder: [], duplicates: 0 });
});
