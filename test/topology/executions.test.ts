import { afterEach, describe, expect, test } from '@jest/globals';
import { resultKey, taskKey } from '../../processors/initial-sync/execution-keys.ts';
import { writeTask, type StoredTask } from '../../processors/initial-sync/task-record.ts';
import { SinkError, type SendOutcome } from '../../sinks/sink.ts';
import { aPart, aTask } from '../support/executions.ts';
import { InMemoryKafka } from '../support/in-memory-kafka.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { REFUSED_SYNCS } from '../support/sync-cases.ts';
import {
  aMutation,
  EXECUTIONS,
  MUTATIONS,
  REQUESTS,
  SNAPSHOT,
  STATUS,
  TopologyTestDriver,
} from '../support/topology-test-driver.ts';

const HOUR_MS = 3_600_000;
const PARTITIONS = 4;

const drivers: TopologyTestDriver[] = [];

function aDriver(options: ConstructorParameters<typeof TopologyTestDriver>[0] = {}): TopologyTestDriver {
  const driver = new TopologyTestDriver(options);
  // The tasks never get beyond their beginning: what they would report is written by the tests.
  driver.kafka.readFault = ({ topic }) => (topic === SNAPSHOT ? new Error('the snapshot is away') : null);
  drivers.push(driver);
  return driver;
}

afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.close();
});

type Fields = Readonly<Record<string, unknown>>;

/** The instance that owns partition 0, with 80 and 81 ACTIVE. */
async function aCoordinator(options: ConstructorParameters<typeof TopologyTestDriver>[0] = {}) {
  const driver = aDriver(options);
  await driver.start();
  await driver.configure('80', {});
  await driver.configure('81', {});
  await driver.run(1_000);
  return driver;
}

/** Writes a request and lets everything follow. */
async function request(driver: TopologyTestDriver, fields: Fields | null, id = 'sync-1'): Promise<void> {
  const value = fields && Buffer.from(JSON.stringify({ id, datamart_id: '1649', ...fields }));
  driver.kafka.append(REQUESTS, { key: Buffer.from(id), value });
  await driver.run(2_000);
}

/** What the tasks would report. */
async function report(driver: TopologyTestDriver, ...tasks: readonly StoredTask[]): Promise<void> {
  for (const task of tasks)
    driver.kafka.append(EXECUTIONS, {
      key: Buffer.from(taskKey(task.executionId, task.at)),
      value: writeTask(task),
    });
  await driver.run(1_000);
}

const succeeded = (fields: Partial<StoredTask> = {}) =>
  Array.from({ length: PARTITIONS }, (_, partition) =>
    aTask(partition, {
      status: 'SUCCEEDED',
      offset: 100,
      parts: new Map([
        ['80', aPart({ outcome: 'succeeded', documents: new Map([['UserPoint', 25]]) })],
        ['81', aPart({ outcome: 'succeeded' })],
      ]),
      ...fields,
    }),
  );

/** The newest record of a key, as compaction would leave it; null when it is removed or was never there. */
function stored(driver: TopologyTestDriver, key: string, at = EXECUTIONS): Fields | null {
  const record = driver.kafka.log(at).findLast((candidate) => candidate.key?.toString() === key);
  return record?.value ? (JSON.parse(record.value.toString()) as Fields) : null;
}

/** Every status that the execution's records have had, in order. */
function history(driver: TopologyTestDriver, id = 'sync-1'): readonly unknown[] {
  const records = driver.kafka.log(EXECUTIONS).filter(({ key }) => key?.toString() === id);
  const statuses = records.map(({ value }) => value && (JSON.parse(value.toString()) as Fields).status);
  return statuses.filter((status, i) => status !== statuses[i - 1]);
}

const denied = (): SendOutcome => ({
  delivered: 0,
  failure: new SinkError('fatal', 'permission_denied', 'publishing is not allowed', {
    remedy: 'grant the role',
  }),
});

