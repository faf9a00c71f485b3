import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { Admin } from 'kafkajs';
import { createTopic, kafkaClient } from '../../support/kafka.ts';
import { Deployment } from '../../support/processor-process.ts';
import { waitFor } from '../../support/wait-for.ts';
import { mutation, range, send, untilWitnessed, WITNESS, witnessed } from '../witness.ts';

/* Somebody changes the mutation topic or the group behind the processor's back: RELIABILITY, section 6. */

jest.setTimeout(120_000);

/** The broker ends a transaction after this, and looks for such ones every 10 s. */
const TRANSACTION_TIMEOUT_MS = 5_000;
const LATE_MS = 40_000;

let admin: Admin;
let waiting: Promise<Deployment>;

/** One replication that witnesses what is delivered. */
async function aDeployment(partitions = 1): Promise<Deployment> {
  const deployment = await Deployment.create({ mutationTopics: [{ partitions }] });
  await deployment.configure(WITNESS);
  return deployment;
}

beforeAll(async () => {
  admin = kafkaClient().admin();
  await admin.connect();
  // It waits for the end of a transaction: other tests run while it does.
  waiting = openTransactions();
  waiting.catch(() => undefined);
});

afterAll(async () => {
  const [deployment] = await Promise.allSettled([waiting]);
  if (deployment.status === 'fulfilled') await deployment.value[Symbol.asyncDispose]();
  await admin?.disconnect();
});

/** Begins a transaction on the topic that nobody ends. */
async function leaveTransactionOpen(topic: string): Promise<void> {
  const producer = kafkaClient().producer({
    transactionalId: topic,
    idempotent: true,
    maxInFlightRequests: 1,
    transactionTimeout: TRANSACTION_TIMEOUT_MS,
  });
  await producer.connect();
  const transaction = await producer.transaction();
  await transaction.send({ topic, messages: [mutation(99)] });
  await producer.disconnect();
}

async function openTransactions(): Promise<Deployment> {
  await using stack = new AsyncDisposableStack();
  const deployment = stack.use(await aDeployment());
  await leaveTransactionOpen(deployment.topics.replicationConfig);
  const processor = await deployment.startReady();
  await send(deployment, [1]);
  await untilWitnessed(deployment, processor, [1]);
  await leaveTransactionOpen(deployment.mutations);
  await send(deployment, [2]);
  await processor.waitWhileRunning(
    async () => ((await processor.metric('consumer_lag_records')) ?? 0) >= 2,
    'the lag to show',
  );
  expect(await witnessed(deployment)).toEqual([1]);
  expect((await processor.readiness()).status).toBe(200);
  await untilWitnessed(deployment, processor, [2], LATE_MS);
  await processor.waitWhileRunning(
    async () => (await processor.metric('consumer_lag_records')) === 0,
    'no lag',
    LATE_MS,
  );
  expect(await processor.stop()).toBe(0);
  stack.move();
  return deployment;
}

test('row 17: retention passes the committed offset while nobody runs: it goes on at the log’s start and says what is lost', async () => {
  await using deployment = await aDeployment();
  const first = await deployment.startReady();
  await send(deployment, range(0, 10));
  await untilWitnessed(deployment, first, range(0, 10));
  expect(await first.stop()).toBe(0);

  await send(deployment, range(10, 20));
  await admin.deleteTopicRecords({
    topic: deployment.mutations,
    partitions: [{ partition: 0, offset: '15' }],
  });
  const second = await deployment.startReady();
  await untilWitnessed(deployment, second, range(15, 15));
  await deployment.waitUntilCommitted();
  expect(await witnessed(deployment)).toEqual([...range(0, 10), ...range(15, 15)]);
  expect(await second.metric('offset_resets_total')).toBe(1);
  expect(second.logged('offsets 10 to 14 are lost')).toEqual([expect.objectContaining({ level: 'error' })]);
  expect(await second.stop()).toBe(0);
});

