import { afterEach, expect, test } from '@jest/globals';
import { encodeCommitMetadata, parseCommitMetadata } from '../../streams/commit-metadata.ts';
import { rejected } from '../support/scripted-sink.ts';
import { aMutation, DEAD_LETTERS, STATUS, TopologyTestDriver } from '../support/topology-test-driver.ts';

const drivers: TopologyTestDriver[] = [];

function aDriver(...options: ConstructorParameters<typeof TopologyTestDriver>): TopologyTestDriver {
  const driver = new TopologyTestDriver(...options);
  drivers.push(driver);
  return driver;
}

afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.close();
}, 60_000);

const activity = (n: number) =>
  aMutation({ doc_type: 'UserActivity', user_activity_id: `a${n}`, value: { n } });

const received = (driver: TopologyTestDriver, target: string): number[] =>
  driver.sinks
    .received(target)
    .map((operation) => (JSON.parse(operation) as { value: { n: number } }).value.n);

const MANY = 450;

/** `MANY` replications that are paused at offset 1, in a commit that can't hold them. */
async function manyPaused(): Promise<TopologyTestDriver> {
  const driver = aDriver();
  await driver.start();
  for (let i = 0; i < MANY; i += 1) await driver.configure(`r${i}`, { resume: 'WHERE_STOPPED' });
  driver.produce(activity(0));
  await driver.run(1_500);
  for (let i = 0; i < MANY; i += 1)
    await driver.configure(`r${i}`, { resume: 'WHERE_STOPPED', status: 'PAUSED' });
  driver.produce(activity(1));
  await driver.run(2_500);
  return driver;
}

test('positions that are too many for a commit are stored in a list first, and found again there', async () => {
  const first = await manyPaused();
  const metadata = first.kafka.committed(first.partition())?.metadata ?? '';
  expect(metadata.length).toBeLessThan(200);
  expect(parseCommitMetadata(metadata).list).toEqual(expect.any(Number));
  await first.kill();
  const second = aDriver({ kafka: first.kafka, clock: first.clock, sinks: first.sinks });
  await second.start();
  await second.quietTime();
  for (const i of [0, MANY - 1]) await second.configure(`r${i}`, { resume: 'WHERE_STOPPED' });
  await second.run(3_000);
  for (const i of [0, MANY - 1]) expect(received(second, `r${i}`)).toEqual([0, 1]);
  const lists = second.kafka.log(STATUS).filter(({ key }) => key?.toString().startsWith('positions/'));
  expect(lists.some(({ value }) => value === null)).toBe(true);
}, 60_000);

test('nothing starts when the list that a commit names is not there', async () => {
  const first = await manyPaused();
  await first.kill();
  const lists = first.kafka.log(STATUS).filter(({ key }) => key?.toString().startsWith('positions/'));
  for (const { key } of lists) first.kafka.append(STATUS, { key, value: null });
  const second = aDriver({ kafka: first.kafka, clock: first.clock, sinks: first.sinks });
  const started = second.application.start();
  await second.clock.advance(300);
  second.member.assign([second.partition()]);
  await second.clock.advance(5_000);
  expect(second.application.state).toBe('REBALANCING');
  expect(second.logs.some(({ fields }) => JSON.stringify(fields).length > 2)).toBe(true);
  await second.close();
  await started;
}, 60_000);

test('when the commit’s metadata is gone, replications go on where they were last reported to be', async () => {
  const first = aDriver();
  await first.configure('a', {});
  await first.start();
  first.produce(activity(0));
  await first.run(1_500);
  await first.configure('a', { status: 'PAUSED' });
  first.produce(activity(1));
  await first.run(2_500);
  await first.close();
  first.kafka.setCommitted(first.partition(), 2, '');
  const second = aDriver({ kafka: first.kafka, clock: first.clock, sinks: first.sinks });
  await second.start();
  await second.configure('a', { resume: 'WHERE_STOPPED' });
  await second.quietTime();
  await second.run(3_000);
  expect(received(second, 'a')).toEqual([0, 1]);
});

