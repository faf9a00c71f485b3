import { afterEach, expect, test } from '@jest/globals';
import { SinkError, type SendOutcome } from '../../sinks/sink.ts';
import { encodeCommitMetadata } from '../../streams/commit-metadata.ts';
import { rejected, unavailable } from '../support/scripted-sink.ts';
import {
  aMutation,
  DEAD_LETTERS,
  MUTATIONS,
  STATUS,
  TopologyTestDriver,
  USER,
} from '../support/topology-test-driver.ts';

const drivers: TopologyTestDriver[] = [];

function aDriver(...options: ConstructorParameters<typeof TopologyTestDriver>): TopologyTestDriver {
  const driver = new TopologyTestDriver(...options);
  drivers.push(driver);
  return driver;
}

afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.close();
});

const activity = (n: number, user = USER) =>
  aMutation({ user_point_id: user, doc_type: 'UserActivity', user_activity_id: `a${n}`, value: { n } });

const activityOperation = (n: number, user = USER) =>
  `{"ts":1676627112685,"doc_type":"UserActivity","doc_id":"${user}:a${n}","op":"UPDATE","value":{"n":${n}}}`;

test('delivers a mutation to every replication that wants it, in its format, and commits after that', async () => {
  const driver = aDriver();
  await driver.configure('all', {});
  await driver.configure('segments', { replication_filters: [{ document: 'USER_SEGMENT', filter: null }] });
  await driver.configure('foreign', { datamart_id: '7' });
  await driver.start();
  driver.produce(activity(1));
  driver.produce(aMutation({ doc_type: 'UserSegment', segment_id: 's1', value: { $x: 1 } }));
  await driver.run(1_500);

  expect(driver.sinks.received('all')).toHaveLength(2);
  expect(driver.sinks.received('all')[0]).toBe(activityOperation(1));
  expect(driver.sinks.received('segments')).toHaveLength(1);
  expect(driver.sinks.received('foreign')).toEqual([]);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(2);
});

test('never commits past an operation that a destination has not acknowledged', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.configure('b', {});
  driver.sinks.script('b', unavailable);
  await driver.start();
  driver.produce(activity(1));
  await driver.run(5_000);
  expect(driver.sinks.received('a')).toHaveLength(1);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(0);

  driver.sinks.script('b', undefined);
  await driver.clock.advance(40_000);
  expect(driver.sinks.received('b')).toEqual([activityOperation(1)]);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(1);
});

test('a broken destination does not stop what others get within the window', async () => {
  const driver = aDriver();
  await driver.configure('good', {});
  await driver.configure('bad', {});
  driver.sinks.script('bad', unavailable);
  await driver.start();
  for (let n = 0; n < 100; n += 1) {
    driver.produce(activity(n));
    await driver.run();
  }
  expect(driver.sinks.received('good')).toHaveLength(100);
});

test('keeps one request in flight and retries it in place, so order holds', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  let failures = 3;
  driver.sinks.script('a', () => (failures-- > 0 ? unavailable() : null));
  for (let n = 0; n < 20; n += 1) {
    driver.produce(activity(n));
    await driver.run(7);
  }
  await driver.clock.advance(60_000);
  expect(driver.sinks.received('a')).toEqual(Array.from({ length: 20 }, (_, n) => activityOperation(n)));
});

test('finds the one record that a destination rejects, stores it as a dead letter and delivers the others', async () => {
  const driver = aDriver();
  await driver.configure('80', {});
  await driver.start();
  driver.sinks.script('80', (operations) =>
    operations.some((op) => op.includes(':a37"')) ? rejected() : null,
  );
  for (let n = 0; n < 100; n += 1) driver.produce(activity(n));
  await driver.run(2_000);

  const expected = Array.from({ length: 100 }, (_, n) => activityOperation(n)).filter((_, n) => n !== 37);
  expect(driver.sinks.received('80')).toEqual(expected);
  expect(driver.sinks.requests.length).toBeLessThanOrEqual(2 + 2 * Math.ceil(Math.log2(100)));
  const letters = driver.kafka.log(DEAD_LETTERS);
  expect(letters).toHaveLength(1);
  expect(letters[0]?.value?.toString()).toBe(JSON.stringify(activity(37)));
  expect(letters[0]?.headers).toMatchObject({
    dead_letter_reason: 'rejected',
    dead_letter_replication_id: '80',
    dead_letter_offset: '37',
    dead_letter_code: 'invalid_record',
  });
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(100);
});