test('a request is judged, runs, and ends when every task has succeeded', async () => {
  const driver = await aCoordinator();
  await request(driver, { user_id: 'ops' });

  expect(history(driver)).toEqual(['PENDING', 'RUNNING']);
  expect(stored(driver, 'sync-1')).toMatchObject({
    num_tasks: PARTITIONS,
    user_id: 'ops',
    parameters: { replication_ids: ['80', '81'] },
    config_offset: '2',
    allowances: null,
  });
  expect([...driver.application.control.syncs.running()]).toEqual([
    {
      id: 'sync-1',
      datamart: 1649,
      replications: new Map([
        ['80', expect.any(Number)],
        ['81', expect.any(Number)],
      ]),
      taskCount: PARTITIONS,
    },
  ]);
  expect(await driver.metric('initial_sync_tasks', { execution_id: 'sync-1', state: 'PENDING' })).toBe(
    PARTITIONS,
  );

  await report(driver, ...succeeded());
  expect(history(driver)).toEqual(['PENDING', 'RUNNING', 'SUCCEEDED']);
  expect(stored(driver, resultKey('sync-1'))).toMatchObject({
    status: 'SUCCEEDED',
    completed_tasks: PARTITIONS,
    result: {
      total_failure: 0,
      replications: {
        80: { outcome: 'succeeded', documents: { UserPoint: 100 } },
        81: { outcome: 'succeeded' },
      },
    },
  });
  expect([...driver.application.control.syncs.running()]).toEqual([]);
  expect(await driver.metric('initial_sync_tasks', { execution_id: 'sync-1' })).toBeUndefined();
});

test('the port stores what a task reports, and answers with it', async () => {
  const driver = await aCoordinator();
  await request(driver, {});
  const { syncs } = driver.application.control;
  const task = aTask(2, { offset: 7 });

  const isStored = syncs.store(task);
  await driver.run(1_000);

  expect(await isStored).toBe(true);
  expect(syncs.taskOf('sync-1', task.at)).toMatchObject({ offset: 7, status: 'RUNNING' });
  expect(stored(driver, taskKey('sync-1', task.at))).toMatchObject({ owner: 'instance-1', offset: '7' });
  expect(syncs.allowanceOf('sync-1', task.at)).toBeNull();
});

test('counts are written now and then, what matters at once', async () => {
  const driver = await aCoordinator();
  await request(driver, {});
  const written = () => driver.kafka.log(EXECUTIONS).filter(({ key }) => key?.toString() === 'sync-1').length;
  await driver.run(10_000);
  const before = written();

  for (let n = 1; n <= 10; n += 1) {
    const parts = new Map([['80', aPart({ documents: new Map([['UserPoint', n]]) })]]);
    await report(driver, aTask(0, { parts }));
  }
  expect(written() - before).toBeLessThanOrEqual(3);

  await driver.run(5_000);
  expect(stored(driver, 'sync-1')).toMatchObject({
    result: { replications: { 80: { documents: { UserPoint: 10 } } } },
  });
});

