import { expect, test } from '@jest/globals';
import type { ExistingTopic } from '../../../../streams/topics/topic-admin-port.ts';
import {
  desiredTopics,
  judgeTopics,
  type DesiredTopic,
  type TopicNames,
  type TopicVerdict,
} from '../../../../streams/topics/topic-plan.ts';

const names: TopicNames = {
  mutations: ['datamart-mutations'],
  snapshots: ['datamart-snapshot'],
  replicationConfig: 'replication-config',
  replicationCredentials: 'replication-credentials',
  replicationStatus: 'replication-status',
  initialSyncRequests: 'initial-sync-requests',
  initialSyncExecutions: 'initial-sync-executions',
  deadLetters: 'replication-dead-letters',
  deadLettersRetentionHours: 336,
};

function plan(
  existing: readonly ExistingTopic[] = [],
  options: { names?: TopicNames; brokerCount?: number; replicationFactor?: number } = {},
): readonly DesiredTopic[] {
  return desiredTopics(options.names ?? names, existing, {
    partitions: 8,
    replicationFactor: options.replicationFactor ?? null,
    cluster: { brokerCount: options.brokerCount ?? 1, defaultMaxMessageBytes: 1_048_588 },
  });
}

/** A topic that exists just as `topics create` makes it, but for what is given. */
function existing(name: string, changes: Partial<ExistingTopic> = {}): ExistingTopic {
  const wanted = plan().find((topic) => topic.name === name);
  if (!wanted) throw new Error(`no topic ${name}`);
  const { partitions, replicationFactor, settings } = wanted;
  return { name, partitions, replicationFactor, ...changes, settings: { ...settings, ...changes.settings } };
}

function judge(
  topics: readonly ExistingTopic[],
  options: { brokerCount?: number; isMaking?: boolean; pinned?: ReadonlyMap<string, number> } = {},
): TopicVerdict {
  return judgeTopics(plan(topics), topics, {
    brokerCount: options.brokerCount ?? 1,
    isMaking: options.isMaking ?? true,
    pinnedPartitions: options.pinned ?? null,
  });
}

test('plans every topic of the contract with its settings', () => {
  const rows = plan().map(({ name, partitions, settings }) => [name, partitions, settings]);

  const control = {
    'cleanup.policy': 'compact',
    'max.compaction.lag.ms': '86400000',
    'delete.retention.ms': '86400000',
  };
  expect(rows).toEqual([
    ['datamart-mutations', 8, { 'cleanup.policy': 'delete', 'retention.ms': '604800000' }],
    ['replication-config', 1, control],
    ['replication-credentials', 1, control],
    ['replication-status', 1, control],
    ['initial-sync-requests', 1, control],
    ['initial-sync-executions', 1, control],
    [
      'datamart-snapshot',
      8,
      {
        'cleanup.policy': 'compact',
        'max.compaction.lag.ms': '86400000',
        'delete.retention.ms': '604800000',
        'max.message.bytes': String(1_048_588 + 16 * 1024),
      },
    ],
    [
      'replication-dead-letters',
      8,
      {
        'cleanup.policy': 'delete',
        'retention.ms': String(14 * 86_400_000),
        'max.message.bytes': String(1_048_588 + 64 * 1024),
      },
    ],
  ]);
});

test.each([
  [1, 1, undefined],
  [2, 2, undefined],
  [3, 3, '2'],
  [9, 3, '2'],
])('on %d brokers makes %d replicas with min.insync.replicas %s', (brokerCount, replicas, minInSync) => {
  const topics = plan([], { brokerCount });

  expect(new Set(topics.map(({ replicationFactor }) => replicationFactor))).toEqual(new Set([replicas]));
  expect(new Set(topics.map(({ settings }) => settings['min.insync.replicas']))).toEqual(
    new Set([minInSync]),
  );
});

test('lets snapshot and dead letters follow an existing mutation topic', () => {
  const mutations = existing('datamart-mutations', {
    partitions: 12,
    settings: { 'max.message.bytes': '5000000' },
  });

  const byName = new Map(plan([mutations]).map((topic) => [topic.name, topic]));

  expect(byName.get('datamart-snapshot')).toMatchObject({
    partitions: 12,
    settings: { 'max.message.bytes': String(5_000_000 + 16 * 1024) },
  });
  expect(byName.get('replication-dead-letters')?.settings['max.message.bytes']).toBe(
    String(5_000_000 + 64 * 1024),
  );
});