test('a record that can’t be decoded is a dead letter with its bytes, and its neighbours arrive', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  driver.produce(activity(1));
  driver.produce(Buffer.from('nonsense'));
  driver.produce(aMutation({ op: 'EXPLODE' }));
  driver.produce(null);
  driver.produce(aMutation({ doc_type: 'UserChoice' }));
  driver.produce(activity(2));
  await driver.run(1_500);

  expect(driver.sinks.received('a')).toEqual([activityOperation(1), activityOperation(2)]);
  const letters = driver.kafka.log(DEAD_LETTERS);
  expect(letters.map(({ headers }) => headers.dead_letter_reason)).toEqual([
    'malformed_envelope',
    'unknown_op',
  ]);
  expect(letters[0]?.value?.toString()).toBe('nonsense');
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(6);
  expect(await driver.metric('mutations_total', { result: 'tombstone' })).toBe(1);
  expect(await driver.metric('mutations_total', { result: 'ignored' })).toBe(1);
  expect(await driver.metric('mutations_total', { result: 'dead_lettered' })).toBe(2);
});

test('does not commit past a dead letter that is not stored, and says that the partition waits', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  driver.kafka.produceFault = () => new Error('the dead letters are not there');
  driver.produce(Buffer.from('nonsense'));
  driver.produce(activity(1));
  await driver.run(10_000);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(0);
  expect(await driver.metric('partition_blocked', { reason: 'dead_letters' })).toBe(1);

  driver.kafka.produceFault = null;
  await driver.clock.advance(60_000);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(2);
  expect(await driver.metric('partition_blocked', { reason: 'dead_letters' })).toBeUndefined();
});

test('a replication that is created, paused, activated and deleted takes effect without a restart', async () => {
  const driver = aDriver();
  await driver.start();
  driver.produce(activity(1));
  await driver.run();
  await driver.configure('a', {});
  driver.produce(activity(2));
  await driver.run();
  await driver.configure('a', { status: 'PAUSED' });
  driver.produce(activity(3));
  await driver.run(11_000);
  expect(driver.sinks.closed).toEqual(['a']);
  await driver.configure('a', { status: 'ACTIVE' });
  driver.produce(activity(4));
  await driver.run();
  await driver.configure('a', null);
  driver.produce(activity(5));
  await driver.run();
  expect(driver.sinks.received('a')).toEqual([activityOperation(2), activityOperation(4)]);
  expect(driver.sinks.closed).toEqual(['a', 'a']);
});

test('a paused replication no longer holds the offset', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  driver.sinks.script('a', unavailable);
  await driver.start();
  driver.produce(activity(1));
  await driver.run(2_000);
  await driver.configure('a', { status: 'PAUSED' });
  await driver.clock.advance(2_000);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(1);
});

test('a refused record leaves the last good one in force and is counted', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  await driver.configure('a', { version: 2 });
  driver.produce(activity(1));
  await driver.run();
  expect(driver.sinks.received('a')).toEqual([activityOperation(1)]);
  expect(await driver.metric('config_refused_total', { reason: 'immutable_field' })).toBe(1);
});