describe('a request', () => {
  test('repeated with the same id does nothing twice, and is counted', async () => {
    const driver = await aCoordinator();
    await request(driver, {});
    await report(driver, ...succeeded());
    const before = driver.kafka.log(EXECUTIONS).length;

    await request(driver, {});

    expect(driver.kafka.log(EXECUTIONS)).toHaveLength(before);
    expect(await driver.metric('initial_sync_requests_refused_total', { reason: 'ignored' })).toBe(1);
  });

  test('under a key that is no id is counted, and nothing is stored under it', async () => {
    const driver = await aCoordinator();
    await request(driver, {}, 'a/b');

    expect(driver.kafka.log(EXECUTIONS)).toEqual([]);
    expect(await driver.metric('initial_sync_requests_refused_total', { reason: 'ignored' })).toBe(1);
  });

  test('that can’t be read is an execution that FAILED', async () => {
    const driver = await aCoordinator();
    driver.kafka.append(REQUESTS, { key: Buffer.from('sync-1'), value: Buffer.from('{') });
    await driver.run(2_000);

    expect(stored(driver, 'sync-1')).toMatchObject({
      status: 'FAILED',
      num_tasks: 0,
      datamart_id: null,
      error: { code: 'invalid_json' },
    });
  });

  test.each(REFUSED_SYNCS.map((row) => [row.what, row] as const))('is refused for %s', async (_, row) => {
    const driver = aDriver();
    await driver.start();
    await driver.configure('80', {});
    await driver.configure('81', {});
    await driver.configure('82', { status: 'PAUSED' });
    driver.sinks.refuse('83', new SinkError('fatal', 'not_found', 'there is no such topic'));
    await driver.configure('83', {});
    driver.sinks.refuse('85', new SinkError('retriable', 'unavailable', 'not now'));
    await driver.configure('85', {});
    await driver.configure('90', { datamart_id: '1700' });
    await driver.run(1_000);
    await request(driver, { replication_ids: ['81'] }, 'lately');
    const parts = new Map([['81', aPart({ outcome: 'succeeded' })]]);
    await report(driver, ...succeeded({ executionId: 'lately', parts }));

    await request(driver, row.request);

    expect(stored(driver, 'sync-1')).toMatchObject({
      status: 'FAILED',
      num_tasks: 0,
      error: { code: row.code, replication_ids: row.offenders },
    });
    expect(stored(driver, 'sync-1')).not.toHaveProperty('start_date');
    expect(await driver.metric('initial_sync_requests_refused_total', { reason: row.code })).toBe(1);
  });

  test('is refused while one of the datamart runs, and not by one of another', async () => {
    const driver = await aCoordinator();
    await driver.configure('90', { datamart_id: '1700' });
    await driver.run(1_000);
    await request(driver, { replication_ids: ['80'] });
    await request(driver, { replication_ids: ['81'] }, 'second');
    await request(driver, { datamart_id: '1700' }, 'beside');

    expect(stored(driver, 'second')).toMatchObject({
      status: 'FAILED',
      error: { code: 'sync_already_running', replication_ids: ['81'] },
    });
    expect(stored(driver, 'beside')).toMatchObject({ status: 'RUNNING', datamart_id: '1700' });
  });

  test('is measured by the time when it was stored, and exactly 7 days later allowed', async () => {
    const driver = await aCoordinator();
    const first = driver.clock.now();
    await request(driver, { replication_ids: ['80'], creation_date: 1 });
    await report(driver, ...succeeded());
    const at = async (id: string, timestamp: number) => {
      const value = Buffer.from(JSON.stringify({ id, datamart_id: '1649', replication_ids: ['80'] }));
      driver.kafka.append(REQUESTS, { key: Buffer.from(id), value, timestamp });
      await driver.run(2_000);
      return stored(driver, id);
    };

    expect(await at('early', first + 168 * HOUR_MS - 1)).toMatchObject({
      status: 'FAILED',
      error: { code: 'sync_too_soon', next_date: first + 168 * HOUR_MS },
    });
    expect(await at('due', first + 168 * HOUR_MS)).toMatchObject({ status: 'RUNNING' });
  });

  test.each([
    ['is missing', [[MUTATIONS, 4]]],
    [
      'lacks partitions that wait to be adopted',
      [
        [MUTATIONS, 6],
        [SNAPSHOT, 4],
      ],
    ],
  ] as const)('is refused when the snapshot topic %s', async (_, counts) => {
    const driver = await aCoordinator({
      partitionCounts: () => Promise.resolve(new Map<string, number>(counts)),
    });
    await request(driver, {});

    expect(stored(driver, 'sync-1')).toMatchObject({ status: 'FAILED', error: { code: 'snapshot_stale' } });
  });

  test('waits until the cluster can be asked', async () => {
    let isAway = true;
    const driver = await aCoordinator({
      partitionCounts: () =>
        isAway
          ? Promise.reject(new Error('no broker'))
          : Promise.resolve(
              new Map([
                [MUTATIONS, 4],
                [SNAPSHOT, 4],
              ]),
            ),
    });
    await request(driver, {});
    expect(driver.kafka.log(EXECUTIONS)).toEqual([]);

    isAway = false;
    await driver.run(30_000);
    expect(stored(driver, 'sync-1')).toMatchObject({ status: 'RUNNING' });
  });
});

describe('a cancel', () => {
  test('ends what runs, with what was sent', async () => {
    const driver = await aCoordinator();
    await request(driver, {});
    await report(
      driver,
      aTask(0, { parts: new Map([['80', aPart({ documents: new Map([['UserEmail', 3]]) })]]) }),
    );
    await request(driver, { cancel: true });

    expect(stored(driver, resultKey('sync-1'))).toMatchObject({
      status: 'CANCELED',
      result: { replications: { 80: { documents: { UserEmail: 3 } } } },
    });
  });

  test('of what was not judged yet: it never runs', async () => {
    const driver = aDriver();
    await driver.configure('80', {});
    await request(driver, {});
    await request(driver, { cancel: true });
    await driver.start();
    await driver.run(2_000);

    expect(history(driver)).toEqual(['CANCELED']);
  });

  test('of what nobody knows, or has ended, changes nothing and is counted', async () => {
    const driver = await aCoordinator();
    await request(driver, { cancel: true }, 'unknown');
    await request(driver, {});
    await report(driver, ...succeeded());
    await request(driver, { cancel: true });

    expect(stored(driver, 'unknown')).toBeNull();
    expect(stored(driver, 'sync-1')).toMatchObject({ status: 'SUCCEEDED' });
    expect(await driver.metric('initial_sync_requests_refused_total', { reason: 'ignored' })).toBe(2);
  });
});