test.each([
  ['is dropped', null, 0],
  ['is kept while there is a record that can’t be judged here', { type: 'ELSEWHERE' }, 1],
] as const)(
  'the position of a replication that was made anew while nobody ran %s',
  async (_what, otherRecord, kept) => {
    const first = aDriver();
    await first.configure('a', { resume: 'WHERE_STOPPED' });
    await first.start();
    first.produce(activity(0));
    await first.run(1_500);
    await first.configure('a', { resume: 'WHERE_STOPPED', status: 'PAUSED' });
    first.produce(activity(1));
    await first.run(2_500);
    await first.close();
    await first.configure('a', null);
    await first.configure('a', { created: 2 });
    if (otherRecord) await first.configure('b', otherRecord);
    const second = aDriver({ kafka: first.kafka, clock: first.clock, sinks: first.sinks });
    await second.start();
    second.produce(activity(2));
    await second.run(3_000);
    const { x } = parseCommitMetadata(second.kafka.committed(second.partition())?.metadata ?? null);
    expect(x).toHaveLength(kept);
    expect(received(second, 'a')).toEqual([0, 2]);
  },
);

test('positions of a topic that was made anew under the group’s commits go on at its start', async () => {
  const first = aDriver();
  await first.configure('a', { resume: 'WHERE_STOPPED' });
  await first.start();
  await first.configure('a', { resume: 'WHERE_STOPPED', status: 'PAUSED' });
  first.produce(activity(0));
  await first.run(2_500);
  await first.close();
  const { x, task } = parseCommitMetadata(first.kafka.committed(first.partition())?.metadata ?? null);
  const metadata = { x: x.map((own) => ({ ...own, position: 70 })), task, list: null, s: [], isQuiet: true };
  first.kafka.setCommitted(first.partition(), 1, encodeCommitMetadata(metadata));
  const second = aDriver({ kafka: first.kafka, clock: first.clock, sinks: first.sinks });
  await second.start();
  await second.configure('a', { resume: 'WHERE_STOPPED' });
  for (let n = 1; n < 4; n += 1) second.produce(activity(n));
  await second.run(5_000);
  await second.run(5_000);
  expect(received(second, 'a')).toEqual([0, 1, 2, 3]);
});

test('a destination that rejects everything is in ERROR after a few dead letters, not after thousands', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.configure('other', {});
  await driver.start();
  driver.sinks.script('a', rejected);
  for (let n = 0; n < 1_000; n += 1) driver.produce(activity(n));
  await driver.run(60_000);
  expect(await driver.metric('replication_state', { replication_id: 'a', state: 'ERROR' })).toBe(1);
  expect(driver.kafka.log(DEAD_LETTERS)).toHaveLength(20);
  expect(received(driver, 'other')).toHaveLength(1_000);
  driver.sinks.script('a', undefined);
  await driver.configure('a', { name: 'repaired' });
  await driver.run(5_000);
  await driver.run(5_000);
  expect(received(driver, 'a')).toHaveLength(980);
});

test('records of partitions that were added are held, visibly, until they are adopted', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start([0, 4]);
  driver.produce(activity(0), 0);
  driver.produce(activity(1), 4);
  await driver.run(3_000);
  expect(received(driver, 'a')).toEqual([0]);
  expect(await driver.metric('partition_blocked', { partition: 4, reason: 'not_adopted' })).toBe(1);
  expect(driver.application.readiness().ready).toBe(true);
  adopt(driver);
  await driver.run(3_000);
  await driver.run(3_000);
  expect(received(driver, 'a')).toEqual([0, 1]);
  expect(await driver.metric('partition_blocked', { partition: 4 })).toBeUndefined();
});

test('partitions that are adopted while the instance leaves the group are claimed once it has joined again', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start([0, 4]);
  driver.produce(activity(1), 4);
  await driver.run(3_000);
  const rejoining = driver.member.rejoin();
  await driver.run(1_000);
  await rejoining;
  adopt(driver);
  await driver.run(3_000);
  expect(driver.kafka.committed(driver.partition(4))).toBeUndefined();
  driver.member.assign([driver.partition(0), driver.partition(4)]);
  await driver.run(3_000);
  await driver.run(3_000);
  await driver.quietTime();
  expect(received(driver, 'a')).toEqual([1]);
});

function adopt(driver: TopologyTestDriver): void {
  driver.kafka.append(STATUS, {
    key: Buffer.from('partitions/datamart-mutations'),
    value: Buffer.from('{"v":1,"topic":"datamart-mutations","count":8}'),
  });
}