test('gives each of several mutation topics its snapshot by position', () => {
  const several = { ...names, mutations: ['a', 'b'], snapshots: ['sa', 'sb'] };
  const topics = plan([{ ...existing('datamart-mutations'), name: 'b', partitions: 3 }], { names: several });

  expect(
    topics.filter(({ kind }) => kind === 'snapshot').map(({ name, partitions }) => [name, partitions]),
  ).toEqual([
    ['sa', 8],
    ['sb', 3],
  ]);
});

test('finds nothing to do, to refuse or to warn of when all is as it should be', () => {
  const topics = plan().map(({ name }) => existing(name));

  expect(judge(topics)).toEqual({ create: [], refused: [], warnings: [] });
});

test('makes what is missing', () => {
  const topics = plan()
    .map(({ name }) => existing(name))
    .slice(2);

  expect(judge(topics).create.map(({ name }) => name)).toEqual(['datamart-mutations', 'replication-config']);
});

test.each([
  ['replication-config', 'delete'],
  ['replication-config', 'compact,delete'],
  ['datamart-mutations', 'compact'],
  ['datamart-mutations', 'delete, compact'],
  ['datamart-snapshot', 'delete'],
  ['replication-dead-letters', 'compact'],
])('refuses %s with cleanup.policy %s and says what to do', (name, policy) => {
  const [refused] = judge([existing(name, { settings: { 'cleanup.policy': policy } })]).refused;

  expect(refused).toMatchObject({ topic: name, setting: 'cleanup.policy' });
  expect(refused?.remedy).toContain(`--topic ${name} --add-config cleanup.policy=`);
});

test('refuses a control topic with more than one partition', () => {
  expect(judge([existing('replication-status', { partitions: 3 })]).refused).toMatchObject([
    { topic: 'replication-status', setting: 'partitions', value: '3' },
  ]);
});

test('refuses a snapshot with another count than its mutation topic', () => {
  const topics = [existing('datamart-mutations', { partitions: 4 }), existing('datamart-snapshot')];

  expect(judge(topics).refused).toMatchObject([
    { topic: 'datamart-snapshot', setting: 'partitions', value: '8' },
  ]);
});

test('does not refuse a snapshot that has the pinned count of a mutation topic that grew', () => {
  const topics = [existing('datamart-mutations', { partitions: 12 }), existing('datamart-snapshot')];

  const grown = [topics[0]!, existing('datamart-snapshot', { partitions: 12 })];

  for (const each of [topics, grown])
    expect(judge(each, { isMaking: false, pinned: new Map([['datamart-mutations', 8]]) }).refused).toEqual(
      [],
    );
});

test('judges no snapshot’s count before the pinned counts are known', () => {
  const topics = [existing('datamart-mutations', { partitions: 12 }), existing('datamart-snapshot')];

  expect(judge(topics, { isMaking: false }).refused).toEqual([]);
  expect(judge(topics, { isMaking: false, pinned: new Map() }).refused).toHaveLength(1);
});

test('judges a snapshot by the mutation topic when that was made anew with fewer partitions than pinned', () => {
  const topics = [existing('datamart-mutations', { partitions: 4 }), existing('datamart-snapshot')];

  const { refused } = judge(topics, { isMaking: false, pinned: new Map([['datamart-mutations', 8]]) });

  expect(refused).toMatchObject([{ topic: 'datamart-snapshot', setting: 'partitions', value: '8' }]);
});

test('judges a snapshot whose mutation topic is missing only when that is about to be made', () => {
  const topics = [existing('datamart-snapshot', { partitions: 3 })];

  expect(judge(topics, { isMaking: true }).refused).toHaveLength(1);
  expect(judge(topics, { isMaking: false }).refused).toEqual([]);
});

test('warns of sizes too small and of one in-sync replica', () => {
  const topics = [
    existing('replication-dead-letters', {
      replicationFactor: 3,
      settings: { 'max.message.bytes': '1000', 'min.insync.replicas': '1' },
    }),
  ];

  expect(judge(topics, { brokerCount: 3 }).warnings.map(({ setting }) => setting)).toEqual([
    'max.message.bytes',
    'min.insync.replicas',
  ]);
  expect(judge(topics, { brokerCount: 1 }).warnings.map(({ setting }) => setting)).toEqual([
    'max.message.bytes',
  ]);
});
