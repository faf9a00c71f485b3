import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { startFakePubSub } from '../../local/fake-pubsub.ts';
import { jsonMutationWriter } from '../../local/mutation-writer.ts';
import { sampleMutations } from '../../local/sample-mutations.ts';
import { documentKey } from '../../schemas/document-key.ts';
import { JsonMutationDecoder } from '../../schemas/json-mutation-decoder.ts';
import { formatMutationSource } from '../../schemas/mutation-source.ts';
import { DELETE, MutationView } from '../../schemas/mutation.ts';
import { kafkaClient, produce, readAll } from '../support/kafka.ts';
import { Deployment, type ProcessorProcess } from '../support/processor-process.ts';

/* The snapshot on a real Kafka: kept by instances that are killed, verified, rebuilt, and grown. */

jest.setTimeout(240_000);

const BIN = join(import.meta.dirname, '../../bin.ts');
const PARTITIONS = 4;
const MUTATIONS = 6_000;
const HALF = MUTATIONS / 2;
const DATAMART_ID = '1649';
const VALUE_BYTES = 300;

interface Run {
  readonly code: number | string | null | undefined;
  readonly out: string;
  readonly errors: string;
}

function run(deployment: Deployment, ...args: readonly string[]): Promise<Run> {
  const { promise, resolve } = Promise.withResolvers<Run>();
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, ...deployment.settings };
  execFile(process.execPath, [BIN, ...args], { env, maxBuffer: 64 * 1024 * 1024 }, (error, out, errors) => {
    resolve({ code: error ? error.code : 0, out, errors });
  });
  return promise;
}

/** By document: the partition that it lies in, and its newest mutation's bytes and source; null when it was deleted. */
type Documents = Map<
  string,
  { readonly partition: number; readonly source: string; readonly value: string | null }
>;

/** What the mutations come to. */
async function foldOfMutations(topic: string, partitionCount: number): Promise<Documents> {
  const decoder = new JsonMutationDecoder();
  const view = new MutationView();
  const documents: Documents = new Map();
  for (const { partition, offset, value } of await readAll(topic)) {
    if (!value || decoder.decode(value, view, () => true) !== 'ok') continue;
    documents.set(documentKey(view), {
      partition,
      source: formatMutationSource({ partitionCount, partition, offset: Number(offset) }),
      value: view.op === DELETE ? null : value.toString('latin1'),
    });
  }
  return documents;
}

/** What the snapshot comes to; documents that have moved are where they have moved to. */
async function foldOfSnapshot(topic: string): Promise<Documents> {
  const documents: Documents = new Map();
  for (const { partition, key, value, headers } of await readAll(topic)) {
    if (headers.moved !== undefined) continue;
    const source = String(headers.source);
    documents.set(String(key), { partition, source, value: value?.toString('latin1') ?? null });
  }
  return documents;
}

