import { expect, jest, test } from '@jest/globals';
import { compactEagerly } from '../../support/compaction.ts';
import { kafkaClient, readAll } from '../../support/kafka.ts';
import { Deployment } from '../../support/processor-process.ts';
import { waitFor } from '../../support/wait-for.ts';
import { stateOf } from '../observed.ts';
import { ReplicatedClouds, topicName } from '../replicated-clouds.ts';
import { range, send, untilWitnessed, WITNESS } from '../witness.ts';

/* Rows of RELIABILITY section 6 about the control topic, on the real Kafka and with the official clients. */

jest.setTimeout(240_000);

test('row 41: of repeated and older records the log’s last one decides; there is one destination and nothing is published twice', async () => {
  await using clouds = await ReplicatedClouds.create({
    topics: ['users'],
    hubs: ['events'],
    files: ['witness'],
  });
  const { deployment, eventHubs } = clouds;
  const processor = await deployment.startReady();
  await clouds.send(100);
  await clouds.waitUntilDelivered(processor);
  const replay = { resume: 'WHERE_STOPPED' };
  const all = async (changes: Readonly<Record<string, unknown>>): Promise<void> => {
    for (const id of ['users', 'events']) await clouds.configure(id, changes);
  };

  // The same record several times, then one with another name, then the older one once more.
  for (let times = 0; times < 3; times++) await all(replay);
  await all({ ...replay, name: 'renamed' });
  await all(replay);
  await clouds.send(100);
  await clouds.waitUntilDelivered(processor);
  // A check that overlapped with the first sends may have opened a client of its own; it goes.
  const isOneClient = async (): Promise<void> => {
    await waitFor(() => eventHubs.connectionCount() === 1, { message: 'one client to the event hubs' });
  };
  await isOneClient();
  expect(await processor.metric('replication_state', { replication_id: 'users' })).toBe(1);
  const activations = await processor.metric('activations_total');
  expect(activations).toBeLessThanOrEqual(2 * clouds.ids.length);

  // A PAUSED that was sent again behind its ACTIVE: late or not, it is the last.
  await all({ ...replay, status: 'PAUSED' });
  await all(replay);
  await all({ ...replay, status: 'PAUSED' });
  for (const id of ['users', 'events'])
    await processor.waitWhileRunning(async () => (await stateOf(processor, id)) === 'PAUSED', 'the pause');
  await clouds.send(100);
  await processor.waitWhileRunning(() => clouds.hasAllArrived(['witness']), 'the witness');
  for (const id of ['users', 'events']) {
    expect(await stateOf(processor, id)).toBe('PAUSED');
    expect((await clouds.compare(id)).lost).toHaveLength(100);
  }

  await all(replay);
  await all(replay);
  await clouds.waitUntilDelivered(processor);
  expect(await clouds.violations()).toEqual({});
  await isOneClient();
  expect(await processor.metric('config_refused_total')).toBeNull();
  expect(await processor.stop()).toBe(0);
});

