import { afterEach, expect, test } from '@jest/globals';
import { writePartitionReport } from '../../processors/status-record.ts';
import { SinkError, type SendOutcome } from '../../sinks/sink.ts';
import { parseCommitMetadata } from '../../streams/commit-metadata.ts';
import { unavailable } from '../support/scripted-sink.ts';
import { aMutation, MUTATIONS, STATUS, TopologyTestDriver } from '../support/topology-test-driver.ts';

const drivers: TopologyTestDriver[] = [];

function aDriver(...options: ConstructorParameters<typeof TopologyTestDriver>): TopologyTestDriver {
  const driver = new TopologyTestDriver(...options);
  drivers.push(driver);
  return driver;
}

afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.close();
});

const activity = (n: number) =>
  aMutation({ doc_type: 'UserActivity', user_activity_id: `a${n}`, value: { n } });

const received = (driver: TopologyTestDriver, target: string): number[] =>
  driver.sinks
    .received(target)
    .map((operation) => (JSON.parse(operation) as { value: { n: number } }).value.n);

/** The newest record of a key; null when it is deleted or was never there. */
function statusRecord(driver: TopologyTestDriver, key: string): Record<string, unknown> | null {
  const record = driver.kafka.log(STATUS).findLast((candidate) => candidate.key?.toString() === key);
  return record?.value ? (JSON.parse(record.value.toString()) as Record<string, unknown>) : null;
}

const denied = (): SendOutcome => ({
  delivered: 0,
  failure: new SinkError('fatal', 'permission_denied', 'publishing is not allowed', {
    remedy: 'grant the role',
  }),
});

const ownPositions = (driver: TopologyTestDriver) =>
  parseCommitMetadata(driver.kafka.committed(driver.partition())?.metadata ?? null).x;

test('an ACTIVE record is checked before the first message, and the state is written', async () => {
  const driver = aDriver();
  await driver.start();
  await driver.configure('80', {});
  expect(statusRecord(driver, 'replication/80')).toMatchObject({
    v: 1,
    replication_id: '80',
    datamart_id: '1649',
    state: 'ACTIVE',
    reason: null,
    code: null,
    config_offset: '0',
    needs_initial_sync: false,
    lost_offsets: '0',
  });
  await driver.configure('80', { status: 'PAUSED' });
  expect(statusRecord(driver, 'replication/80')).toMatchObject({ state: 'PAUSED' });
  expect(await driver.metric('replication_state', { replication_id: '80', state: 'PAUSED' })).toBe(1);
});

test.each([
  ['NOW', [2]],
  ['WHERE_STOPPED', [1, 2]],
])(
  'a pause after an activation that failed begins its own gap, with "resume": "%s"',
  async (resume, sent) => {
    const driver = aDriver();
    driver.sinks.refuse('80', new SinkError('fatal', 'not_found', 'there is no such topic'));
    await driver.configure('80', { resume: 'NOW' });
    await driver.start();
    driver.produce(activity(0));
    await driver.run(2_000);
    expect(statusRecord(driver, 'replication/80')).toMatchObject({ reason: 'activation_failed' });
    await driver.configure('80', { resume, status: 'PAUSED' });
    driver.produce(activity(1));
    await driver.run(2_000);
    expect(ownPositions(driver)).toMatchObject([{ kind: 'PAUSED', position: 1 }]);
    driver.sinks.refuse('80', null);
    await driver.configure('80', { resume });
    await driver.run(3_000);
    driver.produce(activity(2));
    await driver.run(3_000);
    expect(received(driver, '80')).toEqual(sent);
    const report = statusRecord(driver, `replication/80/${MUTATIONS}/0`);
    expect(report?.gap ?? null).toEqual(resume === 'NOW' ? { from: '1', to: '2' } : null);
  },
);

test('a verdict that waits to be stored is not lost to what is written meanwhile', async () => {
  const driver = aDriver();
  await driver.start();
  driver.kafka.produceFault = (topic) => (topic === STATUS.topic ? new Error('no broker') : null);
  await driver.configure('80', {});
  await driver.run(1_000);
  driver.kafka.append(STATUS, {
    key: Buffer.from(`replication/80/${MUTATIONS}/3`),
    value: writePartitionReport(
      {
        replicationId: '80',
        topic: MUTATIONS,
        partition: 3,
        state: 'DETACHED',
        offset: 7,
        gap: null,
        lostOffsets: 0,
      },
      'another',
      1,
      driver.clock.now(),
    ),
  });
  await driver.run(1_000);
  driver.kafka.produceFault = null;
  await driver.run(60_000);
  driver.produce(activity(0));
  await driver.run(2_000);
  expect(statusRecord(driver, 'replication/80')).toMatchObject({ state: 'DETACHED' });
  expect(received(driver, '80')).toEqual([0]);
});

