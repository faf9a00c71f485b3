import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { kafkaClient } from '../../support/kafka.ts';
import { waitFor } from '../../support/wait-for.ts';
import { NOTHING_WRONG } from '../oracle.ts';
import { DUPLICATES_PER_MISHAP, Outage, RECOVERY_MS, WINDOW_RECORDS } from '../outage.ts';
import { OwnKafka } from '../own-kafka.ts';

/* The broker goes away and comes back, again and again: RELIABILITY, section 6. */

jest.setTimeout(600_000);

const BOUNCES = 5;
const FROZEN_MS = 75_000;
/** The last attempt starts within the lease (14 s) and ends within its deadline (8 s); the rest is for a slow machine. */
const LAST_ATTEMPT_MS = 24_000;

let kafka: OwnKafka;

beforeAll(async () => {
  kafka = await OwnKafka.start();
});

afterAll(async () => {
  await kafka?.[Symbol.asyncDispose]();
});

/** Bounces the broker and resolves with the milliseconds of each recovery. */
async function bounce(outage: Outage, end: () => Promise<void>): Promise<readonly number[]> {
  const recoveries: number[] = [];
  for (let n = 0; n < BOUNCES; n++) {
    await outage.untilArrived(WINDOW_RECORDS);
    await outage.pauseInTheMiddle();
    await end();
    await kafka.restart();
    recoveries.push(await outage.recovery());
    outage.load.resume();
  }
  return recoveries;
}

test.each([
  ['row 5', 'is killed hard', () => kafka.kill()],
  ['row 6', 'is stopped in order', () => kafka.stop()],
] as const)(
  '%s: the broker %s and started again five times under load: each time the processor goes on within 60 s, nothing is lost, little is sent twice',
  async (row, _how, end) => {
    await using outage = await Outage.start(kafka);
    const { load, processor } = outage;
    const recoveries = await bounce(outage, end);
    await outage.untilArrived(WINDOW_RECORDS);
    await outage.finish();
    const restarts = (await processor.metric('restarts_total')) ?? 0;
    expect(await processor.stop()).toBe(0);
    const { duplicates, ...violations } = await load.oracle.verdict();
    process.stdout.write(
      `${row}: recovered in ${recoveries.join(', ')} ms, ${restarts} restarts, ${duplicates} duplicates\n`,
    );
    expect(violations).toEqual(NOTHING_WRONG);
    expect(Math.max(...recoveries)).toBeLessThan(RECOVERY_MS);
    expect(duplicates).toBeLessThanOrEqual(BOUNCES * DUPLICATES_PER_MISHAP);
  },
);

test('row 7: the broker is frozen for 75 s: nothing is sent without the lease, the metrics show it, and the processor goes on with one member', async () => {
  await using outage = await Outage.start(kafka);
  const { load, processor, users } = outage;
  await load.pause();
  users.pubsub.faults.delayAll(1_000);
  kafka.suspend();
  const suspendedAt = performance.now();
  let lastArrivalAt = suspendedAt;
  let arrived = users.arrived;
  let commitAge = 0;
  try {
    while (performance.now() - suspendedAt < FROZEN_MS) {
      await outage.stays(500);
      if (users.arrived > arrived) lastArrivalAt = performance.now();
      arrived = users.arrived;
      commitAge = Math.max(commitAge, (await processor.metric('commit_age_seconds')) ?? 0);
    }
    expect(await processor.health()).toBe(200);
  } finally {
    kafka.resume();
  }
  expect(lastArrivalAt - suspendedAt).toBeLessThan(LAST_ATTEMPT_MS);
  expect(commitAge).toBeGreaterThan(50);
  expect(processor.log()).toMatch(/timed out|did not answer within/);

  const recovery = await outage.recovery();
  load.resume();
  await outage.untilArrived(WINDOW_RECORDS);
  await outage.finish();
  const members = await waitFor(() => membersOf(users.deployment.groupId), { message: 'the group' });
  expect(members).toBe(1);
  expect(await processor.stop()).toBe(0);
  const { duplicates, ...violations } = await load.oracle.verdict();
  process.stdout.write(`row 7: recovered in ${recovery} ms, ${duplicates} duplicates\n`);
  expect(violations).toEqual(NOTHING_WRONG);
  expect(recovery).toBeLessThan(RECOVERY_MS);
  expect(duplicates).toBeLessThanOrEqual(DUPLICATES_PER_MISHAP);
});

async function membersOf(groupId: string): Promise<number> {
  const admin = kafkaClient(kafka.brokers).admin();
  await admin.connect();
  try {
    const { groups } = await admin.describeGroups([groupId]);
    return groups[0]?.members.length ?? 0;
  } finally {
    await admin.disconnect();
  }
}
