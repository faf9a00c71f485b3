import { expect, jest, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { kafkaClient, produce } from '../support/kafka.ts';
import { Deployment } from '../support/processor-process.ts';

jest.setTimeout(120_000);

const BIN = join(import.meta.dirname, '../../bin.ts');
const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';

interface Run {
  readonly code: number | string | null | undefined;
  readonly out: string;
  readonly errors: string;
}

async function adopt(deployment: Deployment, ...args: readonly string[]): Promise<Run> {
  const { promise, resolve } = Promise.withResolvers<Run>();
  const env = { PATH: process.env.PATH, ...deployment.settings };
  execFile(process.execPath, [BIN, 'partitions', 'adopt', ...args], { env }, (error, out, errors) => {
    resolve({ code: error ? error.code : 0, out, errors });
  });
  return promise;
}

async function send(deployment: Deployment, ts: number, partition: number): Promise<void> {
  const value = `{"datamart_id":1649,"user_point_id":"${USER}","ts":${ts},"op":"UPDATE","doc_type":"UserPoint"}`;
  await produce(deployment.mutations, [{ key: USER, value, partition }]);
}

test('added partitions are held, over a restart too, until they are adopted', async () => {
  // One user in several partitions: rows of the snapshot couldn't be moved to where they belong.
  const environment = { SNAPSHOT_ENABLED: 'false' };
  await using deployment = await Deployment.create({ mutationTopics: [{ partitions: 2 }], environment });
  await deployment.configure({
    id: 'witness',
    type: 'FILE',
    status: 'ACTIVE',
    datamart_id: '1649',
    path: 'witness.jsonl',
  });
  const arrived = async (): Promise<readonly number[]> =>
    (await deployment.fileLines('witness.jsonl')).map((line) => (JSON.parse(line) as { ts: number }).ts);
  const first = await deployment.startReady();
  await send(deployment, 1, 0);
  await first.waitWhileRunning(async () => (await arrived()).length === 1, 'the first to arrive');
  expect(await adopt(deployment)).toMatchObject({ code: 2, errors: expect.stringContaining('--yes') });
  expect(await adopt(deployment, '--yes')).toMatchObject({
    code: 0,
    out: 'no mutation topic has partitions that wait to be adopted\n',
  });
  expect(await first.stop()).toBe(0);

  const admin = kafkaClient().admin();
  await admin.connect();
  await admin.createPartitions({ topicPartitions: [{ topic: deployment.mutations, count: 4 }] });
  const second = await deployment.startReady();
  await send(deployment, 2, 3);
  await send(deployment, 3, 1);
  await second.waitWhileRunning(async () => (await arrived()).includes(3), 'an old partition to go on');
  const blocked = await second.samples('partition_blocked');
  expect(blocked.map(({ labels }) => [labels.partition, labels.reason])).toEqual([
    ['2', 'not_adopted'],
    ['3', 'not_adopted'],
  ]);
  expect(await arrived()).toEqual([1, 3]);

  const looked = await adopt(deployment, '--dry-run', '--json');
  expect([looked.code, JSON.parse(looked.out)]).toEqual([
    0,
    { status: 'ok', topics: [{ topic: deployment.mutations, partitions: 4, pinned: 2, adopted: false }] },
  ]);
  expect(await adopt(deployment, '--yes')).toEqual({
    code: 0,
    errors: '',
    out: `topic ${deployment.mutations}: 2 partitions are worked on, 4 are there\nadopted: partitions 2 to 3 are worked on now\n`,
  });
  await second.waitWhileRunning(async () => (await arrived()).includes(2), 'the added partitions to be read');
  expect(await second.samples('partition_blocked')).toEqual([]);
  const [snapshot = ''] = deployment.topics.snapshots;
  const { topics } = await admin.fetchTopicMetadata({ topics: [snapshot] });
  await admin.disconnect();
  expect(topics[0]?.partitions).toHaveLength(4);
  expect(await second.stop()).toBe(0);
  await deployment.startReady();
});
