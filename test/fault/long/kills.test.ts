import { expect, jest, test } from '@jest/globals';
import type { Deployment, ProcessorProcess } from '../../support/processor-process.ts';
import { ReplicatedClouds, topicName } from '../replicated-clouds.ts';

/* A process that is killed at the steps of the catch-up: row 38 of RELIABILITY section 6. */

jest.setTimeout(420_000);

const WINDOW_RECORDS = 500;
const PARTITIONS = 2;
/** What the steps of a replication's detach and re-attach log. */
const STEPS = ['waits for the replication no longer', 'the replication has caught up'];
const ROUNDS = 2;
const ANSWER_MS = 50;

/** Resolves at once when the process logs this; the process is killed in that moment. */
async function killAt(processor: ProcessorProcess, message: string, deployment: Deployment): Promise<void> {
  await processor.waitWhileRunning(() => processor.logged(message).length > 0, message, 90_000);
  processor.kill();
  await processor.exited;
  await deployment.expelDeadMembers();
}

/**
 * The failpoints are the lines that the program logs within the very step, so that the kill comes some milliseconds
 * behind it: before or after the commit that makes the step durable, as it happens.
 */
test('row 38: killed when it detaches a replication and when it takes it back, again and again, it goes on from what was durable, and there is no gap', async () => {
  await using clouds = await ReplicatedClouds.create({
    mutationTopics: [{ partitions: PARTITIONS }],
    topics: ['users', 'stuck'],
    hubs: ['events'],
    files: ['witness'],
    environment: { DELIVERY_DETACH_AFTER_SECONDS: '2', DELIVERY_WINDOW_RECORDS: String(WINDOW_RECORDS) },
  });
  const { deployment, pubsub, eventHubs } = clouds;
  pubsub.faults.delayAll(ANSWER_MS);
  await using traffic = clouds.startTraffic(20, 100);
  let processor = await deployment.startReady();
  let kills = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (const step of STEPS) {
      const isDetach = step === STEPS[0];
      pubsub.faults.setMood(topicName('stuck'), isDetach ? { kind: 'hang' } : null);
      if (isDetach) eventHubs.faults.hangNext(Infinity);
      else eventHubs.faults.clear();
      await killAt(processor, step, deployment);
      kills += 1;
      processor = await deployment.startReady();
    }
  }
  await traffic.stop();
  await clouds.waitUntilDelivered(processor, 120_000);
  const perKill = PARTITIONS * WINDOW_RECORDS;
  const duplicates: Record<string, number> = {};
  for (const id of clouds.ids) duplicates[id] = (await clouds.compare(id)).duplicates;
  console.info(`${kills} kills, ${clouds.sent} operations, duplicates`, duplicates);
  // A window at most for each kill, and for each of the requests that hung at one.
  expect(
    await clouds.violations(Object.fromEntries(clouds.ids.map((id) => [id, perKill * kills]))),
  ).toEqual({});
  expect(await processor.stop()).toBe(0);
});
