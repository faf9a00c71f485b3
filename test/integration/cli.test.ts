import { expect, jest, test } from '@jest/globals';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { brokersUnderTest, createTopic, readAll, uniqueTopic } from '../support/kafka.ts';
import { sharedRegistry } from '../support/registry.ts';

jest.setTimeout(90_000);

const BIN = join(import.meta.dirname, '../../bin.ts');

interface Run {
  readonly code: number | string | null | undefined;
  readonly out: string;
  readonly errors: string;
}

/** Runs the program as a user does, with the run's broker. */
function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Run> {
  const { promise, resolve } = Promise.withResolvers<Run>();
  execFile(
    process.execPath,
    [BIN, ...args],
    { env: { PATH: process.env.PATH, KAFKA_BROKERS: brokersUnderTest().join(','), ...env } },
    (error, out, errors) => {
      resolve({ code: error ? error.code : 0, out, errors });
    },
  );
  return promise;
}

/** Settings that give every topic a name of its own. */
function ownTopics(): Record<string, string> {
  const names = [
    'MUTATIONS',
    'SNAPSHOT',
    'REPLICATION_CONFIG',
    'REPLICATION_CREDENTIALS',
    'REPLICATION_STATUS',
  ];
  const others = ['INITIAL_SYNC_REQUESTS', 'INITIAL_SYNC_EXECUTIONS', 'DEAD_LETTERS'];
  return Object.fromEntries([...names, ...others].map((name) => [`TOPICS_${name}`, uniqueTopic('cli')]));
}

test('`topics create` makes all topics once, and says so the second time', async () => {
  const topics = ownTopics();

  const first = await run(['topics', 'create', '--partitions', '3', '--json'], topics);
  const second = await run(['topics', 'create', '--json'], topics);

  expect(first).toMatchObject({ code: 0, errors: '' });
  expect(resultsOf(first)).toEqual(Array(8).fill('created'));
  expect(resultsOf(second)).toEqual(Array(8).fill('exists'));
  expect(JSON.parse(second.out)).toMatchObject({ topics: expect.arrayContaining([mutationsOf3(topics)]) });
});

test('`topics create` refuses a control topic that is not compacted, and makes nothing', async () => {
  const topics = ownTopics();
  await createTopic(topics.TOPICS_REPLICATION_CONFIG ?? '', { config: { 'cleanup.policy': 'delete' } });

  const { code, errors, out } = await run(['topics', 'create'], topics);
  const dryRun = await run(['topics', 'create', '--dry-run', '--json'], topics);

  expect(code).toBe(1);
  expect(errors).toContain(
    `refused: topic ${topics.TOPICS_REPLICATION_CONFIG}: cleanup.policy is delete; set it to compact`,
  );
  expect(out).toContain('not created');
  expect(resultsOf(dryRun)).not.toContain('exists');
});

test('`generate` writes keyed JSON mutations, and Avro ones under a registered schema', async () => {
  const own = ownTopics();
  const topic = own.TOPICS_MUTATIONS ?? '';
  const topics = { ...own, KAFKA_SCHEMA_REGISTRY_URL: await sharedRegistry() };
  await createTopic(topic, { partitions: 3 });

  const json = await run(['generate', '--count', '700', '--seed', '1'], topics);
  const avro = await run(['generate', '--count', '20', '--encoding', 'avro'], topics);

  expect(json).toMatchObject({ code: 0, errors: expect.stringMatching(/^700 mutations, \d+\/s\n$/) });
  expect(avro).toMatchObject({ code: 0 });
  const records = await readAll(topic);
  const texts = records.filter(({ value }) => value?.[0] === 0x7b);
  expect(texts).toHaveLength(700);
  expect(records.filter(({ value }) => value?.[0] === 0)).toHaveLength(20);
  const partitionsOfUser = Map.groupBy(texts, ({ key }) => String(key));
  expect(
    [...partitionsOfUser.values()].every((of) => new Set(of.map(({ partition }) => partition)).size === 1),
  ).toBe(true);
  expect(texts.every(({ key, value }) => String(value).includes(`"user_point_id":"${String(key)}"`))).toBe(
    true,
  );
});

test('names the topic that is missing, and the broker that nobody answers at', async () => {
  const missing = await run(['generate', '--count', '1'], ownTopics());
  const nobody = await run(['topics', 'create'], { KAFKA_BROKERS: '127.0.0.1:1' });

  expect(missing).toMatchObject({ code: 1, errors: expect.stringContaining('`topics create` makes it') });
  expect(nobody).toMatchObject({ code: 1, errors: expect.stringContaining('KAFKA_BROKERS') });
});

test('`generate` ends with 0 when it is stopped, also when nobody reads its lines', async () => {
  const child = spawn(process.execPath, [BIN, 'generate', '--stdout', '--count', '0'], {
    env: { PATH: process.env.PATH },
  });
  await once(child.stdout, 'readable');
  child.kill('SIGTERM');

  expect(await once(child, 'exit')).toEqual([0, null]);
});

function resultsOf({ out }: Run): readonly string[] {
  const { topics } = JSON.parse(out) as { readonly topics: readonly { readonly result: string }[] };
  return topics.map(({ result }) => result);
}

function mutationsOf3(topics: Readonly<Record<string, string>>): object {
  return expect.objectContaining({ topic: topics.TOPICS_MUTATIONS, partitions: 3, replication_factor: 1 });
}
