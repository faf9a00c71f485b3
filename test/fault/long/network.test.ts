import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { ProcessorProcess } from '../../support/processor-process.ts';
import { waitFor } from '../../support/wait-for.ts';
import { API, SwallowedRequests } from '../kafka-requests.ts';
import { NOTHING_WRONG } from '../oracle.ts';
import { DUPLICATES_PER_MISHAP, Outage, PARTITIONS, RECOVERY_MS, WINDOW_RECORDS } from '../outage.ts';
import { OwnKafka } from '../own-kafka.ts';
import { residentMegabytes } from '../process-usage.ts';

/* The network between the processor and its broker gets worse: RELIABILITY, section 6. */

jest.setTimeout(400_000);

/** After this the program gives up a request to the broker. */
const REQUEST_TIMEOUT_MS = 15_000;
/** The last attempt starts within the lease (14 s) and ends within its deadline (8 s); the rest is for a slow machine. */
const LAST_ATTEMPT_MS = 24_000;
const SLOW_MS = 60_000;
const STORM_MS = 60_000;
const RESET_EVERY_MS = 2_000;
const STALL_MS = 60_000;
/** A table that is followed is read four times a second. */
const STALE_SECONDS = 10;

const requests = new SwallowedRequests();
let kafka: OwnKafka;

beforeAll(async () => {
  kafka = await OwnKafka.start({ filter: requests.filter });
});

afterAll(async () => {
  await kafka?.[Symbol.asyncDispose]();
});

/** The end of a test whose network works again: everything is there, once or within the bound. */
async function expectGoodEnd(outage: Outage, figures: string, mishaps = 1): Promise<void> {
  await outage.finish();
  expect(await outage.processor.stop()).toBe(0);
  const { duplicates, ...violations } = await outage.load.oracle.verdict();
  process.stdout.write(`${figures}, ${duplicates} duplicates\n`);
  expect(violations).toEqual(NOTHING_WRONG);
  expect(duplicates).toBeLessThanOrEqual(mishaps * DUPLICATES_PER_MISHAP);
}

/** A counter has no sample before it counts. */
async function restartsOf(processor: ProcessorProcess): Promise<number> {
  return (await processor.metric('restarts_total')) ?? 0;
}

test('row 8: the way to the broker is slow (300 ± 100 ms, 1 MB/s): deliveries go on, no rebalance, no memory is piled up', async () => {
  await using outage = await Outage.start(kafka);
  const { processor, users } = outage;
  const rebalances = await processor.metric('rebalances_total');
  await outage.untilArrived(2_000);
  const before = residentMegabytes(processor.pid);
  const { proxy } = kafka;
  proxy.delay(300, 100);
  proxy.throttle(1_000_000);
  let highest = 0;
  const arrivedBefore = users.arrived;
  try {
    const until = performance.now() + SLOW_MS;
    while (performance.now() < until) {
      await outage.stays(500);
      highest = Math.max(highest, residentMegabytes(processor.pid));
    }
  } finally {
    proxy.delay(0);
    proxy.throttle(Infinity);
  }
  const perSecond = Math.round((users.arrived - arrivedBefore) / (SLOW_MS / 1_000));
  expect(perSecond).toBeGreaterThan(10);
  expect(await processor.metric('rebalances_total')).toBe(rebalances);
  expect(await restartsOf(processor)).toBe(0);
  expect(highest).toBeLessThan(before + 100);
  const memory = `RSS ${Math.round(before)} MB before, ${Math.round(highest)} MB at most`;
  await expectGoodEnd(outage, `row 8: ${perSecond} operations/s, ${memory}`);
});

test('row 9: the connections to the broker are half-open: that is noticed within two request timeouts, and new ones are made', async () => {
  await using outage = await Outage.start(kafka);
  const { load, users } = outage;
  await load.pause();
  const connectionsBefore = kafka.proxy.accepted;
  kafka.proxy.hang({ alsoNew: false });
  const since = performance.now();
  await users.send(PARTITIONS * 10);
  let noticed = 0;
  try {
    await outage.processor.waitWhileRunning(
      () => kafka.proxy.accepted > connectionsBefore,
      'a new connection',
      4 * REQUEST_TIMEOUT_MS,
    );
    noticed = Math.round(performance.now() - since);
    await outage.processor.waitWhileRunning(() => users.hasAllArrived, 'what was sent meanwhile', 200_000);
  } finally {
    kafka.proxy.resume();
  }
  const recovery = Math.round(performance.now() - since);
  load.resume();
  await outage.untilArrived(WINDOW_RECORDS);
  await expectGoodEnd(outage, `row 9: noticed after ${noticed} ms, recovered in ${recovery} ms`);
  expect(noticed).toBeLessThanOrEqual(2 * REQUEST_TIMEOUT_MS);
  // The member may have to be replaced in the group, which takes its session.
  expect(recovery).toBeLessThan(2 * REQUEST_TIMEOUT_MS + RECOVERY_MS);
});