test('row 17: retention passes the position of a processor whose partition waits: the same, and the gap is counted', async () => {
  await using deployment = await Deployment.create({
    environment: { DELIVERY_WINDOW_RECORDS: '10' },
  });
  // The bad record can't be stored, so that the partition waits: as long as the dead letters are away.
  await deployment.configure(WITNESS);
  const processor = await deployment.startReady();
  await send(deployment, [1]);
  await untilWitnessed(deployment, processor, [1]);
  await deployment.waitUntilCommitted();
  process.kill(processor.pid, 'SIGSTOP');
  await send(deployment, range(2, 30));
  await admin.deleteTopicRecords({
    topic: deployment.mutations,
    partitions: [{ partition: 0, offset: '21' }],
  });
  process.kill(processor.pid, 'SIGCONT');
  await untilWitnessed(deployment, processor, range(22, 10));
  await deployment.waitUntilCommitted();
  expect(await witnessed(deployment)).toEqual([1, ...range(22, 10)]);
  expect(await processor.metric('offset_resets_total')).toBe(1);
  expect(processor.logged('offsets 1 to 20 are lost')).toHaveLength(1);
});

test('row 18: the group’s offsets are gone: everything is sent again, nothing is skipped', async () => {
  await using deployment = await aDeployment();
  const first = await deployment.startReady();
  await send(deployment, range(0, 10));
  await untilWitnessed(deployment, first, range(0, 10));
  expect(await first.stop()).toBe(0);

  await admin.deleteGroups([deployment.groupId]);
  await send(deployment, range(10, 5));
  const second = await deployment.startReady();
  await untilWitnessed(deployment, second, range(10, 5));
  await deployment.waitUntilCommitted();
  expect(await witnessed(deployment)).toEqual([...range(0, 10), ...range(0, 15)]);
  expect(await second.stop()).toBe(0);
});

test('row 15: partitions are added: the processor goes on, and the records of the new ones are held, visibly', async () => {
  await using deployment = await aDeployment(4);
  const topic = deployment.mutations;
  const first = await deployment.startReady();
  await send(deployment, [1]);
  await untilWitnessed(deployment, first, [1]);
  await admin.createPartitions({ topicPartitions: [{ topic, count: 8 }] });
  await send(deployment, [2]);
  // A running member hears of them with its next metadata; a new one at once.
  const second = await deployment.startReady();
  expect(await first.stop()).toBe(0);
  const heldBy = async (): Promise<string[]> => {
    const samples = await second.samples('partition_blocked');
    return samples
      .filter(({ labels }) => labels.reason === 'not_adopted')
      .map(({ labels }) => labels.partition ?? '');
  };
  await second.waitWhileRunning(
    async () => (await heldBy()).sort().join() === '4,5,6,7',
    'the new partitions to be held',
  );
  expect(second.log()).toContain('`datamart-replication partitions adopt`');
  const producer = kafkaClient().producer({ allowAutoTopicCreation: false });
  await producer.connect();
  try {
    await producer.send({
      topic,
      messages: range(0, 8).map((partition) => ({ ...mutation(100 + partition), partition })),
    });
  } finally {
    await producer.disconnect();
  }
  await untilWitnessed(deployment, second, range(100, 4));
  await second.waitWhileRunning(
    async () =>
      (await deployment.progress()).every(
        ({ partition, committed, end }) => partition >= 4 || committed === end || end === 0,
      ),
    'the commits of the old partitions',
  );
  const seen = await witnessed(deployment);
  expect(seen.filter((ts) => ts >= 104)).toEqual([]);
  const held = (await deployment.progress()).filter(({ partition }) => partition >= 4);
  expect(held.map(({ committed }) => committed)).toEqual([null, null, null, null]);
  expect(await second.stop()).toBe(0);
});

test('row 16: the topic is deleted and made anew: an error says so, and it is read from its start', async () => {
  await using deployment = await aDeployment();
  const topic = deployment.mutations;
  const processor = await deployment.startReady();
  await send(deployment, range(0, 20));
  await untilWitnessed(deployment, processor, range(0, 20));
  await deployment.waitUntilCommitted();

  await admin.deleteTopics({ topics: [topic] });
  await waitFor(async () => !(await admin.listTopics()).includes(topic), { message: 'the topic to be gone' });
  await createTopic(topic);
  await send(deployment, range(100, 5));
  await untilWitnessed(deployment, processor, range(100, 5), 60_000);
  await deployment.waitUntilCommitted();
  expect(await witnessed(deployment)).toEqual([...range(0, 20), ...range(100, 5)]);
  expect(await processor.metric('offset_resets_total')).toBeGreaterThanOrEqual(1);
  expect(processor.log()).toContain('the topic was made anew');
  expect(await processor.stop()).toBe(0);
});

test('row 19: a transaction that nobody ends holds what is behind it, visibly, until Kafka ends it; one on the control topic doesn’t hold the start', async () => {
  await waiting;
});
