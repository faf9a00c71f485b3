import { expect, test } from '@jest/globals';
import { textTable } from '../../../commands/text-output.ts';
import { runTopicsCreate, type TopicsCreateOptions } from '../../../commands/topics-create.ts';
import type { ExistingTopic, NewTopic, TopicAdmin } from '../../../streams/topics/topic-admin-port.ts';

const options: TopicsCreateOptions = {
  topics: {
    mutations: ['m'],
    snapshots: ['s'],
    replicationConfig: 'config',
    replicationCredentials: 'credentials',
    replicationStatus: 'status',
    initialSyncRequests: 'requests',
    initialSyncExecutions: 'executions',
    deadLetters: 'dead',
    deadLettersRetentionHours: 1,
  },
  partitions: 4,
  replicationFactor: null,
  isDryRun: false,
  isJson: false,
};

function clusterWith(topics: ExistingTopic[]): TopicAdmin {
  return {
    describeCluster: async () => ({ brokerCount: 1, defaultMaxMessageBytes: 1_048_588 }),
    describeTopics: async (names) => topics.filter(({ name }) => names.includes(name)),
    createTopics: async (made: readonly NewTopic[]) => void topics.push(...made),
    close: async () => undefined,
  };
}

async function run(
  topics: ExistingTopic[],
  changes: Partial<TopicsCreateOptions> = {},
): Promise<{ code: number; out: string; errors: string; registered: string[] }> {
  const texts = { out: '', errors: '' };
  const registered: string[] = [];
  const writer = (to: 'out' | 'errors') => ({
    write(text: string) {
      texts[to] += text;
      return true;
    },
    once: () => undefined,
  });
  const code = await runTopicsCreate(
    { ...options, ...changes },
    {
      admin: clusterWith(topics),
      registerSchema: async (subject) => registered.push(subject),
      out: writer('out'),
      errors: writer('errors'),
    },
  );
  return { code, ...texts, registered };
}

const compactedMutations: ExistingTopic = {
  name: 'm',
  partitions: 4,
  replicationFactor: 1,
  settings: { 'cleanup.policy': 'compact' },
};

test('shows a table of what it made, and registers the schema of each mutation topic', async () => {
  const { code, out, registered } = await run([]);

  expect(code).toBe(0);
  expect(out).toMatch(/^m +4 +1 +created +cleanup\.policy=delete retention\.ms=604800000$/m);
  expect(out).toContain('schema of m-value: id 1');
  expect(registered).toEqual(['m-value']);
});

test('registers nothing in a dry run', async () => {
  const { out, registered } = await run([], { isDryRun: true });

  expect(out).toContain('would create');
  expect(out).toContain('would register the schema of m-value');
  expect(registered).toEqual([]);
});

test('ends with 1 and names topic, setting, value and remedy of what it refuses', async () => {
  const { code, errors, registered } = await run([compactedMutations]);

  expect(code).toBe(1);
  expect(errors).toContain('refused: topic m: cleanup.policy is compact; set it to delete: ');
  expect(errors).toContain('nothing was created');
  expect(registered).toEqual([]);
});

test('prints one JSON object for scripts', async () => {
  const { out } = await run([compactedMutations], { isJson: true });

  expect(JSON.parse(out)).toMatchObject({
    status: 'error',
    topics: expect.arrayContaining([
      expect.objectContaining({ topic: 'm', result: 'refused', replication_factor: 1 }),
    ]),
    refused: [{ topic: 'm', setting: 'cleanup.policy', value: 'compact' }],
  });
});

test('lays out columns, numbers on the right', () => {
  expect(
    textTable(
      ['name', 'n'],
      [
        ['a', 1],
        ['long name', 20],
      ],
    ),
  ).toBe('name       n\na           1\nlong name  20\n');
});
