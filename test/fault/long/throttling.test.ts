import { status } from '@grpc/grpc-js';
import { expect, jest, test } from '@jest/globals';
import { lasts, statesOf, tell } from '../observed.ts';
import { ReplicatedClouds, topicName } from '../replicated-clouds.ts';

/* Destinations that take less than they are sent: row 36 of RELIABILITY section 6. */

jest.setTimeout(240_000);

const PARTITIONS = 8;
const THROTTLED_MS = 20_000;
const ACCEPT_EVERY = 5;
/** Without a lower rate: eight partitions with a request each hundred milliseconds at least. */
const UNTHROTTLED_REQUESTS_PER_SECOND = 20;

test('row 36: a destination that throttles four requests of five is called less, never in ERROR, and gets everything once it takes it', async () => {
  await using clouds = await ReplicatedClouds.create({
    mutationTopics: [{ partitions: PARTITIONS }],
    topics: ['users', 'throttled'],
    hubs: ['busy'],
    files: ['witness'],
  });
  const { deployment, pubsub, eventHubs } = clouds;
  const processor = await deployment.startReady();
  const calls = () => ({
    throttled: pubsub.publishCount(topicName('throttled')),
    busy: eventHubs.sendCount(),
  });
  const callsIn = async (
    milliseconds: number,
  ): Promise<{ readonly throttled: number; readonly busy: number }> => {
    const from = calls();
    const since = Date.now();
    await lasts(milliseconds, processor);
    const to = calls();
    const perSecond = (a: number, b: number): number => ((b - a) * 1_000) / (Date.now() - since);
    return { throttled: perSecond(from.throttled, to.throttled), busy: perSecond(from.busy, to.busy) };
  };
  await clouds.send(200);
  await clouds.waitUntilDelivered(processor);
  await using traffic = clouds.startTraffic(40, 50);
  const before = await callsIn(5_000);

  const since = Date.now();
  pubsub.faults.setMood(topicName('throttled'), {
    kind: 'fail',
    code: status.RESOURCE_EXHAUSTED,
    acceptEvery: ACCEPT_EVERY,
  });
  eventHubs.faults.rejectMost(ACCEPT_EVERY, 'com.microsoft:server-busy');
  const during = await callsIn(THROTTLED_MS);
  expect([...(await statesOf(processor)).values()]).not.toContain('ERROR');
  for (const replication_id of ['throttled', 'busy']) {
    expect(await processor.metric('retries_total', { replication_id, code: 'throttled' })).toBeGreaterThan(1);
    expect(await processor.metric('operations_total', { replication_id })).toBeGreaterThan(0);
  }
  const [worst = 0] = clouds.latencies('users', since).slice(-1);
  tell('row 36, requests a second', { before, during, neighboursWorstMs: worst });
  for (const id of ['throttled', 'busy'] as const) {
    expect(before[id]).toBeGreaterThan(UNTHROTTLED_REQUESTS_PER_SECOND);
    expect(during[id]).toBeLessThan(before[id] / 4);
  }
  expect(worst).toBeLessThan(5_000);

  pubsub.faults.clear();
  eventHubs.faults.clear();
  await processor.waitWhileRunning(
    async () => ![...(await statesOf(processor)).values()].includes('DETACHED') && (await isNear(clouds)),
    'both to have caught up under load',
    90_000,
  );
  const after = await callsIn(5_000);
  tell('row 36, requests a second afterwards', after);
  for (const id of ['throttled', 'busy'] as const) expect(after[id]).toBeGreaterThan(during[id]);
  await traffic.stop();
  await clouds.waitUntilDelivered(processor);
  expect(await clouds.violations()).toEqual({});
  expect([...(await statesOf(processor)).values()]).not.toContain('ERROR');
  expect(await processor.stop()).toBe(0);
});

async function isNear(clouds: ReplicatedClouds): Promise<boolean> {
  const arrived = await Promise.all(
    ['throttled', 'busy'].map(async (id) => (await clouds.arrivals(id)).length),
  );
  return arrived.every((count) => count > clouds.sent - 1_000);
}