test('row 10: all connections to the broker are reset every 2 s for a minute: the processor reconnects at a measured pace and loses nothing', async () => {
  await using outage = await Outage.start(kafka);
  const { processor, users } = outage;
  const { proxy } = kafka;
  const connectionsBefore = proxy.accepted;
  const arrivedBefore = users.arrived;
  const until = performance.now() + STORM_MS;
  while (performance.now() < until) {
    proxy.reset();
    await outage.stays(RESET_EVERY_MS);
  }
  const perSecond = (proxy.accepted - connectionsBefore) / (STORM_MS / 1_000);
  expect(perSecond).toBeLessThan(20);
  expect(users.arrived).toBeGreaterThan(arrivedBefore);
  const restarts = await restartsOf(processor);
  const meanwhile = users.arrived - arrivedBefore;
  const recovery = await outage.recovery();
  expect(recovery).toBeLessThan(RECOVERY_MS);
  await outage.untilArrived(WINDOW_RECORDS);
  await expectGoodEnd(
    outage,
    `row 10: ${perSecond.toFixed(1)} connections/s and ${meanwhile} operations meanwhile, ${restarts} restarts, recovered in ${recovery} ms`,
    STORM_MS / RESET_EVERY_MS,
  );
});

test('row 11: the coordinator can not be reached while fetching works: nothing is sent beyond the lease, then the processor joins anew and nothing is lost', async () => {
  await using outage = await Outage.start(kafka);
  const { processor, load, users } = outage;
  const ofCoordinator: readonly number[] = [
    API.offsetCommit,
    API.findCoordinator,
    API.joinGroup,
    API.heartbeat,
  ];
  requests.swallow(({ apiKey }) => ofCoordinator.includes(apiKey));
  const since = performance.now();
  let arrived = users.arrived;
  let lastArrivalAt = since;
  try {
    while (performance.now() - since < STALL_MS) {
      await outage.stays(250);
      if (users.arrived > arrived) lastArrivalAt = performance.now();
      arrived = users.arrived;
    }
  } finally {
    requests.swallow(null);
  }
  expect(requests.count).toBeGreaterThan(0);
  const lastAfter = Math.round(lastArrivalAt - since);
  expect(lastAfter).toBeLessThan(LAST_ATTEMPT_MS);
  await load.pause();
  const recovery = await outage.recovery();
  expect(recovery).toBeLessThan(RECOVERY_MS);
  load.resume();
  await outage.untilArrived(WINDOW_RECORDS);
  expect(await restartsOf(processor)).toBeLessThan(5);
  await expectGoodEnd(outage, `row 11: last delivery ${lastAfter} ms after, recovered in ${recovery} ms`);
});

test('row 44: the control topic can not be read any more: deliveries go on with the table as it was, it is said, and changes follow later', async () => {
  await using outage = await Outage.start(kafka);
  const { processor, users } = outage;
  const { topics } = users.deployment;
  const config = Buffer.from(topics.replicationConfig);
  const counted = requests.count;
  requests.swallow(({ apiKey, bytes }) => apiKey === API.fetch && bytes.includes(config));
  try {
    // The fetch that waits at the broker would still bring the change.
    await waitFor(() => requests.count > counted, { message: 'a fetch to be swallowed' });
    await users.deployment.configure({
      id: 'new',
      type: 'FILE',
      status: 'ACTIVE',
      datamart_id: '1649',
      path: 'new.jsonl',
    });
    await outage.untilArrived(2_000);
    await processor.waitWhileRunning(
      () => processor.logged('following a table failed; it keeps what it has').length > 0,
      'the log to say that the table stands still',
      150_000,
    );
    expect((await processor.readiness()).status).toBe(200);
    // What alerts look at; the topic of the states is read as ever.
    const ageOf = (topic: string) => processor.metric('table_age_seconds', { topic });
    expect(await ageOf(topics.replicationConfig)).toBeGreaterThan(STALE_SECONDS);
    expect(await ageOf(topics.replicationStatus)).toBeLessThan(STALE_SECONDS);
    await outage.untilArrived(2_000);
    expect(await processor.metric('replication_state', { replication_id: 'new' })).toBeNull();
  } finally {
    requests.swallow(null);
  }
  await processor.waitWhileRunning(
    async () => (await processor.metric('replication_state', { replication_id: 'new' })) !== null,
    'the change to take effect',
    60_000,
  );
  await expectGoodEnd(outage, 'row 44: done');
});