test('a full window stops fetching, and half of it free resumes', async () => {
  const driver = aDriver({ windowRecords: 10 });
  await driver.configure('a', {});
  driver.sinks.script('a', unavailable);
  await driver.start();
  for (let n = 0; n < 30; n += 1) driver.produce(activity(n));
  driver.member.poll(10);
  await driver.clock.advance(50);
  expect(driver.member.isPaused(driver.partition())).toBe(true);
  driver.sinks.script('a', undefined);
  for (let i = 0; i < 40; i += 1) {
    driver.member.poll(10);
    await driver.clock.advance(1_000);
  }
  expect(driver.sinks.received('a')).toHaveLength(30);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(30);
});

test('the window counts from the last acknowledged commit, not from what is committable', async () => {
  const driver = aDriver({ windowRecords: 10 });
  await driver.configure('a', {});
  await driver.start();
  driver.kafka.commitFault = () => new Error('the coordinator is not there');
  for (let n = 0; n < 30; n += 1) driver.produce(activity(n));
  for (let i = 0; i < 10; i += 1) {
    driver.member.poll(10);
    await driver.clock.advance(1_000);
  }
  expect(driver.sinks.received('a')).toHaveLength(10);
  driver.kafka.commitFault = null;
  for (let i = 0; i < 10; i += 1) {
    driver.member.poll(10);
    await driver.clock.advance(1_000);
  }
  expect(driver.sinks.received('a')).toHaveLength(30);
});

test('after a crash everything that was not committed is delivered again, in order', async () => {
  const first = aDriver();
  await first.configure('a', {});
  await first.start();
  for (let n = 0; n < 5; n += 1) first.produce(activity(n));
  await first.run(20);
  await first.kill();
  const second = aDriver({ kafka: first.kafka, clock: first.clock, sinks: first.sinks });
  await second.start();
  second.produce(activity(5));
  await second.run(1_500);
  expect(first.sinks.received('a')).toHaveLength(5);
  await second.quietTime();
  const all = [0, 1, 2, 3, 4];
  expect(first.sinks.received('a')).toEqual([...all, ...all, 5].map((n) => activityOperation(n)));
  expect(second.kafka.committed(second.partition())?.offset).toBe(6);
});

test('a partition that moved away: late answers count for nothing, and its commit is refused', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  const answer = Promise.withResolvers<SendOutcome>();
  driver.sinks.script('a', () => answer.promise);
  driver.produce(activity(1));
  await driver.run();
  driver.member.assign([]);
  await driver.clock.advance(100);
  answer.resolve({ delivered: 1, failure: null });
  await driver.clock.advance(3_000);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(0);
});

test('a task is kept over a rebalance when the commit is its own: nothing is sent twice', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  driver.produce(activity(1));
  await driver.run(20);
  driver.member.rebalancing();
  driver.member.assign([driver.partition()]);
  await driver.clock.advance(100);
  driver.produce(activity(2));
  await driver.run(1_500);
  expect(driver.sinks.received('a')).toEqual([activityOperation(1), activityOperation(2)]);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(2);
});

test('a task is not kept when another one has committed in between', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  driver.produce(activity(1));
  await driver.run(20);
  driver.kafka.setCommitted(
    driver.partition(),
    0,
    encodeCommitMetadata({
      task: 'another',
      x: [],
      list: null,
      s: [],
      isQuiet: false,
    }),
  );
  driver.member.assign([driver.partition()]);
  await driver.clock.advance(100);
  await driver.run(1_500);
  await driver.quietTime();
  expect(driver.sinks.received('a')).toEqual([activityOperation(1), activityOperation(1)]);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(1);
});

test('drops a stale batch of an earlier assignment instead of leaving a gap', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  for (let n = 0; n < 4; n += 1) driver.produce(activity(n));
  driver.member.deliver(driver.kafka.read(driver.partition(), 2));
  await driver.clock.advance(100);
  await driver.run(1_500);
  expect(driver.sinks.received('a')).toEqual([0, 1, 2, 3].map((n) => activityOperation(n)));
});

