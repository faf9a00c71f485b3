import { afterEach, expect, test } from '@jest/globals';
import { SinkError } from '../../sinks/sink.ts';
import { parseCommitMetadata } from '../../streams/commit-metadata.ts';
import { unavailable } from '../support/scripted-sink.ts';
import { aMutation, TopologyTestDriver } from '../support/topology-test-driver.ts';

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

const numberOf = (operation: string): number => (JSON.parse(operation) as { value: { n: number } }).value.n;

const upTo = (end: number): number[] => Array.from({ length: end }, (_, n) => n);

const received = (driver: TopologyTestDriver, target: string): number[] =>
  driver.sinks.received(target).map(numberOf);

const ownPositions = (driver: TopologyTestDriver) =>
  parseCommitMetadata(driver.kafka.committed(driver.partition())?.metadata ?? null).x;

test('a destination that is down longer than its grace is detached: the offset goes on, its position travels along', async () => {
  const driver = aDriver();
  await driver.configure('good', {});
  await driver.configure('bad', {});
  driver.sinks.script('bad', unavailable);
  await driver.start();
  for (let n = 0; n < 10; n += 1) driver.produce(activity(n));
  await driver.run(29_000);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(0);
  await driver.run(3_000);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(10);
  expect(ownPositions(driver)).toMatchObject([{ position: 0, kind: 'DETACHED' }]);
  expect(await driver.metric('detaches_total', { replication_id: 'bad' })).toBe(1);
  expect(await driver.metric('in_flight_bytes')).toBe(0);
  expect(await driver.metric('replication_lag_records', { replication_id: 'bad' })).toBe(10);
  expect(await driver.metric('replication_lag_seconds', { replication_id: 'bad' })).toBeCloseTo(32, 0);
  expect(await driver.metric('replication_lag_seconds', { replication_id: 'good' })).toBe(0);
  driver.sinks.script('bad', undefined);
  await driver.run(60_000);
  expect(await driver.metric('replication_lag_records', { replication_id: 'bad' })).toBe(0);
  expect(await driver.metric('replication_lag_seconds', { replication_id: 'bad' })).toBe(0);
});

test('once it works again everything is sent from its position, in order, and it follows the live mutations again', async () => {
  const driver = aDriver();
  await driver.configure('good', {});
  await driver.configure('bad', {});
  driver.sinks.script('bad', unavailable);
  await driver.start();
  for (let n = 0; n < 50; n += 1) {
    driver.produce(activity(n));
    await driver.run(1_000);
  }
  driver.sinks.script('bad', undefined);
  for (let n = 50; n < 120; n += 1) {
    driver.produce(activity(n));
    await driver.run(1_000);
  }
  await driver.run(2_000);
  expect(received(driver, 'good')).toEqual(upTo(120));
  expect(received(driver, 'bad')).toEqual(upTo(120));
  expect(ownPositions(driver)).toEqual([]);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(120);
  expect(driver.logs.some(({ msg }) => msg.includes('has caught up'))).toBe(true);
  expect(await driver.metric('catch_ups_total', { replication_id: 'bad' })).toBe(1);
  expect(await driver.metric('in_flight_bytes')).toBe(0);
});

test('the lag of a replication in ERROR goes on under the next owner', async () => {
  const first = aDriver();
  await first.configure('good', {});
  await first.configure('bad', {});
  const denied = new SinkError('fatal', 'permission_denied', 'publishing is not allowed');
  first.sinks.script('bad', () => ({ delivered: 0, failure: denied }));
  await first.start();
  for (let n = 0; n < 10; n += 1) {
    first.produce(activity(n));
    await first.run(10_000);
  }
  expect(await first.metric('replication_state', { replication_id: 'bad', state: 'ERROR' })).toBe(1);
  await first.kill();
  const second = aDriver({ kafka: first.kafka, clock: first.clock, sinks: first.sinks });
  await second.start();
  await second.quietTime();
  await second.run(1_000);
  const lag = await second.metric('replication_lag_seconds', { replication_id: 'bad' });
  expect(lag).toBeGreaterThan(100);
  expect(lag).toBeLessThan(130);
  expect(await second.metric('rebalances_total')).toBeUndefined();
  second.member.assign([second.partition()]);
  await second.run(1_000);
  expect(await second.metric('rebalances_total')).toBe(1);
});

test('a slow destination is detached when the others would have to wait for it, long before its grace', async () => {
  const driver = aDriver({ windowRecords: 100 });
  await driver.configure('fast', {});
  await driver.configure('stuck', {});
  await driver.start();
  driver.sinks.script('stuck', () => new Promise(() => undefined));
  for (let n = 0; n < 400; n += 1) driver.produce(activity(n));
  for (let i = 0; i < 20; i += 1) {
    driver.member.poll(20);
    await driver.clock.advance(50);
  }
  await driver.clock.advance(1_000);
  for (let i = 0; i < 20; i += 1) {
    driver.member.poll(20);
    await driver.clock.advance(50);
  }
  expect(received(driver, 'fast')).toEqual(upTo(400));
  expect(await driver.metric('detaches_total', { replication_id: 'stuck' })).toBe(1);
});

test('a stop commits what was delivered, and a position of its own for who has not got everything', async () => {
  const driver = aDriver();
  await driver.configure('good', {});
  await driver.configure('stuck', {});
  await driver.start();
  driver.sinks.script('stuck', unavailable);
  for (let n = 0; n < 10; n += 1) driver.produce(activity(n));
  await driver.run(2_000);
  const closed = driver.application.close(1_000);
  await driver.clock.advance(15_000);
  await closed;
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(10);
  expect(ownPositions(driver)).toMatchObject([{ position: 0, kind: 'DETACHED' }]);
});

