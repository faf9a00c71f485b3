import { expect, jest, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { stateOf, tell } from '../observed.ts';
import { ReplicatedClouds, topicName } from '../replicated-clouds.ts';

/* A control topic that changes its mind: row 40 of RELIABILITY section 6. */

jest.setTimeout(300_000);

const CHANGES_PER_SECOND = 20;
const FLAPPING_MS = 60_000;
/** A client outlives as many changes at least. */
const CHANGES_PER_CLIENT = 20;
const PARTITIONS = 4;
/** What was in flight at a pause is sent again afterwards; at this traffic a request holds less on average. */
const REQUEST_RECORDS = 20;
const FLAPPING = ['users', 'events'];

test('row 40: of twenty changes a second between ACTIVE and PAUSED the last wins on all instances, and nothing is lost', async () => {
  await using clouds = await ReplicatedClouds.create({
    mutationTopics: [{ partitions: PARTITIONS }],
    topics: ['users'],
    hubs: ['events'],
    files: ['witness'],
  });
  const { deployment, pubsub, eventHubs } = clouds;
  const instances = [await deployment.startReady(), await deployment.startReady()];
  const [first] = instances;
  if (!first) throw new Error('no instance was started');
  await first.waitWhileRunning(
    async () =>
      (await Promise.all(instances.map(async (each) => (await each.ownedPartitions()).length))).join() ===
      '2,2',
    'both instances to own partitions',
    60_000,
  );
  const activations = async (): Promise<number> => {
    const counts = await Promise.all(instances.map((each) => each.metric('activations_total')));
    return counts.reduce<number>((sum, count) => sum + (count ?? 0), 0);
  };
  const areAll = (state: string) => async (): Promise<boolean> => {
    for (const each of instances)
      for (const id of FLAPPING) if ((await stateOf(each, id)) !== state) return false;
    return true;
  };
  await using traffic = clouds.startTraffic(20, 100);
  const flapUntil = async (last: 'ACTIVE' | 'PAUSED', milliseconds: number): Promise<number> => {
    const since = Date.now();
    let changes = 0;
    for (let status = 'PAUSED'; Date.now() - since < milliseconds;) {
      const due = sleep(1_000 / CHANGES_PER_SECOND);
      for (const id of FLAPPING) await clouds.configure(id, { status, resume: 'WHERE_STOPPED' });
      changes += 1;
      status = status === 'PAUSED' ? 'ACTIVE' : 'PAUSED';
      await due;
    }
    for (const id of FLAPPING) await clouds.configure(id, { status: last, resume: 'WHERE_STOPPED' });
    return changes;
  };

  const before = await activations();
  const connectionsBefore = eventHubs.connectionsMade();
  const changes = await flapUntil('PAUSED', FLAPPING_MS / 2);
  await first.waitWhileRunning(areAll('PAUSED'), 'both to be paused everywhere');
  const published = pubsub.publishCount(topicName('users')) + eventHubs.sendCount();
  const { sent } = clouds;
  await first.waitWhileRunning(() => clouds.sent > sent + 500, 'more mutations', 30_000);
  expect(pubsub.publishCount(topicName('users')) + eventHubs.sendCount()).toBe(published);
  expect(await areAll('PAUSED')()).toBe(true);

  const moreChanges = await flapUntil('ACTIVE', FLAPPING_MS / 2);
  await first.waitWhileRunning(areAll('ACTIVE'), 'both to be active everywhere', 60_000);
  const opened = (await activations()) - before;
  const connections = eventHubs.connectionsMade() - connectionsBefore;
  await traffic.stop();
  await clouds.waitUntilDelivered(first, 90_000);
  const duplicates: Record<string, number> = {};
  for (const id of FLAPPING) duplicates[id] = (await clouds.compare(id)).duplicates;
  tell('row 40', { changes: changes + moreChanges, openings: opened, connections, duplicates });
  const pauses = (changes + moreChanges) / 2;
  const allowed = pauses * PARTITIONS * REQUEST_RECORDS;
  expect(await clouds.violations(Object.fromEntries(FLAPPING.map((id) => [id, allowed])))).toEqual({});
  expect(connections).toBeLessThanOrEqual((changes + moreChanges) / CHANGES_PER_CLIENT);
  // Each instance has one client; those that changes opened are gone.
  await first.waitWhileRunning(
    () => eventHubs.connectionCount() <= instances.length,
    'superfluous clients to go',
  );
  for (const each of instances) {
    expect(each.logged('unexpected')).toEqual([]);
    expect(await each.stop()).toBe(0);
  }
});
