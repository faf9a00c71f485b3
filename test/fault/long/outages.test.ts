import { expect, jest, test } from '@jest/globals';
import { lasts, residentMegabytes, tell } from '../observed.ts';
import { ReplicatedClouds } from '../replicated-clouds.ts';

/* Destinations that are away as a whole: rows 33 and 37 of RELIABILITY section 6. */

jest.setTimeout(1_200_000);

const PHASE_MS = 10_000;
/** Five minutes. */
const OUTAGES = 15;
const DEAD_MS = 600_000;
/** So often memory is looked at. */
const LOOK_MS = 15_000;
/** Full jitter up to 30 s, and a busy machine. */
const RECOVERY_MS = 150_000;
/** Beyond what it has taken when the windows are full: the heap grows before it is collected. */
const GROWTH_MB = 60;

test('row 33: a destination that is up and down every 10 s is detached once an outage at most and loses nothing', async () => {
  await using clouds = await ReplicatedClouds.create({
    topics: ['users'],
    hubs: ['flapping'],
    files: ['witness'],
    environment: { DELIVERY_DETACH_AFTER_SECONDS: '2' },
  });
  const { deployment, eventHubs } = clouds;
  const processor = await deployment.startReady();
  await using traffic = clouds.startTraffic(20, 100);
  await processor.waitWhileRunning(() => clouds.sent > 200, 'traffic');
  for (let outage = 0; outage < OUTAGES; outage++) {
    await eventHubs.faults.goOffline();
    await lasts(PHASE_MS, processor);
    await eventHubs.faults.goOnline();
    await lasts(PHASE_MS, processor);
  }
  const detaches = (await processor.metric('detaches_total', { replication_id: 'flapping' })) ?? 0;
  tell('row 33', { outages: OUTAGES, detaches, operations: clouds.sent });
  expect(detaches).toBeGreaterThan(0);
  expect(detaches).toBeLessThanOrEqual(OUTAGES);
  expect(await processor.metric('detaches_total')).toBe(detaches);
  await traffic.stop();
  await clouds.waitUntilDelivered(processor, RECOVERY_MS);
  // Each cut of the connection may have hit a request that was stored.
  expect(await clouds.violations({ flapping: OUTAGES * 500 })).toEqual({});
  expect(await processor.stop()).toBe(0);
});

test('row 37: while all destinations are dead memory stays, positions are durable, and afterwards everything arrives, also after a kill in between', async () => {
  await using clouds = await ReplicatedClouds.create({
    mutationTopics: [{ partitions: 2 }],
    topics: ['users', 'others'],
    hubs: ['events'],
    environment: { DELIVERY_DETACH_AFTER_SECONDS: '3', DELIVERY_WINDOW_RECORDS: '2000' },
  });
  const { deployment, pubsub, eventHubs } = clouds;
  let processor = await deployment.startReady();
  await clouds.send(1_000);
  await clouds.waitUntilDelivered(processor);

  await Promise.all([pubsub.faults.goOffline(), eventHubs.faults.goOffline()]);
  const since = Date.now();
  // All of it is kept by the fakes and this process, and compared: not more than that takes.
  await using traffic = clouds.startTraffic(20, 150);
  await processor.waitWhileRunning(
    async () => (await deployment.progress()).every(({ parked }) => parked.length === 3),
    'every replication to have a durable position of its own',
    60_000,
  );
  await lasts(30_000, processor, since);
  const rss = [await residentMegabytes(processor)];
  for (let next = 30_000 + LOOK_MS; next <= DEAD_MS; next += LOOK_MS) {
    await lasts(next, processor, since);
    rss.push(await residentMegabytes(processor));
  }
  const inFlight = await processor.metric('in_flight_bytes');
  tell('row 37, MB every 15 s', { rss, inFlightBytes: inFlight, operations: clouds.sent });
  const [first = 0] = rss;
  expect(Math.max(...rss)).toBeLessThan(first + GROWTH_MB);
  expect(await processor.metric('replication_lag_records', { replication_id: 'events' })).toBeGreaterThan(
    5_000,
  );

  processor.kill();
  await processor.exited;
  await deployment.expelDeadMembers();
  await Promise.all([pubsub.faults.goOnline(), eventHubs.faults.goOnline()]);
  await traffic.stop();
  processor = await deployment.startReady();
  const catchingUp = Date.now();
  await clouds.waitUntilDelivered(processor, RECOVERY_MS);
  tell('row 37, ms from the restart to the last operation', Date.now() - catchingUp);
  // Nothing was stored while all were dead; only what was in flight when the connections were cut can come twice.
  expect(await clouds.violations({ users: 1_000, others: 1_000, events: 1_000 })).toEqual({});
  expect(await processor.stop()).toBe(0);
});