describe('a budget', () => {
  test('is shared among the tasks, holds the execution, and goes on when it is raised', async () => {
    const driver = await aCoordinator();
    await request(driver, { max_operations: 10 });
    const { syncs } = driver.application.control;
    const allowances = () =>
      Array.from({ length: PARTITIONS }, (_, p) =>
        syncs.allowanceOf('sync-1', { topic: SNAPSHOT, partition: p }),
      );
    expect(allowances()).toEqual([3, 3, 2, 2]);

    const held = [3, 3, 2, 2].map((operations, p) => aTask(p, { held: 'budget', operations }));
    await report(driver, ...held);
    expect(stored(driver, 'sync-1')).toMatchObject({ held: 'budget' });

    await request(driver, { max_operations: 30 });
    expect(allowances()).toEqual([8, 8, 7, 7]);
    expect(stored(driver, 'sync-1')).toMatchObject({ parameters: { max_operations: 30 } });
  });

  test('what a task leaves goes to one that waits', async () => {
    const driver = await aCoordinator();
    await request(driver, { max_operations: 8 });
    await report(
      driver,
      aTask(0, { held: 'budget', operations: 2 }),
      ...succeeded({ operations: 1 }).slice(1),
    );

    expect(driver.application.control.syncs.allowanceOf('sync-1', { topic: SNAPSHOT, partition: 0 })).toBe(5);
  });
});

describe('a replication', () => {
  test('that is deleted ends its part, the others go on', async () => {
    const driver = await aCoordinator();
    await request(driver, {});
    await driver.configure('80', null);
    expect(stored(driver, 'sync-1')).toMatchObject({ status: 'RUNNING' });

    await report(driver, ...succeeded());
    expect(stored(driver, 'sync-1')).toMatchObject({
      status: 'SUCCEEDED',
      result: {
        total_failure: 1,
        replications: { 80: { outcome: 'deleted' }, 81: { outcome: 'succeeded' } },
      },
    });
  });

  test('that is in ERROR ends its part; when none is left the execution FAILED', async () => {
    const driver = await aCoordinator();
    await request(driver, { replication_ids: ['80'] });
    driver.sinks.script('80', denied);
    driver.produce(aMutation());
    await driver.run(1_000);
    await driver.run(60_000);

    expect(stored(driver, 'replication/80', STATUS)).toMatchObject({ state: 'ERROR' });
    expect(stored(driver, 'sync-1')).toMatchObject({
      status: 'FAILED',
      error: { code: 'no_replication_left', replication_ids: ['80'] },
    });
  });
});