test('goes on at the log’s start and says so when retention has passed the committed offset', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  for (let n = 0; n < 4; n += 1) driver.produce(activity(n));
  driver.kafka.setCommitted(driver.partition(), 1, '');
  driver.kafka.deleteBefore(driver.partition(), 3);
  await driver.start();
  await driver.run(1_500);
  await driver.quietTime();
  expect(driver.sinks.received('a')).toEqual([activityOperation(3)]);
  expect(await driver.metric('offset_resets_total', { partition: '0' })).toBe(1);
  expect(await driver.metric('lost_offsets_total', { replication_id: 'a' })).toBe(2);
  expect(driver.logs.some(({ level, msg }) => level === 'error' && msg.includes('1 to 2 are lost'))).toBe(
    true,
  );
});

test('ordering lanes: a request holds one lane, and each user point keeps its order', async () => {
  const driver = aDriver();
  await driver.configure('a', { ordering: true, ordering_lanes: 4 });
  await driver.start();
  const users = Array.from({ length: 8 }, (_, i) => `4700c85f-17e3-4304-aa7f-dc140173b08${i}`);
  for (let n = 0; n < 10; n += 1) for (const user of users) driver.produce(activity(n, user));
  await driver.run(2_000);
  expect(driver.sinks.requests.every(({ orderingLane }) => orderingLane !== null)).toBe(true);
  for (const user of users) {
    expect(driver.sinks.received('a').filter((op) => op.includes(user))).toEqual(
      Array.from({ length: 10 }, (_, n) => activityOperation(n, user)),
    );
  }
});

test('tells the message id from partition count, partition and offset', async () => {
  const driver = aDriver();
  await driver.configure('a', { metadata: ['message_id'] });
  await driver.start();
  driver.produce(activity(1));
  await driver.run();
  expect(driver.sinks.requests[0]?.messageIds).toEqual(['00004-0-00000000000000000000']);
});

test('version 2 skips UserPointParent unless it is asked for, counts it and warns once', async () => {
  const driver = aDriver();
  await driver.configure('plain', { version: 2 });
  await driver.configure('opted', { version: 2, user_point_parent: true });
  await driver.start();
  const merge = aMutation({
    doc_type: 'UserPointParent',
    kept_user_point_id: '95772db3-e762-45da-8cf1-4893debffae7',
  });
  driver.produce(merge);
  driver.produce(merge);
  await driver.run(1_500);
  expect(driver.sinks.received('plain')).toEqual([]);
  expect(driver.sinks.received('opted')).toHaveLength(2);
  expect(await driver.metric('operations_total', { replication_id: 'plain', result: 'not_in_schema' })).toBe(
    2,
  );
  expect(driver.logs.filter(({ msg }) => msg.includes('UserPointParent'))).toHaveLength(1);
});

test('waits for a schema without losing the order of what comes behind it', async () => {
  let isKnown = false;
  const schemas = {
    get: () => (isKnown ? ('unknown' as const) : undefined),
    load: () =>
      Promise.resolve({ status: isKnown ? ('unknown' as const) : ('unavailable' as const), detail: '' }),
  };
  const driver = aDriver({ schemas });
  await driver.configure('a', {});
  await driver.start();
  driver.produce(activity(1));
  driver.produce(Buffer.from([0, 0, 0, 0, 7, 1]));
  driver.produce(activity(2));
  await driver.run(3_000);
  expect(driver.sinks.received('a')).toEqual([activityOperation(1)]);
  expect(await driver.metric('partition_blocked', { reason: 'registry' })).toBe(1);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(1);

  isKnown = true;
  await driver.clock.advance(5_000);
  expect(driver.sinks.received('a')).toEqual([activityOperation(1), activityOperation(2)]);
  expect(driver.kafka.log(DEAD_LETTERS)[0]?.headers.dead_letter_reason).toBe('unknown_schema');
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(3);
});

