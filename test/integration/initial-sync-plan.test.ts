import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import { runCli } from '../../cli.ts';
import { HttpApi, tokensFileOf } from '../support/http-api.ts';
import { createTopic, produce, uniqueTopic } from '../support/kafka.ts';
import { Deployment, type ProcessorProcess } from '../support/processor-process.ts';
import { RecordedOutput } from '../support/recorded-output.ts';
import { waitFor } from '../support/wait-for.ts';

/* A real processor keeps the snapshot and delivers; plans and verifications of what it has made. */

jest.setTimeout(240_000);

const TOKEN = 'ops-0123456789abcdef';
const PLAN = '/v1/datamarts/1649/replication_job_executions/plan';
const USERS = 12;

type Fields = Readonly<Record<string, unknown>>;

interface Plan {
  readonly replications: Readonly<
    Record<
      string,
      Fields & { readonly gap: Fields | null; readonly messages: number; readonly bytes: number }
    >
  >;
}

let deployment: Deployment;
let processor: ProcessorProcess;
let topic: string;

const userOf = (n: number): string => `4700c85f-17e3-4304-aa7f-${String(n).padStart(12, '0')}`;

function mutation(n: number, fields: Fields): { key: string; value: string } {
  const user = userOf(n);
  const value = { datamart_id: 1649, user_point_id: user, ts: 1_676_627_112_685, op: 'UPDATE', ...fields };
  return { key: user, value: JSON.stringify(value) };
}

const segment = (n: number, fields: Fields = {}) =>
  mutation(n, { doc_type: 'UserSegment', segment_id: '12', value: { rank: n }, ...fields });

/** Runs a command line over the deployment's Kafka. */
async function cli(...args: readonly string[]): Promise<{ code: number; out: string; errors: string }> {
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  const code = await runCli({
    args,
    env: { ...deployment.settings },
    stdout,
    stderr,
    signals: new EventEmitter(),
    exit: () => undefined,
  });
  return { code, out: stdout.text, errors: stderr.text };
}

async function planned(...args: readonly string[]): Promise<Plan> {
  const { code, out, errors } = await cli('initial-sync', 'plan', '--datamart-id', '1649', '--json', ...args);
  expect({ code, errors }).toEqual({ code: 0, errors: '' });
  return JSON.parse(out) as Plan;
}

const verified = (id: string) => cli('initial-sync', 'verify', '--replication-id', id, '--json');

const FILE = { id: 'file', datamart_id: '1649', type: 'FILE', path: 'file.jsonl' };

/** Each user's point and segment, changed once; every third segment is deleted. */
beforeAll(async () => {
  topic = uniqueTopic('acme');
  deployment = await Deployment.create({
    mutationTopics: [{ partitions: 3 }],
    environment: { ROLES: 'replicate,api', INITIAL_SYNC_MAX_RATE: '2' },
  });
  await createTopic(topic, { partitions: 2 });
  await deployment.putCredentials('tokens.json', tokensFileOf(TOKEN));
  await deployment.configure(
    { ...FILE, status: 'ACTIVE' },
    {
      id: 'avro',
      datamart_id: '1649',
      type: 'KAFKA_TOPIC',
      topic,
      version: 2,
      status: 'ACTIVE',
      replication_filters: [{ document: 'USER_SEGMENT', filter: null }],
    },
  );
  processor = await deployment.startReady({
    HTTP_TOKENS_FILE: join(deployment.credentialsDirectory, 'tokens.json'),
  });
  const users = Array.from({ length: USERS }, (_, n) => n);
  await produce(deployment.mutations, [
    ...users.map((n) => mutation(n, { doc_type: 'UserPoint' })),
    ...users.map((n) => segment(n, { value: { rank: -1 } })),
    ...users.map((n) => segment(n)),
    ...users.filter((n) => n % 3 === 0).map((n) => segment(n, { op: 'DELETE' })),
    mutation(0, { datamart_id: 1650, doc_type: 'UserPoint' }),
  ]);
  await deployment.waitUntilDelivered(async () => (await deployment.fileLines('file.jsonl')).length === 40);
});

afterAll(async () => {
  await deployment[Symbol.asyncDispose]();
});