describe('with samples of all document types', () => {
  let deployment: Deployment;
  let snapshot: string;
  let last: ProcessorProcess;
  const writer = jsonMutationWriter(DATAMART_ID);
  const samples = sampleMutations({
    seed: 6,
    users: 60,
    valueBytes: VALUE_BYTES,
    startTs: 1_763_900_000_000,
  });

  const send = async (count: number): Promise<void> => {
    const mutations = Array.from({ length: count }, () => samples.next().value);
    await produce(
      deployment.mutations,
      mutations.map((mutation) => ({ key: mutation.userPointId, value: writer(mutation) })),
    );
  };

  beforeAll(async () => {
    deployment = await Deployment.create({
      mutationTopics: [{ partitions: PARTITIONS }],
      environment: { DELIVERY_WINDOW_RECORDS: '100' },
    });
    [snapshot = ''] = deployment.topics.snapshots;
    await deployment.configure({
      id: 'f',
      type: 'FILE',
      status: 'ACTIVE',
      datamart_id: DATAMART_ID,
      path: 'f.jsonl',
    });
  });

  afterAll(async () => {
    await deployment?.[Symbol.asyncDispose]();
  });

  test('holds what the mutations come to, though its writer is killed in the middle', async () => {
    await send(HALF);
    const first = await deployment.startReady();
    await first.waitWhileRunning(
      async () => ((await first.metric('snapshot_records_total')) ?? 0) > HALF / 10,
      'some of the mutations to be in the snapshot',
    );
    first.kill();
    await first.exited;
    await deployment.expelDeadMembers();
    await send(HALF);
    last = await deployment.startReady();
    await deployment.waitUntilCommitted(60_000);

    const mutations = await foldOfMutations(deployment.mutations, PARTITIONS);
    expect(new Map(await foldOfSnapshot(snapshot))).toEqual(mutations);
    expect(mutations.size).toBeGreaterThan(500);
    expect(await last.samples('partition_blocked')).toEqual([]);
    expect(await run(deployment, 'snapshot', 'verify')).toMatchObject({
      code: 0,
      out: expect.stringContaining('the snapshot holds what the mutations say'),
    });
  });

  test('`snapshot verify` finds what is wrong, and `snapshot rebuild` mends it while the instance runs', async () => {
    const mutations = await foldOfMutations(deployment.mutations, PARTITIONS);
    const live = [...mutations].filter(([, { value }]) => value !== null);
    const [missing, stale] = live.filter(([, { source }]) => !source.endsWith('-00000000000000000000'));
    const resurrected = [...mutations].find(([, { value }]) => value === null);
    if (!missing || !stale || !resurrected) throw new Error('the samples have too few documents');
    const older = '00004-0-00000000000000000000';
    const at = ([key, { partition }]: typeof missing) => ({ key, partition });
    // As a late write of an old owner would leave it.
    await produce(snapshot, [
      { ...at(missing), value: null, headers: { source: older.replace('-0-', `-${missing[1].partition}-`) } },
      { ...at(stale), value: '{}', headers: { source: older.replace('-0-', `-${stale[1].partition}-`) } },
      {
        ...at(resurrected),
        value: '{}',
        headers: { source: older.replace('-0-', `-${resurrected[1].partition}-`) },
      },
    ]);
    const found = await run(deployment, 'snapshot', 'verify', '--json');
    expect(found.code).toBe(1);
    expect(JSON.parse(found.out)).toMatchObject({ differences: 3 });
    expect(found.out).not.toContain(missing[0].split('/')[2]);

    const rebuilt = await run(deployment, 'snapshot', 'rebuild', '--json');
    expect(rebuilt.code).toBe(0);
    const { partitions } = JSON.parse(rebuilt.out) as { partitions: { mended: number; stored: number }[] };
    expect(partitions.reduce((sum, { mended }) => sum + mended, 0)).toBe(3);
    expect(partitions.reduce((sum, { stored }) => sum + stored, 0)).toBeLessThanOrEqual(3);
    expect(await foldOfSnapshot(snapshot)).toEqual(mutations);
    expect((await run(deployment, 'snapshot', 'verify')).code).toBe(0);
  });

  test('when the mutation topic has more partitions, `partitions adopt` takes the documents along', async () => {
    const admin = kafkaClient().admin();
    await admin.connect();
    await admin.createPartitions({
      topicPartitions: [{ topic: deployment.mutations, count: 2 * PARTITIONS }],
    });
    await admin.disconnect();
    expect(await last.stop()).toBe(0);
    last = await deployment.startReady();
    const before = await foldOfSnapshot(snapshot);
    expect(await run(deployment, 'partitions', 'adopt', '--yes')).toMatchObject({
      code: 0,
      out: expect.stringContaining('adopted: partitions 4 to 7 are worked on now'),
    });
    const after = await foldOfSnapshot(snapshot);
    const contentOf = (documents: Documents): Map<string, unknown> =>
      new Map([...documents].map(([key, { source, value }]) => [key, { source, value }]));
    expect(contentOf(after)).toEqual(contentOf(before));
    const moved = [...after].filter(([key, { partition }]) => before.get(key)?.partition !== partition);
    expect(moved.length).toBeGreaterThan(50);
    for (const [key, { partition }] of moved)
      expect(partition).toBe((before.get(key)?.partition ?? 0) + PARTITIONS);

    await send(500);
    await last.waitWhileRunning(
      async () => (await deployment.progress()).every(({ committed, end }) => end === 0 || committed === end),
      'the added partitions to be worked on',
      60_000,
    );
    expect((await run(deployment, 'snapshot', 'verify')).code).toBe(0);
    // Where the mutations of a user come in now, all of the user's documents lie.
    const partitionOf = new Map<string, number>();
    for (const [key, { partition }] of await foldOfSnapshot(snapshot)) {
      const user = key.split('/')[2]?.slice(0, 36) ?? '';
      expect(partitionOf.get(user) ?? partition).toBe(partition);
      partitionOf.set(user, partition);
    }
    expect(await last.stop()).toBe(0);
  });
});

