import { afterEach, describe, expect, test } from '@jest/globals';
import { executionKey, resultKey } from '../../processors/initial-sync/execution-keys.ts';
import { SinkError, type SendOutcome } from '../../sinks/sink.ts';
import { parseCommitMetadata } from '../../streams/commit-metadata.ts';
import type { ProducedRecord } from '../../streams/kafka-port.ts';
import { rejected, unavailable } from '../support/scripted-sink.ts';
import {
  aMutation,
  DEAD_LETTERS,
  EXECUTIONS,
  REQUESTS,
  SNAPSHOT,
  STATUS,
  TopologyTestDriver,
} from '../support/topology-test-driver.ts';

type Fields = Readonly<Record<string, unknown>>;

const PARTITIONS = [0, 1, 2, 3];
const OTHER_USER = '95772db3-e762-45da-8cf1-4893debffae7';
/** When another replication was made. */
const TS_OF_ANOTHER = 1_900_000_000_000;
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

/** The next owner after one that was killed, once it may send. */
async function successorOf({ kafka, clock, sinks }: TopologyTestDriver): Promise<TopologyTestDriver> {
  const next = await started({ kafka, clock, sinks });
  await next.quietTime();
  return next;
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

test('what was read of the snapshot is released, so that its bytes are used again', async () => {
  const driver = await started();
  await withSnapshot(driver);
  await driver.configure('80', {});
  await driver.run(1_000);
  await launch(driver);

  expect(stored(driver, resultKey('sync-1'))).toMatchObject({ status: 'SUCCEEDED' });
  expect(driver.kafka.unreleased(SNAPSHOT)).toBe(0);
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
  driver.sinks.script('80', undefined);
  const next = await successorOf(driver);
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

describe('a replication', () => {
  const denied = (): SendOutcome => ({
    delivered: 0,
    failure: new SinkError('fatal', 'permission_denied', 'publishing is not allowed', {
      remedy: 'grant the role',
    }),
  });

  test.each([
    ['that fails for good', 'error', denied, () => Promise.resolve()],
    ['that is deleted', 'deleted', unavailable, (driver) => driver.configure('80', null)],
    [
      'that is made anew under its id',
      'deleted',
      unavailable,
      (driver) => driver.configure('80', { created: TS_OF_ANOTHER }),
    ],
  ] as const satisfies readonly (readonly [
    string,
    string,
    () => SendOutcome,
    (driver: TopologyTestDriver) => Promise<void>,
  ])[])('%s ends its part, the others go on', async (_, outcome, answer, change) => {
    const driver = await started();
    await withSnapshot(driver);
    await driver.configure('80', {});
    await driver.configure('81', {});
    await driver.run(1_000);
    driver.sinks.script('80', answer);
    await launch(driver);
    await change(driver);
    await driver.run(60_000);

    expect(arrived(driver, '80')).toEqual([]);
    expect([...arrived(driver, '81')].sort()).toEqual(['UPDATE a1 v1', 'UPDATE a2 v1', 'UPDATE a4 v1']);
    expect(stored(driver, executionKey('sync-1'))).toMatchObject({
      status: 'SUCCEEDED',
      result: { total_failure: 1, replications: { 80: { outcome }, 81: { outcome: 'succeeded' } } },
    });
  });

  test('that is made anew under its id before a new owner begins anew ends its part, the others go on', async () => {
    const driver = await started();
    await withSnapshot(driver);
    for (const id of ['80', '81']) await driver.configure(id, {});
    await driver.run(1_000);
    for (const id of ['80', '81']) driver.sinks.script(id, unavailable);
    await launch(driver);
    await driver.kill();
    await driver.configure('80', null);
    await driver.configure('80', { created: TS_OF_ANOTHER });
    const { kafka, sinks } = driver;
    // What travelled with the offsets is lost, and with it where the tasks were.
    for (const partition of PARTITIONS) {
      const at = driver.partition(partition);
      const { offset } = kafka.committed(at) ?? {};
      if (offset !== undefined) kafka.setCommitted(at, offset, '');
    }
    for (const id of ['80', '81']) sinks.script(id, undefined);
    const next = await successorOf(driver);
    await next.run(5_000);

    expect(stored(next, executionKey('sync-1'))).toMatchObject({
      status: 'SUCCEEDED',
      result: { replications: { 80: { outcome: 'deleted' }, 81: { outcome: 'succeeded' } } },
    });
  });

  test('that is detached waits, and goes on when it has caught up; the others are through long before', async () => {
    const driver = await started();
    await withSnapshot(driver);
    await driver.configure('80', {});
    await driver.configure('81', {});
    await driver.run(1_000);
    driver.sinks.script('80', unavailable);
    driver.produce(activity(5), 1);
    await launch(driver, { max_operations: 1 });
    await driver.run(40_000);
    expect(stored(driver, 'replication/80', STATUS)).toMatchObject({ state: 'DETACHED' });
    await launch(driver, { max_operations: 100 });
    await driver.run(10_000);
    expect(new Set(arrived(driver, '81')).size).toBe(4);
    expect(stored(driver, executionKey('sync-1'))).toMatchObject({ status: 'RUNNING', held: 'destination' });

    driver.sinks.script('80', undefined);
    await driver.clock.advance(90_000);
    expect([...new Set(arrived(driver, '80'))].sort()).toEqual([
      'UPDATE a1 v1',
      'UPDATE a2 v1',
      'UPDATE a4 v1',
      'UPDATE a5 v1',
    ]);
    expect(stored(driver, executionKey('sync-1'))).toMatchObject({
      status: 'SUCCEEDED',
      held: null,
      result: { total_failure: 0 },
    });
  });

  test('that rejects a row has it among the dead letters, and everything else', async () => {
    const driver = await started();
    await withSnapshot(driver);
    await driver.configure('80', {});
    await driver.run(1_000);
    driver.sinks.script('80', (operations) =>
      operations.some((text) => text.includes(':a2"')) ? rejected() : null,
    );
    await launch(driver);

    expect([...arrived(driver, '80')].sort()).toEqual(['UPDATE a1 v1', 'UPDATE a4 v1']);
    expect(driver.kafka.log(DEAD_LETTERS)).toHaveLength(1);
    expect(stored(driver, executionKey('sync-1'))).toMatchObject({
      status: 'SUCCEEDED',
      result: { replications: { 80: { documents: { UserActivity: 2 }, rejected: 1 } } },
    });
  });
});

test('live mutations come first: while one waits for its delivery, no row is sent', async () => {
  const driver = await started();
  for (let n = 0; n < 40; n += 1) driver.produce(activity(n), n % 4);
  await driver.run(2_000);
  await driver.configure('80', {});
  await driver.run(1_000);
  await launch(driver, { max_operations: 4 });
  const answer = Promise.withResolvers<SendOutcome>();
  driver.sinks.script('80', (operations) =>
    operations.some((text) => text.includes(':a99"')) ? answer.promise : null,
  );
  for (const partition of PARTITIONS) driver.produce(activity(99), partition);
  await driver.run(1_000);
  await launch(driver, { max_operations: 1_000 });

  expect(arrived(driver, '80')).toHaveLength(4);
  expect(stored(driver, executionKey('sync-1'))).toMatchObject({ status: 'RUNNING', held: 'live' });

  answer.resolve({ delivered: 1, failure: null });
  await driver.run(10_000);
  expect(new Set(arrived(driver, '80')).size).toBe(41);
  expect(stored(driver, executionKey('sync-1'))).toMatchObject({ status: 'SUCCEEDED', held: null });
});

test('the rate holds for every replication, and for all tasks together', async () => {
  const driver = await started({ maxRate: 8 });
  for (let n = 0; n < 80; n += 1) driver.produce(activity(n), n % 4);
  await driver.run(2_000);
  for (const id of ['80', '81']) await driver.configure(id, {});
  await driver.run(1_000);
  await launch(driver);
  const counts = () => ['80', '81'].map((id) => arrived(driver, id).length);
  const before = counts();
  await driver.run(5_000);

  expect(counts()).toEqual(before.map((count) => count + 40));
  await driver.run(10_000);
  expect(counts()).toEqual([80, 80]);
});

test('rows are as they were stored: merges too, with the `ts` of their mutation', async () => {
  const driver = await started();
  driver.produce(activity(1, { ts: 1_500_000_000_001 }));
  driver.produce(
    aMutation({ doc_type: 'UserPointParent', ts: 1_500_000_000_002, kept_user_point_id: OTHER_USER }),
  );
  await driver.run(2_000);
  await driver.configure('80', {});
  await driver.run(1_000);
  await launch(driver);

  const operations = driver.sinks.received('80').map((text) => JSON.parse(text) as Fields);
  expect(operations).toMatchObject([
    { op: 'UPDATE', doc_type: 'UserActivity', ts: 1_500_000_000_001, value: { n: 1, v: 1 } },
    { op: 'UPDATE', doc_type: 'UserPointParent', ts: 1_500_000_000_002 },
  ]);
  expect(JSON.stringify(operations[1]?.value)).toContain(OTHER_USER);
});

test('two datamarts are synchronized side by side, each with its own documents', async () => {
  const driver = await started();
  await withSnapshot(driver);
  for (const n of [6, 7]) driver.produce(activity(n, { datamart_id: 1700 }), n % 2);
  await driver.run(2_000);
  await driver.configure('80', {});
  await driver.configure('90', { datamart_id: '1700' });
  await driver.run(1_000);
  for (const id of ['80', '90']) driver.sinks.script(id, unavailable);
  await launch(driver);
  await launch(driver, { datamart_id: '1700' }, 'other');
  for (const id of ['sync-1', 'other'])
    expect(stored(driver, executionKey(id))).toMatchObject({ status: 'RUNNING' });
  for (const id of ['80', '90']) driver.sinks.script(id, undefined);
  await driver.run(20_000);

  expect([...arrived(driver, '80')].sort()).toEqual(['UPDATE a1 v1', 'UPDATE a2 v1', 'UPDATE a4 v1']);
  expect([...arrived(driver, '90')].sort()).toEqual(['UPDATE a6 v1', 'UPDATE a7 v1']);
  for (const id of ['sync-1', 'other'])
    expect(stored(driver, executionKey(id))).toMatchObject({ status: 'SUCCEEDED' });
});

describe('a restart of every owner', () => {
  type Hindrance = (driver: TopologyTestDriver) => void;

  /** What keeps the tasks in each of their phases, and whether their start is durable then. */
  const PHASES: readonly (readonly [string, boolean, Hindrance])[] = [
    ['before it knows its start', false, ({ kafka }) => (kafka.readFault = snapshotIsAway)],
    ['before its start is committed', false, ({ kafka }) => (kafka.commitFault = () => new Error('not now'))],
    ['while it looks for what is touched and dead', true, hideRows],
    ['while rows are on their way', true, ({ sinks }) => sinks.script('80', unavailable)],
    [
      'before its last report is stored',
      true,
      ({ kafka }) => {
        kafka.produceFault = (topic, records) =>
          topic === EXECUTIONS.topic && records.some(isLastReport) ? new Error('not now') : null;
      },
    ],
  ];

  /** The snapshot’s bounds are told, nothing of it can be read. */
  function hideRows({ kafka }: TopologyTestDriver): void {
    const asked = new Set<number>();
    kafka.readFault = ({ topic, partition }) => {
      if (topic !== SNAPSHOT) return null;
      if (asked.has(partition)) return new Error('the snapshot is away');
      asked.add(partition);
      return null;
    };
  }

  const snapshotIsAway = ({ topic }: { readonly topic: string }): Error | null =>
    topic === SNAPSHOT ? new Error('the snapshot is away') : null;

  const isLastReport = ({ key, value }: ProducedRecord): boolean =>
    /\/\d+$/.test(String(key)) && String(value).includes('"status":"SUCCEEDED"');

  test.each(PHASES)('%s: it comes to the same end', async (_, isStartDurable, hinder) => {
    const driver = await started();
    await withSnapshot(driver);
    await driver.configure('80', {});
    await driver.run(1_000);
    hinder(driver);
    await launch(driver);
    driver.produce(activity(1, { value: { n: 1, v: 2 } }), 1);
    driver.produce(deletion(2), 0);
    await driver.run(3_000);
    expect(stored(driver, executionKey('sync-1'))).toMatchObject({ status: 'RUNNING' });
    const { metadata } = driver.kafka.committed(driver.partition(1)) ?? {};
    expect(parseCommitMetadata(metadata ?? null).s).toHaveLength(isStartDurable ? 1 : 0);

    await driver.kill();
    const { kafka, sinks } = driver;
    kafka.readFault = null;
    kafka.commitFault = null;
    kafka.produceFault = null;
    sinks.script('80', undefined);
    const next = await successorOf(driver);
    await next.run(10_000);

    expect(stored(next, executionKey('sync-1'))).toMatchObject({ status: 'SUCCEEDED', completed_tasks: 4 });
    const last = new Map(arrived(next, '80').map((text) => [text.split(' ')[1], text]));
    expect(last.get('a2') ?? 'DELETE a2').toBe('DELETE a2');
    last.delete('a2');
    expect(Object.fromEntries(last)).toEqual({ a1: 'UPDATE a1 v2', a4: 'UPDATE a4 v1' });
  });

  test('whose mutations since the start retention has taken: it FAILED, with words', async () => {
    const driver = await started();
    await withSnapshot(driver);
    await driver.configure('80', {});
    await driver.run(1_000);
    hideRows(driver);
    await launch(driver);
    driver.produce(activity(5), 1);
    await driver.run(3_000);
    expect(driver.kafka.committed(driver.partition(1))).toMatchObject({ offset: 4 });

    await driver.kill();
    const { kafka } = driver;
    kafka.readFault = null;
    kafka.deleteBefore(driver.partition(1), 4);
    const next = await successorOf(driver);
    await next.run(10_000);

    expect(stored(next, executionKey('sync-1'))).toMatchObject({
      status: 'FAILED',
      error: { message: expect.stringContaining('datamart-mutations/1 begins at 4') },
    });
  });
});

test('documents that are more than there is memory for: it FAILED, and says what helps', async () => {
  const driver = await started({ memoryBytes: 24 * 1024 });
  for (const n of [1, 2, 3, 4]) {
    driver.produce(activity(n), n % 4);
    driver.produce(deletion(n), n % 4);
  }
  await driver.run(4_000);
  await driver.configure('80', {});
  await driver.run(1_000);
  await launch(driver);

  expect(stored(driver, executionKey('sync-1'))).toMatchObject({
    status: 'FAILED',
    error: { message: expect.stringContaining('DELIVERY_MEMORY_MB') },
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
  expect(stored(driver, resultKey('sync-1'))).toMatchObject({
    result: { replications: { 80: { gap: { offsets: '2', older_than_tombstones: false } } } },
  });
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
