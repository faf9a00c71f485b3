import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Command } from 'commander';
import { EventEmitter } from 'node:events';
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { verifyCommand } from '../../commands/initial-sync/verify-command.ts';
import { createTopic, produce, uniqueTopic } from '../support/kafka.ts';
import { Deployment } from '../support/processor-process.ts';
import { RecordedOutput } from '../support/recorded-output.ts';
import { operationOf, snapshotKeyOf } from '../support/snapshot-rows.ts';

/* What is found wrong with destinations on a real Kafka; nothing is delivered, so that it is known what is there. */

jest.setTimeout(120_000);

const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';
const PARTITIONS = 3;

type Fields = Readonly<Record<string, unknown>>;

let deployment: Deployment;
let topics: Readonly<Record<'json' | 'avro', string>>;

interface Answer {
  readonly code: number;
  readonly out: string;
  readonly errors: string;
}

async function verify(...args: readonly string[]): Promise<Answer> {
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  let code = 0;
  const host = {
    args,
    env: { ...deployment.settings },
    stdout,
    stderr,
    signals: new EventEmitter(),
    exit: () => undefined,
  };
  const command = verifyCommand(host, (set) => {
    code = set;
  });
  await new Command('initial-sync').addCommand(command).parseAsync(['verify', ...args], { from: 'user' });
  return { code, out: stdout.text, errors: stderr.text };
}

interface Found {
  readonly code: number;
  readonly differences: readonly number[];
  readonly [field: string]: unknown;
}

async function verified(...args: readonly string[]): Promise<Found> {
  const { code, out, errors } = await verify('--json', ...args);
  expect(errors).toBe('');
  const found = JSON.parse(out) as Record<string, number>;
  const { missing = -1, stale = -1, resurrected = -1, extra = -1 } = found;
  return { ...found, code, differences: [missing, stale, resurrected, extra] };
}

function segment(id: number, fields: Fields = {}): Fields {
  return {
    datamart_id: 1649,
    user_point_id: USER,
    ts: 1_676_627_112_685,
    op: 'UPDATE',
    doc_type: 'UserSegment',
    segment_id: String(id),
    value: { rank: id },
    ...fields,
  };
}

/** The snapshot: five documents, two more that are deleted, an older row of one, and another datamart's. */
const SOURCE: readonly Fields[] = [
  segment(1, { value: { rank: 0 } }),
  ...[1, 2, 3, 4, 5, 6, 7].map((id) => segment(id)),
  segment(6, { op: 'DELETE' }),
  segment(7, { op: 'DELETE' }),
  segment(8, { datamart_id: 1650 }),
];

/** What a destination got when all is well: older values first, deletions too. */
const EVERYTHING: readonly Fields[] = [
  segment(2, { value: { rank: 0 } }),
  ...[1, 2, 3, 4, 5, 6].map((id) => segment(id)),
  segment(6, { op: 'DELETE' }),
  segment(9),
  segment(9, { op: 'DELETE' }),
];

/** One of each kind of difference. */
const FAULTS: readonly Fields[] = [
  segment(2, { op: 'DELETE' }),
  segment(3, { ts: 1_676_627_112_684 }),
  segment(4, { value: { rank: 40 } }),
  segment(7),
  segment(10),
];

const idOf = (offset: number): string => `0000${PARTITIONS}-1-${String(offset).padStart(20, '0')}`;

async function arrive(kind: 'json' | 'avro', operations: readonly Fields[]): Promise<void> {
  const version = kind === 'json' ? 1 : 2;
  await produce(
    topics[kind],
    operations.map((fields) => ({
      key: '3',
      value: operationOf(fields, version),
      headers: { doc_type: 'UserSegment' },
    })),
  );
}

beforeAll(async () => {
  topics = { json: uniqueTopic('acme-json'), avro: uniqueTopic('acme-avro') };
  deployment = await Deployment.create({ mutationTopics: [{ partitions: PARTITIONS }] });
  for (const topic of Object.values(topics)) await createTopic(topic, { partitions: 2 });
  const common = { datamart_id: '1649', status: 'ACTIVE' };
  await deployment.configure(
    { ...common, id: 'json', type: 'KAFKA_TOPIC', topic: topics.json },
    { ...common, id: 'avro', type: 'KAFKA_TOPIC', topic: topics.avro, version: 2 },
    { ...common, id: 'file', type: 'FILE', path: 'acme/file.jsonl' },
    {
      ...common,
      id: 'pubsub',
      type: 'GOOGLE_PUBSUB',
      version: 2,
      project_id: 'acme',
      topic_id: 'users',
      credentials_uri: 'file:google.json',
      metadata: ['message_id'],
    },
  );
  await produce(
    deployment.topics.snapshots[0] ?? '',
    SOURCE.map((fields) => ({
      key: snapshotKeyOf(fields),
      value: fields.op === 'DELETE' ? null : JSON.stringify(fields),
      partition: Number(fields.segment_id) % PARTITIONS,
    })),
  );
});

