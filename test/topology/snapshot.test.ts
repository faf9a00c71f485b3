import { afterEach, expect, test } from '@jest/globals';
import { parseCommitMetadata } from '../../streams/commit-metadata.ts';
import type { AppendOutcome } from '../../streams/kafka-port.ts';
import { aMutation, MUTATIONS, SNAPSHOT, TopologyTestDriver, USER } from '../support/topology-test-driver.ts';

const drivers: TopologyTestDriver[] = [];

function aDriver(options: ConstructorParameters<typeof TopologyTestDriver>[0] = {}): TopologyTestDriver {
  const driver = new TopologyTestDriver({ hasSnapshot: true, ...options });
  drivers.push(driver);
  return driver;
}

afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.close();
});

const ABSORBED = '95772db3-e762-45da-8cf1-4893debffae7';
const refused: AppendOutcome = { kind: 'failed', error: new Error('NOT_ENOUGH_REPLICAS') };

const activity = (n: number, fields: Record<string, unknown> = {}) =>
  aMutation({ doc_type: 'UserActivity', user_activity_id: `a${n}`, value: { n }, ...fields });

const committed = (driver: TopologyTestDriver): number | undefined =>
  driver.kafka.committed(driver.partition())?.offset;

/** The last record of each key of snapshot partition 0, as compaction leaves it. */
function snapshotOf(driver: TopologyTestDriver): Map<string, unknown> {
  const rows = new Map<string, unknown>();
  for (const { key, value } of driver.kafka.log({ topic: SNAPSHOT, partition: 0 }))
    rows.set(key?.toString() ?? '', value && JSON.parse(value.toString()));
  return rows;
}

test('every mutation goes to the partition of the same number, whoever wants it', async () => {
  const driver = aDriver();
  await driver.configure('a', { status: 'PAUSED' });
  await driver.start([0, 2]);
  driver.produce(activity(0));
  driver.produce(activity(1, { datamart_id: 7 }));
  driver.produce(activity(2), 2);
  await driver.run(100);

  const keysOf = (partition: number): string[] =>
    driver.kafka.log({ topic: SNAPSHOT, partition }).map(({ key }) => key?.toString() ?? '');
  expect(keysOf(0)).toEqual([`1649/UserActivity/${USER}:a0`, `7/UserActivity/${USER}:a1`]);
  expect(keysOf(2)).toEqual([`1649/UserActivity/${USER}:a2`]);
  await driver.clock.advance(1_000);
  expect(committed(driver)).toBe(2);
});

test('what can’t be decoded, of any datamart, is a dead letter and no row; ignored types and tombstones are neither', async () => {
  const driver = aDriver();
  await driver.start();
  driver.produce(Buffer.from('neither'));
  driver.produce(activity(0, { datamart_id: 7, ts: 0 }));
  driver.produce(aMutation({ doc_type: 'UserChoice' }));
  driver.produce(null);
  driver.produce(activity(1));
  await driver.run(1_500);

  expect([...snapshotOf(driver).keys()]).toEqual([`1649/UserActivity/${USER}:a1`]);
  expect(driver.kafka.log({ topic: 'replication-dead-letters', partition: 0 })).toHaveLength(2);
  expect(committed(driver)).toBe(5);
});

test('a mutation settles when its record is stored; until then the partition is blocked, and shows it', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  driver.kafka.appendFault = () => refused;
  driver.produce(activity(0));
  await driver.run(5_000);
  const blocked = { topic: MUTATIONS, partition: 0, reason: 'snapshot' };
  expect(driver.sinks.received('a')).toHaveLength(1);
  expect(committed(driver)).toBe(0);
  expect(await driver.metric('partition_blocked', blocked)).toBe(1);
  expect(driver.application.unfinished().partitions).toEqual([`${MUTATIONS}/0`]);

  driver.kafka.appendFault = null;
  await driver.clock.advance(10_000);
  expect(committed(driver)).toBe(1);
  expect(await driver.metric('partition_blocked', blocked)).toBeUndefined();
  expect(await driver.metric('snapshot_records_total', { result: 'stored' })).toBe(1);
});

test('while it can’t be stored no more is taken up than a window, and the memory is bounded', async () => {
  const driver = aDriver({ windowRecords: 20, memoryBytes: 4 * 1024 * 1024 });
  await driver.start();
  driver.kafka.appendFault = () => refused;
  for (let n = 0; n < 100; n += 1) driver.produce(activity(n, { value: { pad: 'x'.repeat(50_000) } }));
  for (let i = 0; i < 10; i += 1) {
    driver.member.poll(10);
    await driver.clock.advance(500);
  }
  expect(driver.member.isPaused(driver.partition())).toBe(true);
  expect(await driver.metric('window_records', { topic: MUTATIONS, partition: 0 })).toBeLessThanOrEqual(30);
  expect(await driver.metric('in_flight_bytes')).toBeLessThan(5 * 1024 * 1024);

  driver.kafka.appendFault = null;
  for (let i = 0; i < 40; i += 1) {
    driver.member.poll(10);
    await driver.clock.advance(1_000);
  }
  expect(committed(driver)).toBe(100);
  expect(snapshotOf(driver).size).toBe(100);
  expect(await driver.metric('in_flight_bytes')).toBe(0);
});