test('row 42: a replication that is deleted under load lets its offset go at once, is called no more and leaves no series', async () => {
  await using clouds = await ReplicatedClouds.create({
    topics: ['users', 'doomed'],
    hubs: ['events'],
    files: ['witness'],
    environment: { DELIVERY_DETACH_AFTER_SECONDS: '600' },
  });
  const { deployment, pubsub, eventHubs } = clouds;
  const processor = await deployment.startReady();
  await clouds.send(100);
  await processor.waitWhileRunning(() => clouds.hasAllArrived(), 'the first operations');
  await deployment.waitUntilCommitted();

  // Both hold the offset: one never answers, of one the connection is refused. Neither is detached before the delete.
  pubsub.faults.setMood(topicName('doomed'), { kind: 'hang' });
  await eventHubs.faults.goOffline();
  await using traffic = clouds.startTraffic(50, 100);
  await processor.waitWhileRunning(
    async () =>
      clouds.sent > 500 &&
      pubsub.publishCount(topicName('doomed')) > 1 &&
      (await clouds.hasAllArrived(['witness'])),
    'the load to go on beside the broken ones',
  );
  const [held] = await deployment.progress();
  expect(held?.committed).toBe(100);

  await clouds.delete('doomed');
  await clouds.delete('events');
  for (const id of ['doomed', 'events'])
    await processor.waitWhileRunning(
      async () => (await stateOf(processor, id)) === null,
      'the delete',
      10_000,
    );
  await processor.waitWhileRunning(
    async () => ((await deployment.progress())[0]?.committed ?? 0) > 500,
    'the offset to go on',
    10_000,
  );
  const published = pubsub.publishCount(topicName('doomed'));
  const sent = clouds.sent;
  await processor.waitWhileRunning(() => clouds.sent > sent + 500, 'more load');
  await traffic.stop();
  await processor.waitWhileRunning(() => clouds.hasAllArrived(['users', 'witness']), 'all operations');
  await deployment.waitUntilDelivered();

  expect(pubsub.publishCount(topicName('doomed'))).toBe(published);
  const scraped = await (await fetch(`${processor.url}/metrics`)).text();
  expect(scraped.split('\n').filter((line) => /replication_id="(doomed|events)"/.test(line))).toEqual([]);
  expect(scraped).toMatch(/replication_id="users"/);
  const { doomed, events, ...others } = await clouds.violations();
  expect(others).toEqual({});
  expect({ doomed, events }).toMatchObject({ doomed: { duplicates: 0 }, events: { duplicates: 0 } });
  expect(await processor.stop()).toBe(0);
});

/**
 * Deletes keys with idempotent producers, whose last batches compaction keeps though it empties them, and ends the log
 * with a transaction that is aborted: nothing at its tail can be read.
 */
async function emptyTail(topic: string): Promise<void> {
  const isGone = async (): Promise<boolean> => {
    const keys = new Set((await readAll(topic)).map(({ key }) => key?.toString()));
    return keys.size === 1 && keys.has(WITNESS.id);
  };
  await compactEagerly(topic);
  for (const value of ['{}', null]) {
    const producer = kafkaClient().producer({ idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    await producer.send({ topic, messages: range(1, 50).map((id) => ({ key: `gone-${id}`, value })) });
    await producer.disconnect();
  }
  await waitFor(
    async () => {
      // The active segment is never compacted: one more record closes it, and is no record for readers.
      await abortedTransaction(topic);
      return isGone();
    },
    { timeoutMs: 150_000, message: 'compaction' },
  );
}

async function abortedTransaction(topic: string): Promise<void> {
  const producer = kafkaClient().producer({
    transactionalId: topic,
    idempotent: true,
    maxInFlightRequests: 1,
  });
  await producer.connect();
  const transaction = await producer.transaction();
  await transaction.send({ topic, messages: [{ key: 'aborted', value: '{}' }] });
  await transaction.abort();
  await producer.disconnect();
}

test('row 21: a control topic whose tail compaction has emptied is read to its end: the start is no longer than any other', async () => {
  await using deployment = await Deployment.create();
  const { replicationConfig } = deployment.topics;
  await deployment.configure(WITNESS);
  await emptyTail(replicationConfig);
  const processor = await deployment.startReady();
  await send(deployment, [1]);
  await untilWitnessed(deployment, processor, [1]);
  expect(await processor.metric('table_lag_records', { topic: replicationConfig })).toBe(0);
  expect(await processor.metric('config_refused_total')).toBeNull();

  // It follows the topic behind its empty tail, too.
  await deployment.configure({ ...WITNESS, status: 'PAUSED' });
  await processor.waitWhileRunning(
    async () => (await stateOf(processor, WITNESS.id)) === 'PAUSED',
    'a later change to take effect',
  );
  expect(await processor.stop()).toBe(0);
});
