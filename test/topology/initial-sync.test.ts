import { afterEach, describe, expect, test } from '@jest/globals';
import { executionKey, resultKey } from '../../processors/initial-sync/execution-keys.ts';
import { parseCommitMetadata } from '../../streams/commit-metadata.ts';
import { unavailable } from '../support/scripted-sink.ts';
import {
  aMutation,
  EXECUTIONS,
  REQUESTS,
  SNAPSHOT,
  STATUS,
  TopologyTestDriver,
} from '../support/topology-test-driver.ts';

type Fields = Readonly<Record<string, unknown>>;

const PARTITIONS = [0, 1, 2, 3];
const drivers: TopologyTestDriver[] = [];

afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.close();
});

async function started(
  options: ConstructorParameters<typeof TopologyTestDriver>[0] = {},
): Promise<TopologyTestDriver> {
  const driver = new TopologyTestDriver({ hasSnapshot: true, ...options });
  drivers.push(driver);
  await driver.start(PARTITIONS);
  return driver;
}

const activity = (n: number, fields: Fields = {}) =>
  aMutation({ doc_type: 'UserActivity', user_activity_id: `a${n}`, value: { n, v: 1 }, ...fields });
const deletion = (n: number) => activity(n, { op: 'DELETE', value: undefined });

/** Three documents on two partitions, and one that was deleted: nobody wanted them. */
async function withSnapshot(driver: TopologyTestDriver): Promise<void> {
  for (const n of [1, 2, 4]) driver.produce(activity(n), n % 2);
  driver.produce(activity(3), 1);
  driver.produce(deletion(3), 1);
  await driver.run(2_000);
}

async function launch(driver: TopologyTestDriver, fields: Fields = {}, id = 'sync-1'): Promise<void> {
  const value = Buffer.from(JSON.stringify({ id, datamart_id: '1649', ...fields }));
  driver.kafka.append(REQUESTS, { key: Buffer.from(id), value });
  await driver.run(3_000);
}

function stored(driver: TopologyTestDriver, key: string, at = EXECUTIONS): Fields | null {
  const record = driver.kafka.log(at).findLast((candidate) => candidate.key?.toString() === key);
  return record?.value ? (JSON.parse(record.value.toString()) as Fields) : null;
}

/** What arrived at a replication, in order: document, operation and value. */
function arrived(driver: TopologyTestDriver, target: string): readonly string[] {
  return driver.sinks.received(target).map((text) => {
    const {
      doc_id: id,
      op,
      value,
    } = JSON.parse(text) as { doc_id: string; op: string; value: { v?: number } };
    return `${op} ${id.split(':')[1] ?? ''}${value.v === undefined ? '' : ` v${value.v}`}`;
  });
}

test('a replication gets every document that is there, and none that was deleted', async () => {
  const driver = await started();
  await withSnapshot(driver);
  await driver.configure('80', {});
  await driver.run(1_000);
  await launch(driver);

  expect([...arrived(driver, '80')].sort()).toEqual(['UPDATE a1 v1', 'UPDATE a2 v1', 'UPDATE a4 v1']);
  expect(stored(driver, resultKey('sync-1'))).toMatchObject({
    status: 'SUCCEEDED',
    result: {
      replications: { 80: { outcome: 'succeeded', documents: { UserActivity: 3 }, skipped_newer: 0 } },
    },
  });
  await driver.run(2_000);
  for (const partition of PARTITIONS)
    expect(
      parseCommitMetadata(driver.kafka.committed(driver.partition(partition))?.metadata ?? null).s,
    ).toEqual([]);
});

test('only those that were chosen get rows, and only of the documents that their filter selects', async () => {
  const driver = await started();
  driver.produce(aMutation());
  await withSnapshot(driver);
  await driver.configure('80', { replication_filters: [{ document: 'USER_ACTIVITY' }] });
  await driver.configure('81', {});
  await driver.run(1_000);
  await launch(driver, { replication_ids: ['80'] });

  expect(arrived(driver, '80')).toHaveLength(3);
  expect(arrived(driver, '81')).toEqual([]);
});

describe('a document that live mutations touch after the start', () => {
  test('is not overwritten by its row, and does not come back', async () => {
    const driver = await started();
    await withSnapshot(driver);
    await driver.configure('80', {});
    await driver.run(1_000);
    driver.sinks.script('80', unavailable);
    await launch(driver);
    driver.produce(activity(1, { value: { n: 1, v: 2 } }), 1);
    driver.produce(deletion(2), 0);
    await driver.run(1_000);
    driver.sinks.script('80', undefined);
    await driver.clock.advance(60_000);

    const last = new Map(arrived(driver, '80').map((text) => [text.split(' ')[1], text]));
    expect(Object.fromEntries(last)).toEqual({
      a1: 'UPDATE a1 v2',
      a2: 'DELETE a2',
      a4: 'UPDATE a4 v1',
    });
    expect(stored(driver, executionKey('sync-1'))).toMatchObject({ status: 'SUCCEEDED' });
  });
});

