import { expect, jest, test } from '@jest/globals';
import { readAll } from '../../support/kafka.ts';
import { ReplicatedClouds, topicName } from '../replicated-clouds.ts';

/* Rows of RELIABILITY section 6 about single requests: refused for one record's sake, and stored without an answer. */

jest.setTimeout(120_000);

test('row 34: of a request that is refused for one record’s sake that record is found by halving and parked, the others arrive', async () => {
  await using clouds = await ReplicatedClouds.create({
    topics: ['users'],
    hubs: ['events'],
    files: ['witness'],
  });
  const { deployment, pubsub, eventHubs } = clouds;
  await clouds.send(900);
  const bad = clouds.operation(700);
  pubsub.faults.rejectMessages(({ data }) => data.toString('latin1') === bad);
  eventHubs.faults.rejectEvents((body) => body.toString('latin1') === bad);
  const processor = await deployment.startReady();
  await processor.waitWhileRunning(
    async () =>
      (await clouds.hasAllArrived(['witness'])) &&
      (await clouds.arrivals('users')).length >= clouds.sent - 1 &&
      (await clouds.arrivals('events')).length >= clouds.sent - 1,
    'all others to arrive',
  );
  await deployment.waitUntilDelivered();

  for (const id of ['users', 'events']) {
    const { lost, duplicates, outOfOrder, unknown } = await clouds.compare(id);
    expect({ id, lost, unknown, duplicates }).toEqual({
      id,
      lost: [bad.slice(0, 200)],
      unknown: [],
      duplicates: 0,
    });
    // The parked one's successors of the same user count as out of order; nobody else's do.
    expect(outOfOrder.length).toBeLessThanOrEqual(1);
  }
  expect(await clouds.compare('witness')).toMatchObject({ lost: [], duplicates: 0 });
  const letters = await readAll(deployment.topics.deadLetters);
  expect(letters.map(({ headers }) => String(headers.dead_letter_replication_id)).sort()).toEqual([
    'events',
    'users',
  ]);
  for (const { headers } of letters) {
    expect(String(headers.dead_letter_reason)).toBe('rejected');
    expect(String(headers.dead_letter_code)).toBe('invalid_record');
  }

  const stored = new Set(pubsub.messages.map(({ requestIndex }) => requestIndex));
  const first = pubsub.requests.findIndex((_request, index) => !stored.has(index));
  const last = pubsub.requests.findLastIndex((_request, index) => !stored.has(index));
  const suspects = pubsub.requests[first]?.messageCount ?? 0;
  expect(suspects).toBeGreaterThan(1);
  expect(pubsub.requests[last]?.messageCount).toBe(1);
  expect(last - first).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(suspects)));
  expect(await processor.stop()).toBe(0);
});

test('row 35: what was stored and never answered is sent again, counted as a retry, and nothing overtakes it', async () => {
  await using clouds = await ReplicatedClouds.create({
    topics: ['users', 'others'],
    hubs: ['events'],
    files: ['witness'],
  });
  const { deployment, pubsub, eventHubs } = clouds;
  const processor = await deployment.startReady();
  await clouds.send(100);
  await processor.waitWhileRunning(() => clouds.hasAllArrived(), 'the first operations');

  pubsub.faults.setMood(topicName('users'), { kind: 'lose_answers' });
  eventHubs.faults.dropNext(1, 'after_storing');
  await clouds.send(200);
  await processor.waitWhileRunning(
    async () =>
      ((await processor.metric('retries_total', { replication_id: 'users' })) ?? 0) >= 2 &&
      ((await processor.metric('retries_total', { replication_id: 'events' })) ?? 0) >= 1,
    'the retries',
  );
  pubsub.faults.clear();
  await clouds.send(100);
  await clouds.waitUntilDelivered(processor);

  const retries = async (id: string) =>
    (await processor.metric('retries_total', { replication_id: id })) ?? 0;
  for (const id of ['users', 'events']) expect((await clouds.compare(id)).duplicates).toBeGreaterThan(0);
  // What was in flight is all that comes twice, once for each answer that was lost. The other topic's requests may have
  // been on the connections that were broken.
  const allowed = async (id: string): Promise<number> => 200 * (await retries(id));
  expect(
    await clouds.violations({
      users: await allowed('users'),
      others: await allowed('others'),
      events: await allowed('events'),
    }),
  ).toEqual({});
  expect(await retries('witness')).toBe(0);
  expect(await processor.stop()).toBe(0);
});
