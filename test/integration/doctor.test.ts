import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { startFakePubSub, type FakePubSub } from '../../local/fake-pubsub.ts';
import { kafkaClient } from '../support/kafka.ts';
import { Deployment, type ProcessorProcess } from '../support/processor-process.ts';
import { sharedRegistry } from '../support/registry.ts';

/* The command as an operator runs it, beside a running processor, on the real Kafka. */

jest.setTimeout(180_000);

const BIN = join(import.meta.dirname, '../../bin.ts');
/** `ConfigResourceTypes.TOPIC` */
const TOPIC_RESOURCE = 2;

let pubsub: FakePubSub;
let deployment: Deployment;
let processor: ProcessorProcess;

interface Run {
  readonly code: number | string | null | undefined;
  readonly out: string;
  readonly errors: string;
}

interface Report {
  readonly status: string;
  readonly checks: readonly {
    readonly group: string;
    readonly name: string;
    readonly result: string;
    readonly message: string;
    readonly remedy: string | null;
  }[];
}

type Environment = Readonly<Record<string, string>>;

const doctor = (args: readonly string[], environment: Environment = {}): Promise<Run> =>
  run(['doctor', ...args], environment);

function run(args: readonly string[], environment: Environment): Promise<Run> {
  const { promise, resolve } = Promise.withResolvers<Run>();
  const env = { PATH: process.env.PATH, ...deployment.settings, ...environment };
  execFile(process.execPath, [BIN, ...args], { env }, (error, out, errors) => {
    resolve({ code: error ? error.code : 0, out, errors });
  });
  return promise;
}