test('row 34: a destination that refuses the check is in ERROR, gets nothing, and begins from now once it is repaired', async () => {
  const driver = aDriver();
  await driver.start();
  driver.sinks.refuse(
    '80',
    new SinkError('fatal', 'not_found', 'the topic is not there', { remedy: 'create it' }),
  );
  await driver.configure('80', {});
  driver.produce(activity(0));
  await driver.run(2_000);
  expect(statusRecord(driver, 'replication/80')).toMatchObject({
    state: 'ERROR',
    reason: 'activation_failed',
    code: 'not_found',
    message: 'the topic is not there',
    remedy: 'create it',
  });
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(1);
  expect(ownPositions(driver)).toEqual([]);
  driver.sinks.refuse('80', null);
  await driver.configure('80', { name: 'again' });
  driver.produce(activity(1));
  await driver.run(2_000);
  expect(received(driver, '80')).toEqual([1]);
});

test('a fault is an ERROR only when it was confirmed three times over 30 s; it goes on where it stopped after the repair', async () => {
  const driver = aDriver();
  await driver.configure('other', {});
  await driver.configure('80', {});
  await driver.start();
  driver.produce(activity(0));
  await driver.run(1_500);
  driver.sinks.script('80', denied);
  driver.produce(activity(1));
  await driver.run(29_000);
  expect(statusRecord(driver, 'replication/80')).not.toMatchObject({ state: 'ERROR' });
  await driver.run(6_000);
  expect(statusRecord(driver, 'replication/80')).toMatchObject({
    state: 'ERROR',
    reason: 'destination_failed',
    code: 'permission_denied',
    remedy: 'grant the role',
  });
  driver.produce(activity(2));
  await driver.run(6_000);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(3);
  expect(ownPositions(driver)).toMatchObject([{ position: 1, kind: 'ERROR' }]);
  expect(statusRecord(driver, 'replication/80/datamart-mutations/0')).toMatchObject({
    state: 'STOPPED',
    offset: '1',
  });
  const requests = driver.sinks.requests.length;
  await driver.run(60_000);
  expect(driver.sinks.requests).toHaveLength(requests);
  expect(await driver.metric('in_flight_bytes')).toBe(0);

  driver.sinks.script('80', undefined);
  await driver.configure('80', { status: 'PAUSED' });
  await driver.configure('80', {});
  driver.produce(activity(3));
  await driver.run(3_000);
  await driver.run(3_000);
  expect(received(driver, '80')).toEqual([0, 1, 2, 3]);
  expect(received(driver, 'other')).toEqual([0, 1, 2, 3]);
  expect(ownPositions(driver)).toEqual([]);
  expect(statusRecord(driver, 'replication/80')).toMatchObject({ state: 'ACTIVE', code: null });
  expect(statusRecord(driver, 'replication/80/datamart-mutations/0')).toBeNull();
});

test('after an ERROR "resume": "NOW" leaves a gap, which is reported', async () => {
  const driver = aDriver();
  await driver.configure('80', {});
  await driver.start();
  driver.sinks.script('80', denied);
  driver.produce(activity(0));
  await driver.run(35_000);
  driver.produce(activity(1));
  await driver.run(2_000);
  driver.sinks.script('80', undefined);
  await driver.configure('80', { name: 'repaired', resume: 'NOW' });
  driver.produce(activity(2));
  await driver.run(3_000);
  expect(received(driver, '80')).toEqual([2]);
  expect(statusRecord(driver, 'replication/80/datamart-mutations/0')).toMatchObject({
    state: 'ACTIVE',
    gap: { from: '0', to: '2' },
  });
  expect(ownPositions(driver)).toEqual([]);
});

