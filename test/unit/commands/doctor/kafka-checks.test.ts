import { describe, expect, test } from '@jest/globals';
import { brokerChecks } from '../../../../commands/doctor/brokers.ts';
import { Prerequisite } from '../../../../commands/doctor/check.ts';
import { groupChecks, type GroupCheckOptions } from '../../../../commands/doctor/group.ts';
import { rightsChecks } from '../../../../commands/doctor/rights.ts';
import { topicChecks } from '../../../../commands/doctor/topics.ts';
import type {
  BrokerAnswer,
  GroupDescription,
  TopicRightsProbe,
} from '../../../../streams/inspection-port.ts';
import { judgeVersions } from '../../../../streams/kafka/broker-probe.ts';
import type { PartitionReader } from '../../../../streams/kafka-port.ts';
import type { ExistingTopic, TopicAdmin } from '../../../../streams/topics/topic-admin-port.ts';
import { aView, BROKER, findingsOf, found, missing, outlines } from './fakes.ts';

const names = {
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

const PLAIN = { brokers: ['a:9092'], tls: null, sasl: null };

describe('brokers', () => {
  const checked = (answer: BrokerAnswer | Error, kafka: Parameters<typeof brokerChecks>[0] = PLAIN) => {
    const probe = () => (answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer));
    return findingsOf(brokerChecks(kafka, probe, new Prerequisite('')));
  };

  test('one that answers tells the cluster, and lets Kafka be asked', async () => {
    const reachable = new Prerequisite<BrokerAnswer>('no broker answers');

    const [finding] = await findingsOf(brokerChecks(PLAIN, async () => BROKER, reachable));

    expect(finding).toMatchObject({
      result: 'ok',
      message: expect.stringContaining('1 broker in the cluster'),
    });
    expect(reachable.find()).toBe(BROKER);
  });

  test.each([
    ['connect ECONNREFUSED', 'is KAFKA_BROKERS right'],
    ['getaddrinfo ENOTFOUND a', 'not known here'],
    ['unable to verify the first certificate', 'KAFKA_SSL_CA_FILE'],
    ['SASL SCRAM authentication failed', 'KAFKA_SASL_MECHANISM'],
  ])('one that fails with %s has a remedy', async (reason, remedy) => {
    expect(await checked(new Error(reason))).toMatchObject([
      { result: 'failed', message: reason, remedy: expect.stringContaining(remedy) },
    ]);
  });

  test('one that is too old or too new for this program', async () => {
    expect(await checked({ ...BROKER, unsupported: ['JoinGroup'] })).toMatchObject([
      { result: 'failed', message: expect.stringContaining('JoinGroup') },
    ]);
  });

  test('addresses of two clusters', async () => {
    const probe = async (address: string) => ({ ...BROKER, clusterId: address });

    const findings = await findingsOf(
      brokerChecks({ ...PLAIN, brokers: ['a:1', 'b:1'] }, probe, new Prerequisite('')),
    );

    expect(outlines(findings)).toEqual(['ok a:1', 'ok b:1', 'failed b:1']);
  });

  test('judges by the versions that both sides have', () => {
    const all = Object.fromEntries(
      Array.from({ length: 64 }, (_, key) => [String(key), { minVersion: 0, maxVersion: 30 }]),
    );

    expect(judgeVersions(all)).toEqual({ unsupported: [], newestFetchVersion: 30 });
    expect(judgeVersions({ ...all, 11: { minVersion: 20, maxVersion: 30 } }).unsupported).toEqual([
      'JoinGroup',
    ]);
    expect(judgeVersions({ ...all, 0: undefined }).unsupported).toEqual(['Produce']);
    expect(judgeVersions(null)).toEqual({ unsupported: [], newestFetchVersion: null });
  });
});

const policyOf = (name: string): string => (name === 'm' || name === 'dead' ? 'delete' : 'compact');
const GOOD: readonly ExistingTopic[] = [
  'm',
  's',
  'config',
  'credentials',
  'status',
  'requests',
  'executions',
  'dead',
].map((name) => ({
  name,
  partitions: name === 'm' || name === 's' ? 4 : 1,
  replicationFactor: 1,
  settings: { 'cleanup.policy': policyOf(name) },
}));

function adminOf(topics: readonly ExistingTopic[]): TopicAdmin {
  return {
    describeCluster: async () => ({ brokerCount: 1, defaultMaxMessageBytes: 1_048_588 }),
    describeTopics: async (wanted) => topics.filter(({ name }) => wanted.includes(name)),
    createTopics: () => Promise.reject(new Error('doctor makes nothing')),
    close: async () => undefined,
  };
}

