import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createRequire } from 'node:module';
import { KafkajsGroupConsumer } from '../../../../streams/kafka/group-consumer.ts';
import { groupOf } from '../../../../streams/kafka/membership.ts';
import { CorruptRecordBatchError } from '../../../../streams/kafka/record-batch.ts';
import type { ConsumerCrash, GroupListener, Instant } from '../../../../streams/kafka-port.ts';
import { silentLogger } from '../../../support/silent-logger.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { protocolError, ScriptedCluster } from './scripted-cluster.ts';

/* What the port promises of a member, with kafkajs' own consumer over a scripted cluster. */

const { KafkaJSNotImplemented } = createRequire(import.meta.url)('kafkajs/src/errors') as {
  KafkaJSNotImplemented: new (message: string) => Error;
};

let cluster: ScriptedCluster;
let consumer: KafkajsGroupConsumer;
let crashes: ConsumerCrash[];
let listener: GroupListener;

beforeEach(() => {
  cluster = new ScriptedCluster();
  crashes = [];
  consumer = new KafkajsGroupConsumer(cluster.client, 'group', ['t'], silentLogger);
  const { asked } = cluster;
  listener = {
    onAssigned: () => asked.push('assigned'),
    onRebalancing: () => asked.push('rebalancing'),
    beforeRejoin: async () => {
      asked.push('quiet …');
      await new Promise((resolve) => setTimeout(resolve, 20));
      asked.push('… quiet');
    },
    onProven: () => asked.push('proven'),
    onBatch: () => asked.push('batch'),
    onFetched: () => undefined,
    onCrash: (crash) => {
      asked.push('crash');
      crashes.push(crash);
    },
  };
});

afterEach(async () => {
  await consumer.stop();
});

const crashed = (): Promise<ConsumerCrash> => waitFor(() => crashes[0], { message: 'a crash' });

test('a member is quiet before it joins, and proven by the sync before its partitions are told', async () => {
  await consumer.start(listener);
  expect(cluster.asked).toEqual(['quiet …', '… quiet', 'join', 'sync', 'proven', 'assigned']);
});

test('a consumer that crashes is quiet before it leaves, and starts nothing by itself', async () => {
  await consumer.start(listener);
  cluster.asked.length = 0;
  cluster.hasBrokers = false;
  cluster.fetch = () => Promise.reject(protocolError('BROKER_NOT_AVAILABLE', true));
  consumer.resume({ topic: 't', partition: 0 });
  await crashed();
  expect(cluster.asked).toEqual(['quiet …', '… quiet', 'leave', 'crash']);
  cluster.hasBrokers = true;
  // kafkajs would come back after 200 ms.
  await new Promise((resolve) => setTimeout(resolve, 400));
  expect(cluster.asked.at(-1)).toBe('crash');
  expect(crashes).toEqual([{ error: expect.any(Error), isHopeless: false, isTransient: true }]);
  // The tasks don't know yet.
  expect(() => {
    consumer.pause({ topic: 't', partition: 0 });
    consumer.resume({ topic: 't', partition: 0 });
    consumer.resumeAt({ topic: 't', partition: 0 }, 5);
  }).not.toThrow();
});

test('one that is stopped leaves without asking anybody', async () => {
  await consumer.start(listener);
  cluster.asked.length = 0;
  await consumer.stop();
  expect(cluster.asked).toContain('leave');
  expect(cluster.asked).not.toContain('quiet …');
});

test.each([
  ['a record batch that is none', () => new CorruptRecordBatchError('record batch of 3 bytes')],
  ['a codec that nobody knows', () => new KafkaJSNotImplemented('compression codec 5 is not known')],
])('%s can’t be read by another consumer either, however kafkajs wraps it', async (_what, error) => {
  const failure = error();
  cluster.fetch = () => Promise.reject(failure);
  await consumer.start(listener);
  consumer.resume({ topic: 't', partition: 0 });
  const crash = await crashed();
  expect(crash).toMatchObject({ isHopeless: true, isTransient: false });
  expect(crash.error.message).toBe(failure.message);
});

test('a member that was thrown out is quiet before it joins anew, though kafkajs tells nobody', async () => {
  await consumer.start(listener);
  cluster.asked.length = 0;
  const { fetch } = cluster;
  cluster.fetch = () => {
    cluster.fetch = fetch;
    return Promise.reject(protocolError('UNKNOWN_MEMBER_ID'));
  };
  consumer.resume({ topic: 't', partition: 0 });
  await waitFor(() => cluster.asked.includes('assigned'), { message: 'the next assignment' });
  expect(cluster.asked).toEqual(['quiet …', '… quiet', 'join', 'sync', 'proven', 'assigned']);
});

test('a wall clock that is set back holds up no heartbeat, which proves the member from when it was sent', async () => {
  await consumer.start(listener);
  const group = groupOf(cluster.cluster) as unknown as {
    lastRequest: number;
    heartbeat: (options: object) => Promise<void>;
  };
  const proofs: Instant[] = [];
  listener.onProven = (sentAt) => proofs.push(sentAt);
  cluster.heartbeat = () => new Promise((resolve) => setTimeout(resolve, 50));
  group.lastRequest = Date.now() + 3_600_000;
  const before = performance.now();
  await group.heartbeat({ interval: 3_000 });
  expect(proofs).toHaveLength(1);
  expect((proofs[0]?.monotonicMs ?? 0) - before).toBeLessThan(40);
  // One that isn't due yet is not sent, and proves nothing.
  await group.heartbeat({ interval: 3_000 });
  expect(proofs).toHaveLength(1);
});