test('a snapshot that was lost is built from the mutations that there are', async () => {
  await using deployment = await Deployment.create({ mutationTopics: [{ partitions: 2 }] });
  const [snapshot = ''] = deployment.topics.snapshots;
  const writer = jsonMutationWriter(DATAMART_ID);
  const samples = sampleMutations({ seed: 7, users: 30, valueBytes: 100, startTs: 1_763_900_000_000 });
  await produce(
    deployment.mutations,
    Array.from({ length: 1_000 }, () => samples.next().value).map((mutation) => ({
      key: mutation.userPointId,
      value: writer(mutation),
    })),
  );
  expect(await run(deployment, 'snapshot', 'verify')).toMatchObject({ code: 1 });
  expect(await run(deployment, 'snapshot', 'rebuild')).toMatchObject({ code: 0, errors: '' });
  const live = (documents: Documents): Documents =>
    new Map([...documents].filter(([, { value }]) => value !== null));
  expect(await foldOfSnapshot(snapshot)).toEqual(live(await foldOfMutations(deployment.mutations, 2)));
  expect((await run(deployment, 'snapshot', 'verify')).code).toBe(0);

  const again = await run(deployment, 'snapshot', 'rebuild', '--json');
  expect(JSON.parse(again.out)).toMatchObject({
    complete: true,
    partitions: [
      { stored: 0, deleted: 0 },
      { stored: 0, deleted: 0 },
    ],
  });
});

test('a redrive sends what the snapshot still holds as its document’s newest, without --force, and nothing older', async () => {
  const pubsub = await startFakePubSub();
  await using stack = new AsyncDisposableStack();
  stack.defer(() => pubsub.stop());
  pubsub.createTopic('projects/acme/topics/users');
  pubsub.faults.rejectMessages(({ data }) => data.includes('"rejected"'));
  const deployment = stack.use(
    await Deployment.create({ environment: { PUBSUB_EMULATOR_HOST: pubsub.address } }),
  );
  await deployment.configure({
    id: '80',
    datamart_id: DATAMART_ID,
    type: 'GOOGLE_PUBSUB',
    version: 1,
    project_id: 'acme',
    topic_id: 'users',
    status: 'ACTIVE',
    credentials_uri: 'file:google.json',
  });
  const user = '4700c85f-17e3-4304-aa7f-dc140173b08d';
  const activity = (id: string, value: string) => ({
    key: user,
    value: `{"datamart_id":${DATAMART_ID},"user_point_id":"${user}","ts":1676627112685,"op":"UPDATE","doc_type":"UserActivity","user_activity_id":"${id}","value":${value}}`,
  });
  const process = await deployment.startReady();
  await produce(deployment.mutations, [
    activity('newest', '{"rejected":1}'),
    activity('other', '{"accepted":1}'),
    activity('superseded', '{"rejected":2}'),
    activity('superseded', '{"accepted":2}'),
  ]);
  await process.waitWhileRunning(
    async () => (await process.metric('dead_letters_total')) === 2,
    'the rejected ones to be dead letters',
  );
  await deployment.waitUntilCommitted();
  pubsub.faults.rejectMessages(null);
  const progress = join(deployment.fileDirectory, 'progress.jsonl');
  const redriven = await run(deployment, 'dead-letters', 'redrive', '--yes', '--progress-file', progress);

  expect(redriven.out).toContain('superseded');
  const rejected = pubsub.messages
    .map(({ data }) => data.toString())
    .filter((text) => text.includes('rejected'));
  expect(rejected.map((text) => (JSON.parse(text) as { doc_id: string }).doc_id)).toEqual([`${user}:newest`]);
  expect(await process.stop()).toBe(0);
});

test('start refuses a snapshot topic with another partition count than its mutation topic', async () => {
  await using deployment = await Deployment.create({ mutationTopics: [{ partitions: 2 }] });
  const [snapshot = ''] = deployment.topics.snapshots;
  const admin = kafkaClient().admin();
  await admin.connect();
  await admin.createPartitions({ topicPartitions: [{ topic: snapshot, count: 3 }] });
  await admin.disconnect();
  const process = await deployment.start();

  expect(await process.exited).toMatchObject({ code: 1 });
  expect(process.log()).toContain(`topic ${snapshot}: partitions is 3; it needs 2`);
});

test('commands that can’t be done say why', async () => {
  await using deployment = await Deployment.create();
  const off = await run(deployment, 'snapshot', 'rebuild', '--snapshot-enabled', 'false');
  expect(off).toMatchObject({ code: 2, errors: expect.stringContaining('SNAPSHOT_ENABLED: false') });
  const unknown = await run(deployment, 'snapshot', 'verify', '--topic', 'other');
  expect(unknown).toMatchObject({
    code: 2,
    errors: expect.stringContaining('--topic other: not in TOPICS_MUTATIONS'),
  });
});