describe('topics', () => {
  const checked = (topics: readonly ExistingTopic[], pins: Readonly<Record<string, number>> = { m: 4 }) =>
    findingsOf(
      topicChecks({
        admin: adminOf(topics),
        names,
        reachable: found(BROKER),
        pins: () => aView({ pins }).pins,
      }),
    );

  test('all there, as they should be', async () => {
    expect((await checked(GOOD)).map(({ result }) => result)).toEqual(GOOD.map(() => 'ok'));
  });

  test('a missing one', async () => {
    const [first] = await checked(GOOD.filter(({ name }) => name !== 'dead'));

    expect(first).toMatchObject({
      name: 'dead',
      result: 'failed',
      remedy: expect.stringContaining('topics create'),
    });
  });

  test('a setting that would lose data', async () => {
    const topics = GOOD.map((topic) =>
      topic.name === 'config' ? { ...topic, settings: { 'cleanup.policy': 'delete' } } : topic,
    );

    expect((await checked(topics))[0]).toMatchObject({
      name: 'config',
      result: 'failed',
      message: 'cleanup.policy is delete: data would be lost',
      remedy: expect.stringContaining('kafka-configs.sh'),
    });
  });

  test('a setting that could be better', async () => {
    const topics = GOOD.map((topic) =>
      topic.name === 's' ? { ...topic, settings: { ...topic.settings, 'max.message.bytes': '1000' } } : topic,
    );

    expect((await checked(topics))[0]).toMatchObject({ name: 's', result: 'warning' });
  });

  test('partitions that wait to be adopted', async () => {
    expect((await checked(GOOD, { m: 2 }))[0]).toMatchObject({
      name: 'm',
      result: 'warning',
      message: expect.stringContaining('partitions 2 to 3 were added'),
      remedy: expect.stringContaining('partitions adopt'),
    });
  });

  test('skipped without a broker', async () => {
    const group = topicChecks({
      admin: adminOf(GOOD),
      names,
      reachable: missing('no broker answers'),
      pins: () => null,
    });

    expect(await findingsOf(group)).toMatchObject([{ result: 'skipped', message: 'no broker answers' }]);
  });
});

function readerOf(bounds: { readonly start: number; readonly end: number }, refused = ''): PartitionReader {
  return {
    bounds: async () => bounds,
    read: (at, offset) =>
      at.topic === refused
        ? Promise.reject(new Error('Not authorized to access topics: [Topic authorization failed]'))
        : Promise.resolve({
            ...at,
            fetchedOffset: offset,
            nextOffset: offset,
            highWatermark: bounds.end,
            records: [],
          }),
    close: async () => undefined,
  };
}

describe('rights', () => {
  const checked = (
    refused = '',
    describeGroup: () => Promise<GroupDescription> = async () => GROUP,
    changes: Partial<Parameters<typeof rightsChecks>[0]> = {},
  ) =>
    findingsOf(
      rightsChecks({
        topics: names,
        roles: ['replicate', 'api'],
        writesSnapshot: true,
        groupId: 'g',
        topicRights: rightsBut(),
        admin: {
          partitionCounts: async (topics) => new Map(topics.map((topic) => [topic, 1])),
          describeGroup,
        },
        reader: readerOf({ start: 0, end: 1 }, refused),
        reachable: found(BROKER),
        ...changes,
      }),
    );

  /** All rights, but for writing these. */
  function rightsBut(...unwritable: readonly string[]): TopicRightsProbe {
    return async (topics) =>
      new Map(topics.map((topic) => [topic, { mayRead: true, mayWrite: !unwritable.includes(topic) }]));
  }

  test('everything that is needed may be done', async () => {
    const findings = await checked();

    expect(outlines(findings)).toEqual(['ok READ', 'ok group g', 'ok WRITE']);
    expect(findings[2]).toMatchObject({ message: 'each of 7 topics may be written' });
  });

  test.each([
    [['replicate'], true, ['status', 's', 'dead']],
    [['replicate'], false, ['status', 'dead']],
    [['api'], true, ['config']],
  ] as const)(
    'topics that may not be written, where roles are %j and the snapshot is kept: %s',
    async (roles, writesSnapshot, expected) => {
      const topicRights = rightsBut('config', 'status', 's', 'dead', 'm');
      const [, , ...findings] = await checked('', undefined, { roles, writesSnapshot, topicRights });

      expect(findings.map(({ result, name }) => `${result} ${name}`).sort()).toEqual(
        expected.map((topic) => `failed WRITE ${topic}`).sort(),
      );
      expect(findings[0]?.remedy).toContain('the right WRITE on');
    },
  );

  test('a broker that doesn’t tell rights, and one without any of the topics', async () => {
    const [, , untold] = await checked('', undefined, { topicRights: async () => null });
    const [, , none] = await checked('', undefined, { topicRights: async () => new Map() });

    expect([untold, none]).toMatchObject([
      { result: 'skipped', message: expect.stringContaining('tells nobody’s rights') },
      { result: 'skipped', message: 'none of the topics is there' },
    ]);
  });

  test('a topic that may not be read', async () => {
    expect((await checked('dead'))[0]).toMatchObject({
      name: 'READ dead',
      result: 'failed',
      remedy: expect.stringContaining('READ and DESCRIBE on dead'),
    });
  });

  test('an empty topic that may not be read', async () => {
    const rights = { mayRead: false, mayWrite: true };
    const topicRights: TopicRightsProbe = async (topics) => new Map(topics.map((topic) => [topic, rights]));

    const findings = await checked('', undefined, { topicRights, reader: readerOf({ start: 0, end: 0 }) });

    expect(findings.find(({ name }) => name === 'READ dead')).toMatchObject({
      result: 'failed',
      message: 'it may not be read',
    });
  });

  test('a group that may not be described', async () => {
    const findings = await checked('', () => Promise.reject(new Error('Group authorization failed')));

    expect(findings[1]).toMatchObject({ name: 'group g', result: 'failed' });
  });
});

