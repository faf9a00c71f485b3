import { expect, jest, test } from '@jest/globals';
import type { ProcessorProcess } from '../../support/processor-process.ts';
import { tell } from '../observed.ts';
import { ReplicatedClouds, topicName } from '../replicated-clouds.ts';

/* A process that is killed at the steps of the catch-up: row 38 of RELIABILITY section 6. */

jest.setTimeout(420_000);

const WINDOW_RECORDS = 500;
const PARTITIONS = 2;
const ROUNDS = 2;
const ANSWER_MS = 50;
const KILL_WITHIN_MS = 90_000;
/** More than a new owner waits after a kill, when nobody moves. */
const DETACH_AFTER_SECONDS = 12;

/** A step of the catch-up: how it shows from outside, and whether the destinations hang meanwhile. */
interface Step {
  readonly isStuck: boolean;
  readonly hasCome: (
    processor: ProcessorProcess,
    clouds: ReplicatedClouds,
    arrived: number,
  ) => Promise<boolean>;
}

const STEPS: readonly Step[] = [
  { isStuck: true, hasCome: async (processor) => isLogged(processor, 'waits for the replication no longer') },
  {
    isStuck: true,
    hasCome: async (_processor, { deployment }) =>
      (await deployment.progress()).some(({ parked }) => parked.length > 0),
  },
  {
    isStuck: false,
    hasCome: async (_processor, clouds, arrived) => (await clouds.arrivals('stuck')).length > arrived,
  },
  { isStuck: false, hasCome: async (processor) => isLogged(processor, 'the replication has caught up') },
];

function isLogged(processor: ProcessorProcess, message: string): boolean {
  return processor.logged(message).some(({ replication_id }) => replication_id === 'stuck');
}

/**
 * The failpoints are the lines that the program logs within the very step, so that the kill comes some milliseconds
 * behind it: before or after the commit that makes the step durable, as it happens. One kill comes when that commit is
 * there, one amid the backlog.
 */
test('row 38: killed when it detaches a replication and when it takes it back, again and again, it goes on from what was durable, and there is no gap', async () => {
  await using clouds = await ReplicatedClouds.create({
    mutationTopics: [{ partitions: PARTITIONS }],
    topics: ['users', 'stuck'],
    hubs: ['events'],
    files: ['witness'],
    environment: {
      DELIVERY_DETACH_AFTER_SECONDS: String(DETACH_AFTER_SECONDS),
      DELIVERY_WINDOW_RECORDS: String(WINDOW_RECORDS),
    },
  });
  const { deployment, pubsub, eventHubs } = clouds;
  pubsub.faults.delayAll(ANSWER_MS);
  await using traffic = clouds.startTraffic(20, 100);
  let processor = await deployment.startReady();
  let kills = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (const { isStuck, hasCome } of STEPS) {
      pubsub.faults.setMood(topicName('stuck'), isStuck ? { kind: 'hang' } : null);
      if (isStuck) eventHubs.faults.hangNext(Infinity);
      else eventHubs.faults.clear();
      const running = processor;
      const { length: arrived } = await clouds.arrivals('stuck');
      await running.waitWhileRunning(() => hasCome(running, clouds, arrived), 'the step', KILL_WITHIN_MS);
      running.kill();
      await running.exited;
      await deployment.expelDeadMembers();
      kills += 1;
      processor = await deployment.startReady();
    }
  }
  await traffic.stop();
  await clouds.waitUntilDelivered(processor, 120_000);
  const perKill = PARTITIONS * WINDOW_RECORDS;
  const duplicates: Record<string, number> = {};
  for (const id of clouds.ids) duplicates[id] = (await clouds.compare(id)).duplicates;
  tell('row 38', { kills, operations: clouds.sent, duplicates });
  // A window at most for each kill, and for each of the requests that hung at one.
  expect(await clouds.violations(Object.fromEntries(clouds.ids.map((id) => [id, perKill * kills])))).toEqual(
    {},
  );
  expect(await processor.stop()).toBe(0);
});