test('nobody is detached for what was not sent in a quiet time', async () => {
  const first = aDriver({ windowRecords: 100 });
  await first.configure('a', {});
  await first.configure('other', { datamart_id: '7' });
  await first.start();
  first.produce(activity(0));
  await first.run(1_500);
  await first.kill();
  const { kafka, clock, sinks } = first;
  const second = aDriver({ windowRecords: 100, kafka, clock, sinks });
  await second.start();
  for (let n = 1; n < 91; n += 1) second.produce(activity(n));
  await second.run(9_000);
  expect(received(second, 'a')).toEqual([0]);
  await second.run(2_000);
  expect(received(second, 'a')).toEqual(upTo(91));
  expect(await second.metric('detaches_total', { replication_id: 'a' })).toBeUndefined();
});

test('a destination that is alone waits: the partition stops at its window instead', async () => {
  const driver = aDriver({ windowRecords: 100 });
  await driver.configure('only', {});
  await driver.start();
  driver.sinks.script('only', () => new Promise(() => undefined));
  for (let n = 0; n < 400; n += 1) driver.produce(activity(n));
  for (let i = 0; i < 40; i += 1) {
    driver.member.poll(20);
    await driver.clock.advance(50);
  }
  expect(await driver.metric('detaches_total', { replication_id: 'only' })).toBeUndefined();
  expect(await driver.metric('window_records')).toBe(100);
});

test('a crash while detached loses nothing: another instance goes on at the position of the commit', async () => {
  const first = aDriver();
  await first.configure('good', {});
  await first.configure('bad', {});
  first.sinks.script('bad', unavailable);
  await first.start();
  for (let n = 0; n < 40; n += 1) {
    first.produce(activity(n));
    await first.run(1_000);
  }
  await first.kill();
  first.sinks.script('bad', undefined);
  const second = aDriver({ kafka: first.kafka, clock: first.clock, sinks: first.sinks });
  await second.start();
  for (let n = 40; n < 60; n += 1) {
    second.produce(activity(n));
    await second.run(1_000);
  }
  await second.run(30_000);
  expect(received(second, 'bad')).toEqual(upTo(60));
  expect(new Set(received(second, 'good'))).toEqual(new Set(upTo(60)));
  expect(ownPositions(second)).toEqual([]);
});

test('detached replications share a pass: the partition is read once for all that keep its pace', async () => {
  const driver = aDriver();
  for (const id of ['a', 'b', 'c']) {
    await driver.configure(id, {});
    driver.sinks.script(id, unavailable);
  }
  await driver.start();
  for (let n = 0; n < 40; n += 1) {
    driver.produce(activity(n));
    await driver.run(1_000);
  }
  for (const id of ['a', 'b', 'c']) driver.sinks.script(id, undefined);
  await driver.run(60_000);
  for (const id of ['a', 'b', 'c']) expect(received(driver, id)).toEqual(upTo(40));
  expect(ownPositions(driver)).toEqual([]);
});

test('a destination that comes and goes stays with its replay for longer each time', async () => {
  const driver = aDriver();
  await driver.configure('good', {});
  await driver.configure('flapping', {});
  await driver.start();
  let isDown = false;
  driver.sinks.script('flapping', () => (isDown ? unavailable() : null));
  let n = 0;
  for (let round = 0; round < 6; round += 1) {
    isDown = round % 2 === 0;
    for (let second = 0; second < 45; second += 1) {
      driver.produce(activity(n));
      n += 1;
      await driver.run(1_000);
    }
  }
  isDown = false;
  await driver.run(300_000);
  expect(received(driver, 'flapping')).toEqual(upTo(n));
  expect(await driver.metric('detaches_total', { replication_id: 'flapping' })).toBeLessThanOrEqual(3);
  expect(ownPositions(driver)).toEqual([]);
});

test('a paused replication goes on from now, or where it stopped when told so', async () => {
  const driver = aDriver();
  await driver.configure('now', {});
  await driver.configure('gap', { resume: 'WHERE_STOPPED' });
  await driver.start();
  driver.produce(activity(0));
  await driver.run(1_500);
  await driver.configure('now', { status: 'PAUSED' });
  await driver.configure('gap', { status: 'PAUSED', resume: 'WHERE_STOPPED' });
  driver.produce(activity(1));
  await driver.run(1_500);
  expect(ownPositions(driver)).toMatchObject([
    { position: 1, kind: 'PAUSED' },
    { position: 1, kind: 'PAUSED' },
  ]);
  await driver.configure('now', { status: 'ACTIVE' });
  await driver.configure('gap', { status: 'ACTIVE', resume: 'WHERE_STOPPED' });
  driver.produce(activity(2));
  await driver.run(1_500);
  await driver.run(1_500);
  expect(received(driver, 'now')).toEqual([0, 2]);
  expect(received(driver, 'gap')).toEqual([0, 1, 2]);
  expect(ownPositions(driver)).toEqual([]);
});

test('goes on at the log’s start when retention has passed a detached position, and counts what was lost', async () => {
  const driver = aDriver();
  await driver.configure('good', {});
  await driver.configure('bad', {});
  driver.sinks.script('bad', unavailable);
  await driver.start();
  for (let n = 0; n < 40; n += 1) {
    driver.produce(activity(n));
    await driver.run(1_000);
  }
  driver.kafka.deleteBefore(driver.partition(), 15);
  driver.sinks.script('bad', undefined);
  await driver.run(60_000);
  expect(received(driver, 'bad')).toEqual(upTo(40).slice(15));
  expect(await driver.metric('lost_offsets_total', { replication_id: 'bad' })).toBe(15);
  expect(await driver.metric('needs_initial_sync', { replication_id: 'bad' })).toBe(1);
  expect(await driver.metric('needs_initial_sync', { replication_id: 'good' })).toBeUndefined();
});