test('a new owner goes on with S and E of the first one, and does not send again what was delivered', async () => {
  const driver = await started();
  await withSnapshot(driver);
  await driver.configure('80', {});
  await driver.run(1_000);
  driver.sinks.script('80', (operations) =>
    operations.some((text) => text.includes(':a1')) ? unavailable() : null,
  );
  await launch(driver);
  const commit = parseCommitMetadata(driver.kafka.committed(driver.partition(1))?.metadata ?? null);
  expect(commit.s).toMatchObject([{ e: 'sync-1', l: 3, o: 2 }]);

  await driver.kill();
  const { kafka, clock, sinks } = driver;
  sinks.script('80', undefined);
  const next = await started({ kafka, clock, sinks });
  await next.quietTime();
  await next.run(5_000);

  expect(stored(next, executionKey('sync-1'))).toMatchObject({ status: 'SUCCEEDED' });
  expect([...arrived(next, '80')].sort()).toEqual(['UPDATE a1 v1', 'UPDATE a2 v1', 'UPDATE a4 v1']);
});

test('a budget holds the tasks at exactly so many operations, until it is raised', async () => {
  const driver = await started();
  for (let n = 0; n < 40; n += 1) driver.produce(activity(n), n % 4);
  await driver.run(2_000);
  await driver.configure('80', {});
  await driver.run(1_000);
  await launch(driver, { max_operations: 10 });
  await driver.run(10_000);

  expect(arrived(driver, '80')).toHaveLength(10);
  expect(stored(driver, executionKey('sync-1'))).toMatchObject({ status: 'RUNNING', held: 'budget' });

  await launch(driver, { max_operations: 1_000 });
  await driver.run(10_000);
  expect(arrived(driver, '80')).toHaveLength(40);
  expect(stored(driver, executionKey('sync-1'))).toMatchObject({ status: 'SUCCEEDED', held: null });
});

test('a budget that is left and suffices for no row holds the tasks too, and what it is raised by reaches them', async () => {
  const driver = await started();
  for (let n = 0; n < 40; n += 1) driver.produce(activity(n), n % 4);
  await driver.run(2_000);
  await driver.configure('80', {});
  await driver.configure('81', {});
  await driver.run(1_000);
  await launch(driver, { max_operations: 5 });
  await driver.run(10_000);

  expect([arrived(driver, '80').length, arrived(driver, '81').length]).toEqual([1, 1]);
  expect(stored(driver, executionKey('sync-1'))).toMatchObject({ status: 'RUNNING', held: 'budget' });

  await launch(driver, { max_operations: 1_000 });
  await driver.run(10_000);
  expect([arrived(driver, '80').length, arrived(driver, '81').length]).toEqual([40, 40]);
  expect(stored(driver, executionKey('sync-1'))).toMatchObject({ status: 'SUCCEEDED', held: null });
});

test('a replication that fails for good ends its part, the others go on', async () => {
  const driver = await started();
  await withSnapshot(driver);
  await driver.configure('80', {});
  await driver.configure('81', {});
  await driver.run(1_000);
  driver.sinks.script('80', unavailable);
  await launch(driver);
  await driver.configure('80', null);
  await driver.run(5_000);

  expect(arrived(driver, '81')).toHaveLength(3);
  expect(stored(driver, executionKey('sync-1'))).toMatchObject({
    status: 'SUCCEEDED',
    result: { total_failure: 1, replications: { 80: { outcome: 'deleted' }, 81: { outcome: 'succeeded' } } },
  });
});

test('a cancel stops it', async () => {
  const driver = await started();
  await withSnapshot(driver);
  await driver.configure('80', {});
  await driver.run(1_000);
  driver.sinks.script('80', unavailable);
  await launch(driver);
  await launch(driver, { cancel: true });
  driver.sinks.script('80', undefined);
  await driver.clock.advance(60_000);

  expect(arrived(driver, '80')).toEqual([]);
  expect(stored(driver, executionKey('sync-1'))).toMatchObject({ status: 'CANCELED' });
});

test('after a gap it also gets the deletions that the snapshot still knows of, and needs no other', async () => {
  const driver = await started();
  await driver.configure('80', {});
  await driver.run(1_000);
  for (const n of [1, 2]) driver.produce(activity(n), 1);
  await driver.run(2_000);
  await driver.configure('80', { status: 'PAUSED' });
  await driver.run(1_000);
  driver.produce(deletion(2), 1);
  driver.produce(activity(5), 1);
  await driver.run(2_000);
  await driver.configure('80', { status: 'ACTIVE', resume: 'NOW' });
  await driver.run(3_000);
  expect(stored(driver, 'replication/80/datamart-mutations/1', STATUS)).toMatchObject({
    gap: { from: '2', to: '4' },
  });

  await launch(driver);
  await driver.run(3_000);
  const last = new Map(arrived(driver, '80').map((text) => [text.split(' ')[1], text]));
  expect(Object.fromEntries(last)).toEqual({ a1: 'UPDATE a1 v1', a2: 'DELETE a2', a5: 'UPDATE a5 v1' });
  expect(stored(driver, 'replication/80/datamart-mutations/1', STATUS)?.gap ?? null).toBeNull();
});

test('a row whose document has an older row in the log is sent once it is dead no more', async () => {
  const driver = await started();
  driver.produce(activity(1), 1);
  await driver.run(1_000);
  driver.produce(deletion(1), 1);
  await driver.run(1_000);
  driver.produce(activity(1, { value: { n: 1, v: 3 } }), 1);
  await driver.run(2_000);
  expect(driver.kafka.log({ topic: SNAPSHOT, partition: 1 })).toHaveLength(3);
  await driver.configure('80', {});
  await driver.run(1_000);
  await launch(driver);

  expect(arrived(driver, '80').at(-1)).toBe('UPDATE a1 v3');
});