test('a merge and a migrated user agent leave the documents that there are', async () => {
  const driver = aDriver();
  await driver.start();
  const agent = { doc_type: 'UserAgent', vector_id: 'vec:7231822539' };
  const device = { doc_type: 'UserDevicePoint', user_device_point_id: 'd1' };
  driver.produce(aMutation({ ...agent, value: { $brand: null } }));
  driver.produce(aMutation({ user_point_id: ABSORBED }));
  await driver.run(200);
  driver.produce(aMutation({ ...agent, op: 'DELETE' }));
  driver.produce(aMutation({ ...device, value: { $brand: null } }));
  driver.produce(
    aMutation({
      doc_type: 'UserDeviceTechnicalId',
      user_device_point_id: 'd1',
      user_device_technical_id: 'vec:7231822539',
    }),
  );
  driver.produce(aMutation({ user_point_id: ABSORBED, op: 'DELETE' }));
  driver.produce(
    aMutation({
      user_point_id: ABSORBED,
      doc_type: 'UserPointParent',
      op: 'DELETE',
      kept_user_point_id: USER,
    }),
  );
  await driver.run(200);

  const rows = snapshotOf(driver);
  expect(Object.fromEntries([...rows].map(([key, value]) => [key, value !== null]))).toEqual({
    [`1649/UserAgent/${USER}:vec:7231822539`]: false,
    [`1649/UserPoint/${ABSORBED}`]: false,
    [`1649/UserDevicePoint/${USER}:d1`]: true,
    [`1649/UserDeviceTechnicalId/${USER}:d1:vec:7231822539`]: true,
    [`1649/UserPointParent/${ABSORBED}`]: true,
  });
});

test('before it joins anew a member waits for its append, and says that it is quiet only when it is', async () => {
  const driver = aDriver();
  await driver.start();
  const isQuiet = (): boolean =>
    parseCommitMetadata(driver.kafka.committed(driver.partition())?.metadata ?? null).isQuiet;
  driver.kafka.appendFault = () => ({ kind: 'open', error: new Error('no answer') });
  driver.produce(activity(0));
  await driver.run(1_000);
  const rejoining = driver.member.rejoin();
  await driver.clock.advance(9_000);
  await rejoining;
  expect(isQuiet()).toBe(false);

  driver.kafka.appendFault = null;
  driver.member.assign([driver.partition()]);
  await driver.clock.advance(20_000);
  expect(committed(driver)).toBe(1);
  const again = driver.member.rejoin();
  await driver.clock.advance(100);
  await again;
  expect(isQuiet()).toBe(true);
});

test('what a killed owner had not stored is stored by the next, which waits for the quiet time', async () => {
  const first = aDriver();
  await first.start();
  first.kafka.appendFault = () => refused;
  for (let n = 0; n < 3; n += 1) first.produce(activity(n));
  await first.run(2_000);
  await first.kill();
  first.kafka.appendFault = null;

  const { clock, kafka, sinks } = first;
  const second = aDriver({ clock, kafka, sinks });
  await second.start();
  await second.run(9_000);
  expect(snapshotOf(second).size).toBe(0);
  await second.run(2_000);
  expect(snapshotOf(second).size).toBe(3);
  expect(committed(second)).toBe(3);
});

test('a stop stores what was taken up before it commits, without time to drain too', async () => {
  const driver = aDriver();
  await driver.start();
  driver.produce(activity(0));
  driver.member.poll();
  const closed = driver.application.close(0);
  await driver.clock.advance(4_000);
  await closed;
  expect(snapshotOf(driver).size).toBe(1);
  expect(committed(driver)).toBe(1);
});

test('a mutation that the topic takes by no means is a dead letter, and the partition goes on', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  driver.kafka.appendFault = (_, records) =>
    records.some(({ value }) => (value?.length ?? 0) > 1_000)
      ? { kind: 'too_large', error: new Error('MESSAGE_TOO_LARGE') }
      : null;
  driver.produce(activity(0));
  driver.produce(activity(0, { value: { pad: 'x'.repeat(2_000) } }));
  driver.produce(activity(1));
  await driver.run(1_500);

  expect(driver.sinks.received('a')).toHaveLength(3);
  expect(committed(driver)).toBe(3);
  const [letter, ...others] = driver.kafka.log({ topic: 'replication-dead-letters', partition: 0 });
  expect(others).toEqual([]);
  expect(letter?.headers).toMatchObject({
    dead_letter_reason: 'too_large',
    dead_letter_offset: '1',
    dead_letter_detail: expect.stringContaining(`the snapshot topic ${SNAPSHOT} takes no record`),
  });
  expect(letter?.headers).not.toHaveProperty('dead_letter_replication_id');
  expect(snapshotOf(driver).get(`1649/UserActivity/${USER}:a0`)).toBeNull();
  expect(snapshotOf(driver).get(`1649/UserActivity/${USER}:a1`)).not.toBeNull();
});