describe('a status that is wanted while it runs', () => {
  test('waits, and is told; it takes effect at the end', async () => {
    const driver = await aCoordinator();
    await request(driver, {});
    await driver.configure('80', { status: 'PAUSED' });
    driver.produce(aMutation());
    await driver.run(2_000);
    expect(stored(driver, 'replication/80', STATUS)).toMatchObject({
      state: 'ACTIVE',
      deferred_status: 'PAUSED',
    });
    expect(driver.sinks.received('80')).toHaveLength(1);

    await report(driver, ...succeeded());
    driver.produce(aMutation());
    await driver.run(2_000);
    expect(stored(driver, 'replication/80', STATUS)).toMatchObject({
      state: 'PAUSED',
      deferred_status: null,
    });
    expect(driver.sinks.received('80')).toHaveLength(1);
    expect(driver.sinks.received('81')).toHaveLength(2);
  });

  test('that was read before the execution is taken back, and what was missed is sent', async () => {
    const driver = await aCoordinator();
    driver.kafka.produceFault = (topic) => (topic === EXECUTIONS.topic ? new Error('no broker') : null);
    await request(driver, {});
    await driver.configure('80', { status: 'PAUSED' });
    driver.produce(aMutation());
    await driver.run(2_000);
    expect(stored(driver, 'replication/80', STATUS)).toMatchObject({
      state: 'PAUSED',
      deferred_status: null,
    });
    expect(driver.sinks.received('80')).toHaveLength(0);

    driver.kafka.produceFault = null;
    await driver.run(20_000);
    expect(stored(driver, 'sync-1')).toMatchObject({ status: 'RUNNING' });
    expect(stored(driver, 'replication/80', STATUS)).toMatchObject({
      state: 'ACTIVE',
      deferred_status: 'PAUSED',
    });
    expect(driver.sinks.received('80')).toHaveLength(1);
  });

  test('doesn’t keep a destination’s fault from acting at once, nor end it', async () => {
    const driver = await aCoordinator();
    await request(driver, {});
    driver.sinks.script('80', denied);
    driver.produce(aMutation());
    await driver.run(1_000);
    await driver.run(60_000);
    expect(stored(driver, 'replication/80', STATUS)).toMatchObject({ state: 'ERROR' });
    driver.sinks.script('80', undefined);

    await driver.configure('80', { status: 'PAUSED' });
    await driver.run(2_000);
    expect(stored(driver, 'replication/80', STATUS)).toMatchObject({
      state: 'ERROR',
      deferred_status: 'PAUSED',
    });
    await report(driver, ...succeeded());
    await driver.run(2_000);
    expect(stored(driver, 'replication/80', STATUS)).toMatchObject({
      state: 'PAUSED',
      deferred_status: null,
    });
    expect(stored(driver, 'sync-1')).toMatchObject({ status: 'SUCCEEDED', result: { total_failure: 1 } });
  });

  test('waits after a restart too, although compaction has left the newest record only', async () => {
    const driver = await aCoordinator();
    await request(driver, {});
    await driver.configure('80', { status: 'PAUSED' });
    await driver.run(2_000);
    const { kafka, clock } = driver;
    await driver.kill();
    const next = aDriver({ kafka, clock });
    await next.start();
    await next.quietTime();
    next.produce(aMutation());
    await next.run(2_000);

    expect(next.table.get('80')).toMatchObject({ status: 'ACTIVE', deferredStatus: 'PAUSED' });
    expect(next.sinks.received('80')).toHaveLength(1);
  });
});

describe('a restart', () => {
  /** Another instance takes over, over the same topics. */
  async function restarted(driver: TopologyTestDriver): Promise<TopologyTestDriver> {
    const { kafka, clock, sinks } = driver;
    await driver.kill();
    const next = aDriver({ kafka, clock, sinks });
    await next.start();
    await next.run(2_000);
    return next;
  }

  test('before a request was judged: it is judged, once', async () => {
    const driver = aDriver();
    await driver.configure('80', {});
    await request(driver, {});
    await driver.start();
    await driver.run(2_000);
    expect(history(driver)).toEqual(['FAILED']);
    // 80 was not checked yet.
    expect(stored(driver, 'sync-1')).toMatchObject({ error: { code: 'no_active_replication' } });

    const next = await restarted(driver);
    expect(history(next)).toEqual(['FAILED']);
  });

  test('while it is PENDING: it starts', async () => {
    const driver = await aCoordinator();
    let isPendingStored = false;
    driver.kafka.produceFault = (topic) => {
      if (topic !== EXECUTIONS.topic) return null;
      if (isPendingStored) return new Error('no broker');
      isPendingStored = true;
      return null;
    };
    await request(driver, {});
    expect(history(driver)).toEqual(['PENDING']);
    driver.kafka.produceFault = null;

    const next = await restarted(driver);
    expect(history(next)).toEqual(['PENDING', 'RUNNING']);
  });

  test('while it is RUNNING: it goes on, with what the tasks have reported', async () => {
    const driver = await aCoordinator();
    await request(driver, {});
    await report(driver, ...succeeded().slice(1));
    const start = stored(driver, 'sync-1')?.start_date;

    const next = await restarted(driver);
    expect(history(next)).toEqual(['PENDING', 'RUNNING']);
    await report(next, ...succeeded());
    expect(stored(next, 'sync-1')).toMatchObject({ status: 'SUCCEEDED', start_date: start });
  });

  test('when the last task ended while nobody coordinated: it ends', async () => {
    const driver = await aCoordinator();
    await request(driver, {});
    const { kafka, clock } = driver;
    await driver.kill();
    for (const task of succeeded())
      kafka.append(EXECUTIONS, { key: Buffer.from(taskKey('sync-1', task.at)), value: writeTask(task) });
    const next = aDriver({ kafka, clock });
    await next.start();
    await next.run(2_000);

    expect(stored(next, 'sync-1')).toMatchObject({ status: 'SUCCEEDED' });
  });

  test.each(['SUCCEEDED', 'CANCELED', 'FAILED'])('after it %s: nothing runs again', async (status) => {
    const driver = await aCoordinator();
    await request(driver, {});
    if (status === 'SUCCEEDED') await report(driver, ...succeeded());
    if (status === 'CANCELED') await request(driver, { cancel: true });
    if (status === 'FAILED') await report(driver, aTask(0, { status: 'FAILED', error: 'broken' }));
    expect(stored(driver, 'sync-1')).toMatchObject({ status });
    const before = driver.kafka.log(EXECUTIONS).length;

    const next = await restarted(driver);
    expect(next.kafka.log(EXECUTIONS)).toHaveLength(before);
    expect([...next.application.control.syncs.running()]).toEqual([]);
  });
});

