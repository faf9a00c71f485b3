import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { Admin } from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTopic, kafkaClient } from '../../support/kafka.ts';
import { Deployment, type ProcessorProcess } from '../../support/processor-process.ts';
import { waitFor } from '../../support/wait-for.ts';
import { mutation, range, send, untilWitnessed, WITNESS, witnessed } from '../witness.ts';

/* Somebody changes the mutation topic or the group behind the processor's back: RELIABILITY, section 6. */

jest.setTimeout(120_000);

/** The broker ends a transaction after this, and looks for such ones every 10 s. */
const TRANSACTION_TIMEOUT_MS = 5_000;
const LATE_MS = 40_000;
/** A fetch waits at the broker for 250 ms at most. */
const LONG_POLL_MS = 2_000;

let admin: Admin;
let waiting: Promise<HeldRecord>;

/** A record that lay behind an open transaction. */
interface HeldRecord {
  readonly deployment: Deployment;
  readonly heldMs: number;
  /** Of the metric, while it was held. */
  readonly highestLag: number;
}

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
  const [held] = await Promise.allSettled([waiting]);
  if (held.status === 'fulfilled') await held.value.deployment[Symbol.asyncDispose]();
  await admin?.disconnect();
});

/** Makes the topic's log begin at this offset, as retention would. */
async function deleteRecords(topic: string, before: number): Promise<void> {
  // kafkajs deletes only in topics that this client has heard of.
  await admin.fetchTopicOffsets(topic);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: String(before) }] });
}

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

async function openTransactions(): Promise<HeldRecord> {
  await using stack = new AsyncDisposableStack();
  const deployment = stack.use(await aDeployment());
  await leaveTransactionOpen(deployment.topics.replicationConfig);
  const processor = await deployment.startReady();
  await send(deployment, [1]);
  await untilWitnessed(deployment, processor, [1]);
  await leaveTransactionOpen(deployment.mutations);
  await send(deployment, [2]);
  const sentAt = performance.now();
  let highestLag = 0;
  await processor.waitWhileRunning(
    async () => {
      expect((await processor.readiness()).status).toBe(200);
      const lag = (await processor.metric('consumer_lag_records')) ?? 0;
      if ((await witnessed(deployment)).includes(2)) return true;
      highestLag = Math.max(highestLag, lag);
      return false;
    },
    'the record behind the transaction',
    LATE_MS,
  );
  const held = { deployment, heldMs: performance.now() - sentAt, highestLag };
  await processor.waitWhileRunning(
    async () => (await processor.metric('consumer_lag_records')) === 0,
    'no lag',
    LATE_MS,
  );
  expect(await witnessed(deployment)).toEqual([1, 2]);
  expect(await processor.stop()).toBe(0);
  stack.move();
  return held;
}

test('row 17: retention passes the committed offset while nobody runs: it goes on at the log’s start and says what is lost', async () => {
  await using deployment = await aDeployment();
  const first = await deployment.startReady();
  await send(deployment, range(1, 10));
  await untilWitnessed(deployment, first, range(1, 10));
  expect(await first.stop()).toBe(0);

  await send(deployment, range(11, 20));
  await deleteRecords(deployment.mutations, 15);
  const second = await deployment.startReady();
  await untilWitnessed(deployment, second, range(16, 15));
  await deployment.waitUntilCommitted();
  expect(await witnessed(deployment)).toEqual([...range(1, 10), ...range(16, 15)]);
  expect(await second.metric('offset_resets_total')).toBe(1);
  expect(second.logged('offsets 10 to 14 are lost')).toEqual([expect.objectContaining({ level: 'error' })]);
  expect(await second.stop()).toBe(0);
});

test('row 17: retention passes the position of a processor that stood still meanwhile: the same', async () => {
  await using deployment = await aDeployment();
  const processor = await deployment.startReady();
  await send(deployment, [1]);
  await untilWitnessed(deployment, processor, [1]);
  await deployment.waitUntilCommitted();
  process.kill(processor.pid, 'SIGSTOP');
  // The fetch that waits at the broker would still bring what is sent now.
  await sleep(LONG_POLL_MS);
  await send(deployment, range(2, 30));
  await deleteRecords(deployment.mutations, 21);
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
  await send(deployment, range(1, 10));
  await untilWitnessed(deployment, first, range(1, 10));
  expect(await first.stop()).toBe(0);

  await admin.deleteGroups([deployment.groupId]);
  await send(deployment, range(11, 5));
  const second = await deployment.startReady();
  await untilWitnessed(deployment, second, range(11, 5));
  await deployment.waitUntilCommitted();
  expect(await witnessed(deployment)).toEqual([...range(1, 10), ...range(1, 15)]);
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
  await admin.createPartitions({
    topicPartitions: [{ topic: deployment.topics.snapshots[0] ?? '', count: 8 }],
  });
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

test('row 15: a processor can start again after partitions were added to a mutation topic, its snapshot as it was', async () => {
  await using deployment = await aDeployment(4);
  const first = await deployment.startReady();
  expect(await first.stop()).toBe(0);
  await admin.createPartitions({ topicPartitions: [{ topic: deployment.mutations, count: 8 }] });
  const second = await deployment.startReady();
  expect(await second.stop()).toBe(0);
});

/** Delivers 20 mutations, then makes the topic anew with 5 others. */
async function topicMadeAnew(deployment: Deployment, processor: ProcessorProcess): Promise<void> {
  const topic = deployment.mutations;
  await send(deployment, range(1, 20));
  await untilWitnessed(deployment, processor, range(1, 20));
  await deployment.waitUntilCommitted();
  await admin.deleteTopics({ topics: [topic] });
  await waitFor(async () => !(await admin.listTopics()).includes(topic), { message: 'the topic to be gone' });
  await createTopic(topic);
  await send(deployment, range(100, 5));
}

test('row 16: the topic is deleted and made anew: a running processor says so and reads it from its start, and so does the next one', async () => {
  await using deployment = await aDeployment();
  const processor = await deployment.startReady();
  await topicMadeAnew(deployment, processor);
  await untilWitnessed(deployment, processor, range(100, 5), 30_000);
  expect(processor.log()).toContain('the topic was made anew');
  expect(await processor.metric('offset_resets_total')).toBe(1);
  await deployment.waitUntilCommitted();
  expect(await processor.stop()).toBe(0);
  await send(deployment, range(200, 5));
  const next = await deployment.startReady();
  await untilWitnessed(deployment, next, range(200, 5));
  await deployment.waitUntilCommitted();
  expect(await witnessed(deployment)).toEqual([...range(1, 20), ...range(100, 5), ...range(200, 5)]);
  expect(await next.stop()).toBe(0);
});

test('row 19: a transaction that nobody ends holds what is behind it until Kafka ends it; one on the control topic doesn’t hold the start', async () => {
  const { heldMs } = await waiting;
  expect(heldMs).toBeGreaterThan(TRANSACTION_TIMEOUT_MS / 2);
});

test('row 19: the lag shows what waits behind an open transaction', async () => {
  const { highestLag } = await waiting;
  expect(highestLag).toBeGreaterThanOrEqual(2);
});
