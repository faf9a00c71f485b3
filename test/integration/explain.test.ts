import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { runCli } from '../../cli.ts';
import { startFakePubSub, type FakePubSub } from '../../local/fake-pubsub.ts';
import { kafkaClient, produce } from '../support/kafka.ts';
import { Deployment, type ProcessorProcess } from '../support/processor-process.ts';
import { RecordedOutput } from '../support/recorded-output.ts';
import { waitFor } from '../support/wait-for.ts';

/* What the real Kafka holds of mutations that a real processor has worked on. */

jest.setTimeout(180_000);

const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';
const TOPIC = 'projects/acme/topics/users';
const MARK = 'rejected-at-the-destination';

let pubsub: FakePubSub;
let deployment: Deployment;
let processor: ProcessorProcess;

interface Answer {
  readonly code: number;
  readonly out: string;
  readonly errors: string;
}

/** `replications explain` as an operator calls it. */
async function explain(args: readonly string[], input = ''): Promise<Answer> {
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  const code = await runCli({
    args: ['replications', 'explain', ...args],
    env: { ...deployment.settings },
    stdout,
    stderr,
    stdin: Readable.from([input]),
    signals: new EventEmitter(),
    exit: () => undefined,
  });
  return { code, out: stdout.text, errors: stderr.text };
}

const at = (offset: number, ...more: readonly string[]): Promise<Answer> =>
  explain(['--topic', deployment.mutations, '--partition', '0', '--offset', String(offset), ...more]);

interface Explained {
  readonly record: string;
  readonly doc_type: string | null;
  readonly replications: readonly Readonly<Record<string, unknown>>[];
}

async function explained(offset: number): Promise<Explained> {
  const { code, out } = await at(offset, '--json');
  expect(code).toBe(0);
  return JSON.parse(out) as Explained;
}

function mutation(fields: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    datamart_id: 1649,
    user_point_id: USER,
    ts: 1_676_627_112_685,
    op: 'UPDATE',
    doc_type: 'UserPoint',
    ...fields,
  });
}

const send = (...values: readonly (string | null)[]): Promise<void> =>
  produce(
    deployment.mutations,
    values.map((value) => ({ key: USER, value, partition: 0 })),
  );

/** 0 delivered, 1 rejected at Pub/Sub, 2 ignored, 3 without value, 4 undecodable, 5 of another datamart, 6 written in the pause. */
beforeAll(async () => {
  pubsub = await startFakePubSub();
  pubsub.createTopic(TOPIC);
  pubsub.faults.rejectMessages(({ data }) => data.includes(MARK));
  deployment = await Deployment.create({ environment: { PUBSUB_EMULATOR_HOST: pubsub.address } });
  await deployment.configure(
    { id: 'file', type: 'FILE', path: 'file.jsonl', datamart_id: '1649', status: 'ACTIVE' },
    {
      id: 'users',
      type: 'GOOGLE_PUBSUB',
      version: 1,
      project_id: 'acme',
      topic_id: 'users',
      credentials_uri: 'file:google.json',
      datamart_id: '1649',
      status: 'ACTIVE',
    },
    {
      id: 'e-mails',
      type: 'FILE',
      path: 'e-mails.jsonl',
      datamart_id: '1649',
      status: 'ACTIVE',
      replication_filters: [{ document: 'USER_EMAIL', filter: null }],
    },
  );
  processor = await deployment.startReady();
  await processor.waitWhileRunning(
    async () => (await processor.metric('replication_state', { state: 'ACTIVE' })) === 3,
    'all to be ACTIVE',
  );
  await send(
    mutation(),
    mutation({ doc_type: 'UserActivity', user_activity_id: 'a', value: { $name: MARK } }),
    mutation({ doc_type: 'UserChoice' }),
    null,
    mutation({ op: 'REPLACE' }),
    mutation({ datamart_id: 1650 }),
  );
  await deployment.waitUntilDelivered(async () => (await deployment.fileLines('file.jsonl')).length === 2);
  await waitFor(async () => (await processor.metric('dead_letters_total')) === 2, {
    message: 'two dead letters',
  });
  await deployment.configure({
    id: 'users',
    type: 'GOOGLE_PUBSUB',
    version: 1,
    project_id: 'acme',
    topic_id: 'users',
    credentials_uri: 'file:google.json',
    datamart_id: '1649',
    status: 'PAUSED',
  });
  await processor.waitWhileRunning(
    async () =>
      (await processor.metric('replication_state', { replication_id: 'users', state: 'PAUSED' })) === 1,
    'the pause',
  );
  await send(mutation());
  await deployment.waitUntilDelivered(async () => (await deployment.fileLines('file.jsonl')).length === 3);
});