afterAll(async () => {
  await deployment[Symbol.asyncDispose]();
});

describe.each(['json', 'avro'] as const)('a topic of %s', (kind) => {
  test('is equal once everything has arrived', async () => {
    await arrive(kind, EVERYTHING);
    const found = await verified('--replication-id', kind);

    expect(found).toMatchObject({
      code: 0,
      is_equal: true,
      differences: [0, 0, 0, 0],
      arrived: 10,
      moved: false,
    });
    expect(found.documents).toEqual({
      UserSegment: { source: 5, destination: 5, missing: 0, stale: 0, resurrected: 0, extra: 0 },
    });
  });

  test('that lacks, keeps, brings back and invents documents is found out', async () => {
    const before = await verified('--replication-id', kind);
    await arrive(kind, FAULTS);
    const found = await verified('--replication-id', kind, '--show-keys');

    expect(found).toMatchObject({ code: 1, is_equal: false, differences: [1, 2, 1, 1] });
    expect(found.examples).toEqual(
      [
        ['missing', 2],
        ['stale', 3],
        ['stale', 4],
        ['resurrected', 7],
        ['extra', 10],
      ].map(([difference, id]) => ({
        difference,
        doc_type: 'UserSegment',
        document: expect.stringMatching(/^[0-9a-f]{16}$/),
        doc_id: `${USER}:${id}`,
      })),
    );
    expect(await verified('--replication-id', kind, '--until', String(before.until))).toMatchObject({
      code: 0,
    });
    expect(await verified('--replication-id', kind, '--passes', '3')).toMatchObject({
      code: 1,
      differences: [1, 2, 1, 1],
    });
  });
});

test('shows people a table, and no id of a user', async () => {
  const { code, out, errors } = await verify('--replication-id', 'json');

  expect(code).toBe(1);
  expect(errors).toBe('');
  expect(out).toMatch(/UserSegment +5 +6 +1 +2 +1 +1\n/);
  expect(out).toContain('1 missing, 2 stale, 1 resurrected, 1 extra');
  expect(out).not.toContain(USER);
});

test('a file is compared line by line, half a line among them', async () => {
  const path = join(deployment.fileDirectory, 'acme/file.jsonl');
  await mkdir(join(deployment.fileDirectory, 'acme'));
  await writeFile(path, EVERYTHING.map((fields) => `${operationOf(fields, 1).toString()}\n`).join(''));
  await appendFile(path, '{"ts":16766271126\n');
  expect(await verified('--replication-id', 'file')).toMatchObject({ code: 0, foreign: 1 });

  await appendFile(path, `${operationOf(segment(5, { op: 'DELETE' }), 1).toString()}\n`);
  expect(await verified('--replication-id', 'file')).toMatchObject({ code: 1, differences: [1, 0, 0, 0] });
});

test('an export is compared, by message id in any order', async () => {
  const path = join(deployment.fileDirectory, 'export.jsonl');
  const lines = EVERYTHING.map((fields, offset) =>
    JSON.stringify({
      data: operationOf(fields, 2).toString('base64'),
      attributes: { doc_type: 'UserSegment', message_id: idOf(offset) },
    }),
  );
  await writeFile(path, lines.toReversed().join('\n'));

  expect(await verified('--replication-id', 'pubsub', '--from', path, '--by', 'message_id')).toMatchObject({
    code: 0,
    folded_by: 'message_id',
  });
  expect(await verified('--replication-id', 'pubsub', '--from', path)).toMatchObject({
    code: 1,
    differences: [0, 1, 1, 1],
  });
});

test.each([
  [['--replication-id', 'pubsub'], 2, '--from: not given'],
  [['--replication-id', 'nobody'], 2, 'there is no replication nobody'],
  [['--replication-id', 'json', '--until', 'other/0:5'], 2, "other/0 isn't read"],
  [['--replication-id', 'json', '--until', 'odd'], 2, '--until: allowed is'],
  [['--replication-id', 'json', '--from', '/nowhere/export.jsonl'], 1, 'ENOENT'],
  [['--replication-id', 'json', '--by', 'message_id'], 1, 'message_id'],
])('says what is wrong: %j', async (args, code, words) => {
  const answer = await verify(...args);

  expect(answer.code).toBe(code);
  expect(answer.errors).toContain(words);
  expect(answer.out).toBe('');
});