/** A registry that asks for a user and password, before the one at `url`. Resolves with its address. */
async function guardedRegistry(url: string, user: string, stack: AsyncDisposableStack): Promise<string> {
  const expected = `Basic ${Buffer.from(user).toString('base64')}`;
  const server = createServer((request, response) => {
    const forward = async (): Promise<void> => {
      const { method = 'GET', headers } = request;
      const body = method === 'POST' ? { body: await readText(request) } : {};
      const type = headers['content-type'] ?? 'application/json';
      const answer = await fetch(url + request.url, { method, headers: { 'content-type': type }, ...body });
      response.statusCode = answer.status;
      response.end(await answer.text());
    };
    response.setHeader('connection', 'close');
    if (request.headers.authorization === expected)
      forward().catch((error: unknown) => response.destroy(error as Error));
    else response.writeHead(401).end('{"error_code":40101,"message":"Unauthorized"}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(async () => {
    server.close();
    await once(server, 'close');
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const failedOf = ({ out }: Run): Report['checks'] =>
  (JSON.parse(out) as Report).checks.filter(({ result }) => result === 'failed');

beforeAll(async () => {
  pubsub = await startFakePubSub();
  deployment = await Deployment.create({
    mutationTopics: [{ partitions: 2 }],
    environment: { PUBSUB_EMULATOR_HOST: pubsub.address },
  });
  await deployment.configure({
    id: 'file',
    type: 'FILE',
    path: 'file.jsonl',
    datamart_id: '1649',
    status: 'ACTIVE',
  });
  processor = await deployment.startReady();
  await processor.waitWhileRunning(
    async () => (await processor.metric('replication_state', { state: 'ACTIVE' })) === 1,
    'the replication to be ACTIVE',
  );
});

afterAll(async () => {
  await deployment?.[Symbol.asyncDispose]();
  await pubsub?.stop();
});

test('of a system that is well, everything is looked at, and it ends with 0', async () => {
  const run = await doctor(['--json']);

  const { status, checks } = JSON.parse(run.out) as Report;
  expect(run).toMatchObject({ code: 0, errors: '' });
  expect(status).toBe('ok');
  expect(failedOf(run)).toEqual([]);
  const okIn = (group: string): number =>
    checks.filter((check) => check.group === group && check.result === 'ok').length;
  // All but the two that nobody can answer here: a registry, and keys.
  expect(
    [
      'settings',
      'brokers',
      'tables',
      'topics',
      'rights',
      'group',
      'clock',
      'destinations',
      'replications',
    ].filter((group) => okIn(group) === 0),
  ).toEqual([]);
  expect(
    checks.find(({ group, name }) => group === 'group' && name === deployment.groupId)?.message,
  ).toContain('stable, 1 members');
});

test('in words, without colours where nobody sees them', async () => {
  const { code, out } = await doctor([]);

  expect(code).toBe(0);
  expect(out).toMatch(/^destinations\n {2}ok {7}file +FILE: can be used$/m);
  expect(out).toMatch(/\d+ ok, \d+ warning, \d+ skipped\n$/);
  expect(out).not.toContain('\u001b');
});

test('what is broken is told with its remedy, and it ends with 1', async () => {
  const { replicationConfig } = deployment.topics;
  const admin = kafkaClient(deployment.brokers).admin();
  await admin.connect();
  const setPolicy = (value: string): Promise<unknown> =>
    admin.alterConfigs({
      validateOnly: false,
      resources: [
        { type: TOPIC_RESOURCE, name: replicationConfig, configEntries: [{ name: 'cleanup.policy', value }] },
      ],
    });
  await setPolicy('delete');
  await deployment.configure(
    {
      id: 'users',
      type: 'GOOGLE_PUBSUB',
      project_id: 'acme',
      topic_id: 'missing',
      credentials_uri: 'file:google.json',
      datamart_id: '1649',
      status: 'ACTIVE',
    },
    { id: 'refused', type: 'FILE', path: '../outside', datamart_id: '1649' },
  );
  await processor.waitWhileRunning(
    async () => (await processor.metric('replication_state', { state: 'ERROR' })) === 1,
    'the activation to fail',
  );

  const run = await doctor(['--json'], { KAFKA_SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1' });
  await setPolicy('compact');
  await admin.disconnect();

  expect(run.code).toBe(1);
  expect(failedOf(run)).toMatchObject([
    {
      group: 'topics',
      name: replicationConfig,
      message: expect.stringContaining('cleanup.policy is delete'),
      remedy: expect.stringContaining('cleanup.policy=compact'),
    },
    { group: 'registry', remedy: expect.stringContaining('KAFKA_SCHEMA_REGISTRY_URL') },
    { group: 'destinations', name: 'users', message: expect.stringContaining('not_found') },
    { group: 'replications', name: 'users', message: expect.stringContaining('ERROR since') },
  ]);
  expect((JSON.parse(run.out) as Report).checks).toContainEqual(
    expect.objectContaining({ group: 'replications', name: 'refused', result: 'warning' }),
  );
});

test('a schema registry: before and after its schema is there, and with a wrong password', async () => {
  await using stack = new AsyncDisposableStack();
  const url = await guardedRegistry(await sharedRegistry(), 'doctor:right', stack);
  const settings = { KAFKA_SCHEMA_REGISTRY_URL: url, KAFKA_SCHEMA_REGISTRY_USERNAME: 'doctor' };
  const right = { ...settings, KAFKA_SCHEMA_REGISTRY_PASSWORD: 'right' };
  const wrong = { ...settings, KAFKA_SCHEMA_REGISTRY_PASSWORD: 'guessed' };
  const registryIn = async (environment: Environment) => {
    const { out } = await doctor(['--json', '--replication-id', 'file'], environment);
    expect(out).not.toContain('guessed');
    return (JSON.parse(out) as Report).checks.filter(({ group }) => group === 'registry');
  };

  expect(await registryIn(right)).toMatchObject([
    {
      name: `${deployment.mutations}-value`,
      result: 'warning',
      remedy: expect.stringContaining('--register-schema'),
    },
  ]);
  expect(await run(['topics', 'create', '--register-schema', '--json'], right)).toMatchObject({ code: 0 });
  expect(await registryIn(right)).toMatchObject([
    { result: 'ok', message: expect.stringMatching(/^version 1, schema \d+: .* the published schema fits$/) },
  ]);
  expect(await registryIn(wrong)).toMatchObject([
    { result: 'failed', message: expect.stringContaining('the registry answered 401: user or password') },
  ]);
});

test('of one replication only that one is tried', async () => {
  const run = await doctor(['--json', '--replication-id', 'file']);

  const { checks } = JSON.parse(run.out) as Report;
  expect(run.code).toBe(0);
  expect(checks.filter(({ group }) => group === 'destinations').map(({ name }) => name)).toEqual(['file']);
});

test('a broker that isn’t there ends it with 1, soon', async () => {
  const run = await doctor(['--json'], { KAFKA_BROKERS: '127.0.0.1:1' });

  expect(run.code).toBe(1);
  expect(failedOf(run)).toMatchObject([{ group: 'brokers', name: '127.0.0.1:1' }]);
});

test('without brokers, and with flags that contradict each other, it ends with 2', async () => {
  expect(await doctor([], { KAFKA_BROKERS: '' })).toMatchObject({
    code: 2,
    errors: expect.stringContaining('KAFKA_BROKERS'),
  });
  expect(await doctor(['--all', '--replication-id', 'file'])).toMatchObject({ code: 2 });
});
