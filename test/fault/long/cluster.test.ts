import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { ConfigResourceTypes } from '../../../streams/kafka/kafkajs.ts';
import { kafkaClient, produce, readAll } from '../../support/kafka.ts';
import { ReplicatedUsers } from '../../support/replicated-users.ts';
import { waitFor } from '../../support/wait-for.ts';
import { KafkaCluster } from '../kafka-cluster.ts';
import { Load } from '../load.ts';
import { NOTHING_WRONG } from '../oracle.ts';

/* One of three brokers goes away: RELIABILITY, section 6. */

jest.setTimeout(400_000);

const PARTITIONS = 6;
const WINDOW_RECORDS = 200;
const ANSWER_MS = 50;
const LEAD = 1_200;
/** A window is exact to what one fetch brings, and there is never more than twice the lead to fetch. */
const DUPLICATES_PER_MISHAP = PARTITIONS * WINDOW_RECORDS + 2 * LEAD;
const RECOVERY_MS = 60_000;
const STORED_BY_NOBODY_MS = 10_000;

let cluster: KafkaCluster;

beforeAll(async () => {
  cluster = await KafkaCluster.start();
}, 150_000);

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

function replicatedUsers(): Promise<ReplicatedUsers> {
  return ReplicatedUsers.create({
    mutationTopics: [{ partitions: PARTITIONS }],
    brokers: cluster.brokers,
    environment: { DELIVERY_WINDOW_RECORDS: String(WINDOW_RECORDS) },
  });
}

async function untilArrived(users: ReplicatedUsers, more: number): Promise<void> {
  const target = users.arrived + more;
  await waitFor(() => users.arrived >= target, {
    timeoutMs: RECOVERY_MS,
    message: `${more} more messages to arrive`,
  });
}

/** The broker that leads most partitions of the topic. */
async function busiestBroker(topic: string): Promise<number> {
  const leaders = await cluster.leaders(topic);
  const led = (broker: number): number => leaders.filter((leader) => leader === broker).length;
  return [...new Set(leaders)].sort((a, b) => led(b) - led(a))[0] ?? 0;
}

test('row 14: a broker is killed while an instance joins: the leaders move, no consumer ends by what it no longer owns, and nothing is lost', async () => {
  await using users = await replicatedUsers();
  const { deployment, pubsub } = users;
  pubsub.faults.delayAll(ANSWER_MS);
  const processors = [await deployment.startReady(), await deployment.startReady()];
  await using load = new Load(users, LEAD);
  await untilArrived(users, LEAD);

  // A send without answer would have an open outcome; what it brought is enough to go on with.
  await load.pause();
  await users.send(2 * LEAD);
  const broker = await busiestBroker(deployment.mutations);
  const joining = deployment.start();
  await cluster.kill(broker);
  processors.push(await joining);
  await waitFor(
    async () => {
      const leaders = await cluster.leaders(deployment.mutations);
      return leaders.every((leader) => leader >= 0 && leader !== broker);
    },
    { timeoutMs: RECOVERY_MS, message: 'the leaders to move' },
  );
  for (const processor of processors) await processor.waitUntilReady(RECOVERY_MS);
  load.resume();
  await untilArrived(users, 3 * LEAD);
  await cluster.restart(broker);
  await untilArrived(users, LEAD);
  expect(await processors.pop()?.stop()).toBe(0);
  await untilArrived(users, LEAD);

  await load.stop();
  await load.oracle.waitUntilDelivered();
  for (const processor of processors) expect(await processor.stop()).toBe(0);
  const { duplicates, ...violations } = await load.oracle.verdict();
  process.stdout.write(`row 14: ${users.sent} mutations, ${duplicates} duplicates\n`);
  expect(violations).toEqual(NOTHING_WRONG);
  // The broker's end, the join and the leave.
  expect(duplicates).toBeLessThanOrEqual(3 * DUPLICATES_PER_MISHAP);
  for (const processor of processors) expect(processor.log()).not.toMatch(/TypeError/);
});

test('row 50: too few replicas are in sync for dead letters and status: partition and activation wait, nothing is skipped, and both go on when the broker is back', async () => {
  await using users = await replicatedUsers();
  const { deployment } = users;
  const { mutations, topics } = deployment;
  const processor = await deployment.startReady();
  await users.send(200);
  await processor.waitWhileRunning(() => users.hasAllArrived, 'a first delivery');
  await needAllReplicas(topics.deadLetters, 'delete');
  await needAllReplicas(topics.replicationStatus, 'compact');
  await cluster.kill(2);

  await produce(mutations, [{ key: 'one', value: 'nonsense', partition: 0 }], cluster.brokers);
  const blocked = { topic: mutations, partition: '0', reason: 'dead_letters' };
  await processor.waitWhileRunning(
    async () => (await processor.metric('partition_blocked', blocked)) === 1,
    'the partition to be blocked',
    RECOVERY_MS,
  );
  const bad = (await deployment.progress()).find(({ partition }) => partition === 0)!.end - 1;
  await deployment.configure({
    id: 'late',
    datamart_id: '1649',
    type: 'FILE',
    path: 'late.jsonl',
    status: 'ACTIVE',
  });
  const isLate = async (state: string): Promise<boolean> =>
    (await processor.metric('replication_state', { replication_id: 'late', state })) === 1;
  await processor.waitWhileRunning(
    () => isLate('ACTIVATING'),
    'the late replication to be known',
    RECOVERY_MS,
  );
  const sentBefore = users.sent;
  await users.send(600);
  const since = performance.now();
  await processor.waitWhileRunning(
    async () => {
      const [first] = await deployment.progress();
      expect(first?.committed).toBeLessThanOrEqual(bad);
      expect(await isLate('ACTIVE')).toBe(false);
      return performance.now() - since > STORED_BY_NOBODY_MS;
    },
    'nothing to be skipped for a while',
    3 * STORED_BY_NOBODY_MS,
  );
  expect(await deployment.fileLines('late.jsonl')).toEqual([]);
  expect(await readAll(topics.deadLetters, cluster.brokers)).toEqual([]);

  await cluster.restart(2);
  await processor.waitWhileRunning(() => isLate('ACTIVE'), 'the late replication to be ACTIVE', RECOVERY_MS);
  const expected = users.expected().slice(sentBefore);
  await processor.waitWhileRunning(
    async () => {
      const lines = new Set(await deployment.fileLines('late.jsonl'));
      return users.hasAllArrived && expected.every(({ bytes }) => lines.has(bytes));
    },
    'everything to arrive at both',
    RECOVERY_MS,
  );
  await deployment.waitUntilDelivered();
  expect(await processor.metric('partition_blocked', blocked)).toBeNull();
  const letters = await readAll(topics.deadLetters, cluster.brokers);
  expect(new Set(letters.map(({ value }) => value?.toString()))).toEqual(new Set(['nonsense']));
  const { lost, unknown, outOfOrder } = users.compare();
  expect({ lost, unknown, outOfOrder }).toEqual({ lost: [], unknown: [], outOfOrder: [] });
  expect(await processor.stop()).toBe(0);
});

/** From now on nothing is stored on the topic while a broker is away. */
async function needAllReplicas(topic: string, cleanupPolicy: string): Promise<void> {
  const admin = kafkaClient(cluster.brokers).admin();
  await admin.connect();
  try {
    await admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: ConfigResourceTypes.TOPIC,
          name: topic,
          configEntries: [
            { name: 'cleanup.policy', value: cleanupPolicy },
            { name: 'min.insync.replicas', value: '3' },
          ],
        },
      ],
    });
  } finally {
    await admin.disconnect();
  }
}