test('tells documents, messages, bytes and requests of what the processor has put into the snapshot', async () => {
  const { replications } = await planned();
  const lines = await deployment.fileLines('file.jsonl');
  const newest = new Map(
    lines.map((line) => {
      const { doc_type: type, doc_id: id, op } = JSON.parse(line) as Record<string, string>;
      return [`${type} ${id}`, op === 'DELETE' ? 0 : line.length];
    }),
  );

  expect(replications.file).toMatchObject({
    documents: { UserPoint: 12, UserSegment: 8 },
    messages: 20,
    bytes: [...newest.values()].reduce((sum, bytes) => sum + bytes, 0),
    requests: 3,
    seconds: 10,
    billed_bytes: null,
    deletions: {},
    gap: null,
  });
  expect(replications.avro).toMatchObject({ documents: { UserSegment: 8 }, messages: 8, seconds: 4 });
});

test('the same by the API, and at another rate', async () => {
  const { status, data } = await new HttpApi(processor.url, TOKEN).call('POST', PLAN, {});

  expect(status).toBe(200);
  expect(data).toEqual(await planned());
  expect((await planned('--rate', '4', '--replication-ids', 'file')).replications).toMatchObject({
    file: { messages: 20, seconds: 5 },
  });
});

test('for people', async () => {
  const { code, out } = await cli('initial-sync', 'plan', '--datamart-id', '1649');

  expect(code).toBe(0);
  expect(out).toMatch(/UserSegment +8 +8\n/);
  expect(out).toContain('time at 2 operations a second');
});

test.each([
  [['--replication-ids', 'nobody'], 'not_found'],
  [['--replication-ids', 'file,file'], 'invalid_replication_ids'],
])('is refused as a launch is: %j', async (args, words) => {
  const { code, out, errors } = await cli('initial-sync', 'plan', '--datamart-id', '1649', ...args);

  expect({ code, out }).toEqual({ code: 1, out: '' });
  expect(errors).toContain(words);
});

test('what was delivered is what the snapshot says', async () => {
  for (const id of ['file', 'avro']) {
    const { code, out } = await verified(id);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ is_equal: true, missing: 0, extra: 0, foreign: 0 });
  }
});

test('after a pause deletions are planned too, and verify finds what the pause left behind', async () => {
  await deployment.configure({ ...FILE, status: 'PAUSED' });
  await waitFor(
    async () =>
      (await cli('initial-sync', 'plan', '--datamart-id', '1649', '--replication-ids', 'file')).code === 1,
    { timeoutMs: 30_000, message: () => `the pause; ${processor.describe()}` },
  );
  await produce(deployment.mutations, [
    segment(1, { op: 'DELETE' }),
    segment(2, { value: { rank: 200 } }),
    mutation(USERS, { doc_type: 'UserPoint' }),
    // Something is missing from every partition.
    ...Array.from({ length: USERS }, (_, n) => mutation(n, { doc_type: 'UserPoint' })),
  ]);
  await deployment.waitUntilCommitted();
  await deployment.configure({ ...FILE, status: 'ACTIVE' });
  let plan: Plan = { replications: {} };
  await waitFor(
    async () => {
      const { code, out } = await cli('initial-sync', 'plan', '--datamart-id', '1649', '--json');
      if (code === 0) plan = JSON.parse(out) as Plan;
      return plan.replications.file?.gap?.offsets === '15';
    },
    { timeoutMs: 60_000, message: () => `a gap of 15, not ${JSON.stringify(plan)}; ${processor.describe()}` },
  );

  expect(plan.replications.file).toMatchObject({
    documents: { UserPoint: 13, UserSegment: 7 },
    deletions: { UserSegment: 5 },
    messages: 25,
    gap: { offsets: '15', since: expect.any(Number), older_than_tombstones: false },
  });
  expect(plan.replications.avro).toMatchObject({ messages: 7, deletions: {}, gap: null });
  const { code, out } = await verified('file');
  expect(code).toBe(1);
  expect(JSON.parse(out)).toMatchObject({ missing: 1, stale: 1, resurrected: 1, extra: 0 });
  expect((await verified('avro')).code).toBe(0);
});