const MEMBER = {
  memberId: 'a-1',
  clientId: 'a',
  host: '10.0.0.1',
  topics: ['m'],
  partitions: [{ topic: 'm', partition: 0 }],
};
const GROUP: GroupDescription = {
  state: 'Stable',
  protocolType: 'consumer',
  protocol: 'RoundRobinAssigner',
  members: [MEMBER],
};

describe('group', () => {
  interface Case {
    readonly group?: GroupDescription;
    readonly bounds?: { readonly start: number; readonly end: number };
    /** What is committed when it is asked for the first time, and the next. */
    readonly committed?: readonly (number | null)[];
  }
  const checked = ({ group = GROUP, bounds = { start: 0, end: 10 }, committed = [10] }: Case = {}) => {
    let asked = 0;
    const options: GroupCheckOptions = {
      groupId: 'g',
      mutationTopics: ['m'],
      admin: {
        describeGroup: async () => group,
        partitionCounts: async () => new Map([['m', 1]]),
        committedOffsets: async () => {
          const offset = committed[Math.min(asked, committed.length - 1)] ?? null;
          asked += 1;
          return new Map(offset === null ? [] : [[0, { offset, metadata: null }]]);
        },
      },
      reader: readerOf(bounds),
      pinned: () => null,
      // Waits are over at once.
      clock: {
        now: () => 0,
        monotonic: () => 0,
        schedule: (_, task) => {
          setImmediate(task);
          return () => undefined;
        },
      },
      reachable: found(BROKER),
    };
    return findingsOf(groupChecks(options));
  };

  test('stable, without lag', async () => {
    expect(outlines(await checked())).toEqual(['ok g', 'ok m']);
  });

  test.each([
    ['Empty', 'no instance runs'],
    ['Dead', 'no instance ever ran'],
    ['PreparingRebalance', 'rebalances'],
  ])('%s is a warning', async (state, words) => {
    const members = state === 'PreparingRebalance' ? [MEMBER] : [];

    expect((await checked({ group: { ...GROUP, state, members } }))[0]).toMatchObject({
      result: 'warning',
      message: expect.stringContaining(words),
    });
  });

  test('another assignor, and another kind of client, have no place in it', async () => {
    const assignor = await checked({ group: { ...GROUP, protocol: 'range' } });
    const connect = await checked({ group: { ...GROUP, protocolType: 'connect', protocol: 'sessioned' } });

    expect(assignor[0]).toMatchObject({
      result: 'failed',
      message: expect.stringContaining('consumer/range'),
    });
    expect(connect[0]).toMatchObject({ result: 'failed', remedy: expect.stringContaining('KAFKA_GROUP_ID') });
  });

  test('a member with other topics', async () => {
    const members = [MEMBER, { ...MEMBER, clientId: 'b', topics: ['m', 'n'] }];

    expect((await checked({ group: { ...GROUP, members } }))[0]).toMatchObject({
      result: 'failed',
      message: expect.stringContaining('b@10.0.0.1'),
    });
  });

  test('a lag that goes down is fine, one that stands still is not', async () => {
    const [, going] = await checked({ committed: [4, 6] });
    const [, stuck] = await checked({ committed: [4, 4] });

    expect(going).toMatchObject({ result: 'ok', message: expect.stringContaining('6 records behind') });
    expect(stuck).toMatchObject({ result: 'warning', remedy: expect.stringContaining('partition_blocked') });
  });

  test('what retention took before it was delivered', async () => {
    const findings = await checked({ bounds: { start: 8, end: 10 }, committed: [5, 10] });

    expect(findings[1]).toMatchObject({
      result: 'failed',
      message: expect.stringContaining('took 3 records'),
    });
  });
});