afterAll(async () => {
  await deployment?.[Symbol.asyncDispose]();
  await pubsub?.stop();
});

test('one that was delivered, and one that the filter left out', async () => {
  const { replications, ...record } = await explained(0);

  expect(record).toMatchObject({ record: 'mutation', doc_type: 'UserPoint' });
  expect(replications).toMatchObject([
    { replication_id: 'e-mails', result: 'not_sent', reason: 'filter', certain: true },
    { replication_id: 'file', result: 'sent', reason: 'delivered', certain: true },
    { replication_id: 'users', state: 'PAUSED', result: 'unknown', reason: 'before_position' },
  ]);
});

test('one that a destination rejected is found in the dead letters', async () => {
  const { replications } = await explained(1);

  expect(replications.find(({ replication_id: id }) => id === 'users')).toMatchObject({
    result: 'not_sent',
    reason: 'dead_lettered',
    dead_letter: { reason: 'rejected', time: expect.any(Number) },
  });
  expect(replications.find(({ replication_id: id }) => id === 'file')).toMatchObject({ result: 'sent' });
});

test('those that nobody gets', async () => {
  expect(await explained(2)).toMatchObject({ record: 'ignored', replications: [] });
  expect(await explained(3)).toMatchObject({ record: 'tombstone', replications: [] });
  expect(await explained(4)).toMatchObject({
    record: 'undecodable',
    reason: 'unknown_op',
    message: expect.stringContaining('It is a dead letter since'),
  });
  expect(await explained(5)).toMatchObject({
    record: 'mutation',
    message: expect.stringContaining('no replication is configured for datamart 1650'),
  });
});

test('one that was written while a replication is PAUSED', async () => {
  const { replications } = await explained(6);

  expect(replications.find(({ replication_id: id }) => id === 'users')).toMatchObject({
    result: 'not_sent',
    reason: 'paused',
    certain: true,
    position: expect.any(String),
  });
});

test('in words, for one replication, without user and payload', async () => {
  const { code, out } = await explain(['users', '--partition', '0', '--offset', '1']);

  expect(code).toBe(0);
  expect(out).toContain(`${deployment.mutations}/0 offset 1: UPDATE UserActivity; written 20`);
  expect(out).toMatch(/^users +users +PAUSED +not sent +/m);
  expect(out).not.toContain('e-mails');
  expect(out).not.toContain(USER);
  expect(out).not.toContain(MARK);
});

test('one that is pasted, by file and by standard input', async () => {
  const file = join(deployment.fileDirectory, 'mutation.json');
  await writeFile(file, mutation());

  const byFile = await explain(['--mutation', file]);
  const byInput = await explain(['file', '--mutation', '-', '--json'], mutation());

  expect(byFile.out).toMatch(/^file +file +ACTIVE +will be sent +/m);
  expect(JSON.parse(byInput.out)).toMatchObject({
    topic: null,
    record: 'mutation',
    replications: [{ replication_id: 'file' }],
  });
});

test('what isn’t there is said with a code, and ends with 1', async () => {
  expect(await at(1_000)).toMatchObject({
    code: 1,
    errors: expect.stringMatching(/offset 1000 .*\(not_found, offset\)/),
  });
  expect(await at(0, 'none')).toMatchObject({
    code: 1,
    errors: expect.stringContaining('there is no replication none'),
  });
  const elsewhere = ['--topic', 'foreign', '--partition', '0', '--offset', '0', '--json'];
  const { code, errors } = await explain(elsewhere);
  expect(code).toBe(1);
  expect(JSON.parse(errors)).toMatchObject({ code: 'invalid_parameter', field: 'topic' });
});

test('one that retention has taken', async () => {
  const admin = kafkaClient(deployment.brokers).admin();
  await admin.connect();
  // kafkajs deletes only in topics that it has looked at.
  await admin.fetchTopicOffsets(deployment.mutations);
  await admin.deleteTopicRecords({
    topic: deployment.mutations,
    partitions: [{ partition: 0, offset: '2' }],
  });
  await admin.disconnect();

  expect(await explained(0)).toMatchObject({ record: 'gone', doc_type: null });
});
