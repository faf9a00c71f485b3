import { expect, test } from '@jest/globals';
import { checkTopics, createTopics } from '../../../../streams/topics/create-topics.ts';
import type {
  ClusterDescription,
  ExistingTopic,
  NewTopic,
  TopicAdmin,
} from '../../../../streams/topics/topic-admin-port.ts';
import type { TopicNames } from '../../../../streams/topics/topic-plan.ts';

const names: TopicNames = {
  mutations: ['m'],
  snapshots: ['s'],
  replicationConfig: 'config',
  replicationCredentials: 'credentials',
  replicationStatus: 'status',
  initialSyncRequests: 'requests',
  initialSyncExecutions: 'executions',
  deadLetters: 'dead',
  deadLettersRetentionHours: 1,
};

/** A cluster of one broker, in memory. */
class MemoryCluster implements TopicAdmin {
  readonly topics = new Map<string, ExistingTopic>();

  async describeCluster(): Promise<ClusterDescription> {
    return { brokerCount: 1, defaultMaxMessageBytes: 1_048_588 };
  }

  async describeTopics(wanted: readonly string[]): Promise<readonly ExistingTopic[]> {
    return wanted.flatMap((name) => this.topics.get(name) ?? []);
  }

  async createTopics(topics: readonly NewTopic[]): Promise<void> {
    for (const topic of topics) this.topics.set(topic.name, topic);
  }

  async close(): Promise<void> {
    // Nothing is open.
  }
}

const options = { partitions: 8, replicationFactor: null, isDryRun: false };

test('makes all topics once, and nothing the second time', async () => {
  const cluster = new MemoryCluster();

  const first = await createTopics(cluster, names, options);
  const second = await createTopics(cluster, names, { ...options, partitions: 3 });

  expect(first.topics.map(({ result }) => result)).toEqual(Array(8).fill('created'));
  expect(second.topics.map(({ result }) => result)).toEqual(Array(8).fill('exists'));
  expect(second.topics[0]).toMatchObject({ topic: 'm', partitions: 8 });
});

test('only says what it would make in a dry run', async () => {
  const cluster = new MemoryCluster();

  const report = await createTopics(cluster, names, { ...options, isDryRun: true });

  expect(report.topics.map(({ result }) => result)).toEqual(Array(8).fill('would create'));
  expect(cluster.topics.size).toBe(0);
});

test('makes nothing when an existing topic is refused', async () => {
  const cluster = new MemoryCluster();
  cluster.topics.set('config', {
    name: 'config',
    partitions: 2,
    replicationFactor: 1,
    settings: { 'cleanup.policy': 'compact' },
  });

  const report = await createTopics(cluster, names, options);

  expect(report.refused).toMatchObject([{ topic: 'config', setting: 'partitions', value: '2' }]);
  expect(report.topics.map(({ result }) => result)).toEqual([
    'not created',
    'refused',
    ...Array<string>(6).fill('not created'),
  ]);
  expect(cluster.topics.size).toBe(1);
});

test('tells `start` which topics are missing and how many partitions the others have', async () => {
  const cluster = new MemoryCluster();
  await createTopics(cluster, names, options);
  cluster.topics.delete('m');

  const check = await checkTopics(cluster, names, new Map());

  expect(check.create.map(({ name }) => name)).toEqual(['m']);
  expect(check.refused).toEqual([]);
  expect(check.partitions.get('s')).toBe(8);
});