test('a destination that refuses as a whole is opened again, and nothing is lost', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  let refusals = 2;
  driver.sinks.script('a', () =>
    refusals-- > 0 ? { delivered: 0, failure: new SinkError('fatal', 'permission_denied', 'denied') } : null,
  );
  driver.produce(activity(1));
  await driver.run(60_000);
  expect(driver.sinks.received('a')).toEqual([activityOperation(1)]);
  expect(driver.sinks.opened.length).toBe(3);
  expect(await driver.metric('retries_total', { code: 'permission_denied' })).toBe(2);
});

test('a clean stop drains what was taken up, commits it and leaves the group', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  driver.produce(activity(1));
  driver.member.poll();
  const closed = driver.application.close(10_000);
  await driver.clock.advance(1_000);
  await closed;
  expect(driver.sinks.received('a')).toEqual([activityOperation(1)]);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(1);
  expect(driver.application.state).toBe('NOT_RUNNING');
});

test('takes up nothing that the consumer hands over during the stop: the next owner gets it, once', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  const answer = Promise.withResolvers<SendOutcome>();
  driver.sinks.script('a', () => answer.promise);
  driver.produce(activity(1));
  await driver.run();
  const closed = driver.application.close(10_000);
  driver.produce(activity(2));
  driver.member.deliver(driver.kafka.read(driver.partition(), 1));
  await driver.clock.advance(100);
  answer.resolve({ delivered: 1, failure: null });
  await driver.clock.advance(1_000);
  await closed;
  expect(driver.sinks.requests.flatMap(({ operations }) => operations)).toEqual([activityOperation(1)]);
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(1);
});

test('a stop names the partitions and replications that it had to leave, and closes the schemas', async () => {
  const driver = aDriver();
  await driver.configure('stuck', {});
  await driver.configure('fine', {});
  driver.sinks.script('stuck', unavailable);
  await driver.start([0, 1]);
  driver.produce(activity(1));
  await driver.run(2_000);
  const closed = driver.application.close(5_000);
  await driver.clock.advance(4_000);
  const left = { partitions: [`${MUTATIONS}/0`], replications: ['stuck'] };
  expect(driver.application.unfinished()).toEqual({ ...left, closing: [] });
  await driver.clock.advance(3_000);
  await closed;
  expect(driver.application.unfinished()).toEqual({ ...left, closing: [] });
  const told = driver.logs.filter(({ msg }) => msg.startsWith('not everything could be delivered'));
  expect(told.map(({ level, fields }) => ({ level, fields }))).toEqual([{ level: 'warn', fields: left }]);
  expect(driver.areSchemasClosed).toBe(true);
});

test('keeps to the pinned partition count of a topic that has grown', async () => {
  const asked: (number | null | undefined)[] = [];
  const driver = aDriver({
    checkTopics: async (pinned) => {
      asked.push(pinned && pinned.get(MUTATIONS));
      return { missing: [], partitions: new Map([[MUTATIONS, 16]]) };
    },
  });
  driver.kafka.append(STATUS, {
    key: Buffer.from(`partitions/${MUTATIONS}`),
    value: Buffer.from(`{"v":1,"topic":"${MUTATIONS}","count":4}`),
  });
  await driver.configure('a', { metadata: ['message_id'] });
  await driver.start();
  driver.produce(activity(1));
  await driver.run();
  expect(asked).toEqual([null, 4]);
  expect(driver.sinks.requests[0]?.messageIds).toEqual(['00004-0-00000000000000000000']);
});

test('gives all memory back once everything is delivered', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.configure('b', { replication_filters: [{ document: 'USER_ACTIVITY', filter: null }] });
  await driver.start();
  for (let n = 0; n < 2_000; n += 1) driver.produce(activity(n));
  await driver.run();
  await driver.run(3_000);
  expect(driver.sinks.received('b')).toHaveLength(2_000);
  expect(await driver.metric('in_flight_bytes')).toBe(0);
});