test('the start of a gap travels with the commits until the gap is durable', async () => {
  const driver = aDriver();
  await driver.configure('80', {});
  await driver.start();
  await driver.configure('80', { status: 'PAUSED' });
  driver.produce(activity(0));
  await driver.run(1_500);
  driver.kafka.produceFault = (topic, records) =>
    records.some(({ key }) => key?.toString().includes('/datamart-mutations/')) ? new Error(topic) : null;
  await driver.configure('80', { status: 'ACTIVE' });
  driver.produce(activity(1));
  await driver.run(1_500);
  expect(ownPositions(driver)).toMatchObject([{ position: 0, kind: 'PAUSED' }]);
  driver.kafka.produceFault = null;
  await driver.run(20_000);
  expect(received(driver, '80')).toEqual([1]);
  expect(ownPositions(driver)).toEqual([]);
});

test('a detached replication is DETACHED in its record and on its partition, and ACTIVE again afterwards', async () => {
  const driver = aDriver();
  await driver.configure('other', {});
  await driver.configure('80', {});
  await driver.start();
  driver.sinks.script('80', unavailable);
  driver.produce(activity(0));
  await driver.run(35_000);
  expect(statusRecord(driver, 'replication/80')).toMatchObject({ state: 'DETACHED' });
  expect(statusRecord(driver, 'replication/80/datamart-mutations/0')).toMatchObject({
    state: 'DETACHED',
    offset: '0',
    owner: 'instance-1',
  });
  expect(await driver.metric('detached_partitions', { replication_id: '80' })).toBe(1);
  driver.sinks.script('80', undefined);
  await driver.run(35_000);
  expect(statusRecord(driver, 'replication/80')).toMatchObject({ state: 'ACTIVE' });
  expect(statusRecord(driver, 'replication/80/datamart-mutations/0')).toBeNull();
});

test('a restart does not check again what is ACTIVE, and keeps an ERROR', async () => {
  const first = aDriver();
  await first.configure('good', {});
  await first.configure('bad', {});
  first.sinks.refuse('bad', new SinkError('fatal', 'permission_denied', 'no'));
  await first.start();
  await first.run(1_000);
  await first.close();
  first.sinks.refuse('bad', null);
  first.sinks.opened.length = 0;
  const second = aDriver({ kafka: first.kafka, clock: first.clock, sinks: first.sinks });
  await second.start();
  await second.run(5_000);
  expect(first.sinks.opened).toEqual([]);
  expect(await second.metric('replication_state', { replication_id: 'bad', state: 'ERROR' })).toBe(1);
  expect(await second.metric('replication_state', { replication_id: 'good', state: 'ACTIVE' })).toBe(1);
});

test('every record of a deleted replication gets its null', async () => {
  const driver = aDriver();
  await driver.start();
  await driver.configure('80', {});
  await driver.configure('80', { status: 'PAUSED' });
  await driver.run(2_000);
  expect(statusRecord(driver, 'replication/80/datamart-mutations/0')).toMatchObject({ state: 'PAUSED' });
  await driver.configure('80', null);
  await driver.run(2_000);
  expect(statusRecord(driver, 'replication/80')).toBeNull();
  expect(statusRecord(driver, 'replication/80/datamart-mutations/0')).toBeNull();
  expect(ownPositions(driver)).toEqual([]);
});

test('a status record of a newer release stops the program', async () => {
  const driver = aDriver();
  driver.kafka.append(STATUS, { key: Buffer.from('replication/1'), value: Buffer.from('{"v":2}') });
  const failed = driver.application.failed.catch((error: unknown) => error);
  void driver.application.start().catch(() => undefined);
  await driver.clock.advance(1_000);
  expect(String(await failed)).toContain('state_too_new');
});

test('a replication that is paused and activated in quick succession keeps its client', async () => {
  const driver = aDriver();
  await driver.start();
  await driver.configure('80', { resume: 'WHERE_STOPPED' });
  driver.produce(activity(0));
  await driver.run(1_000);
  for (let i = 0; i < 10; i += 1) {
    await driver.configure('80', { status: 'PAUSED', resume: 'WHERE_STOPPED' });
    await driver.configure('80', { resume: 'WHERE_STOPPED' });
  }
  driver.produce(activity(1));
  await driver.run(1_000);
  expect(received(driver, '80')).toEqual([0, 1]);
  expect(await driver.metric('activations_total', { code: 'ok' })).toBe(1);
});