describe('records that come late', () => {
  test('an execution’s doesn’t take its outcome back', async () => {
    const driver = await aCoordinator();
    await request(driver, {});
    const running = driver.kafka.log(EXECUTIONS).findLast(({ key }) => key?.toString() === 'sync-1')!;
    await report(driver, ...succeeded());
    driver.kafka.append(EXECUTIONS, running);
    await driver.run(2_000);

    expect(stored(driver, 'sync-1')).toMatchObject({ status: 'SUCCEEDED' });
    expect([...driver.application.control.syncs.running()]).toEqual([]);
  });

  test('a task’s doesn’t make it run again, also after a restart', async () => {
    const driver = await aCoordinator();
    await request(driver, {});
    const [ended] = succeeded();
    await report(driver, ended!);
    await report(driver, aTask(0, { offset: 50 }));

    expect(stored(driver, taskKey('sync-1', ended!.at))).toMatchObject({
      status: 'SUCCEEDED',
      offset: '100',
    });
  });
});

describe('a null request', () => {
  test('removes every record of an execution that has ended; the id may be used again', async () => {
    const driver = await aCoordinator();
    await request(driver, { replication_ids: ['80'] });
    await report(driver, ...succeeded());
    await request(driver, null);
    const keys = ['sync-1', resultKey('sync-1'), ...succeeded().map(({ at }) => taskKey('sync-1', at))];
    expect(keys.map((key) => stored(driver, key))).toEqual(keys.map(() => null));

    await request(driver, { replication_ids: ['80'] });
    expect(stored(driver, 'sync-1')).toMatchObject({ status: 'RUNNING' });
  });

  test('of one that runs waits for its end', async () => {
    const driver = await aCoordinator();
    await request(driver, {});
    await request(driver, null);
    expect(stored(driver, 'sync-1')).toMatchObject({ status: 'RUNNING' });

    await report(driver, ...succeeded());
    await driver.run(1_000);
    expect(stored(driver, 'sync-1')).toBeNull();
    expect(stored(driver, resultKey('sync-1'))).toBeNull();
  });

  test('takes what is reported afterwards with it', async () => {
    const driver = await aCoordinator();
    await request(driver, {});
    await report(driver, ...succeeded());
    await request(driver, null);
    await report(driver, aTask(1));

    expect(stored(driver, taskKey('sync-1', aTask(1).at))).toBeNull();
  });
});

test('two of one datamart that two coordinators have accepted: the later one is refused', async () => {
  const clock = new ManualClock();
  const kafka = new InMemoryKafka(clock);
  const driver = await aCoordinator({ clock, kafka });
  await request(driver, { replication_ids: ['80'] });
  const other = { ...stored(driver, 'sync-1'), id: 'other', status: 'PENDING', request_offset: '9' };
  kafka.append(EXECUTIONS, { key: Buffer.from('other'), value: Buffer.from(JSON.stringify(other)) });
  await driver.run(2_000);

  expect(stored(driver, 'other')).toMatchObject({
    status: 'FAILED',
    error: { code: 'sync_already_running' },
  });
  expect(stored(driver, 'sync-1')).toMatchObject({ status: 'RUNNING' });
});

test('an instance that owns other partitions writes nothing', async () => {
  const driver = aDriver();
  await driver.start([1]);
  await driver.configure('80', {});
  await request(driver, {});

  expect(driver.kafka.log(EXECUTIONS)).toEqual([]);
});
