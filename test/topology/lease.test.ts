import { afterEach, expect, test } from '@jest/globals';
import type { SendOutcome } from '../../sinks/sink.ts';
import { parseCommitMetadata } from '../../streams/commit-metadata.ts';
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

const isQuiet = (driver: TopologyTestDriver): boolean =>
  parseCommitMetadata(driver.kafka.committed(driver.partition())?.metadata ?? null).isQuiet;

test('starts no attempt when the coordinator has not answered for longer than the lease, and goes on when it does', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  driver.member.isMute = true;
  driver.kafka.commitFault = () => new Error('the coordinator is not there');
  await driver.run(14_500);
  driver.produce(activity(0));
  await driver.run(2_000);
  expect(driver.sinks.received('a')).toHaveLength(0);
  driver.member.isMute = false;
  driver.kafka.commitFault = null;
  await driver.clock.advance(3_500);
  expect(driver.sinks.received('a')).toHaveLength(1);
});

test('an acknowledged commit proves the membership too', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  driver.member.isMute = true;
  for (let n = 0; n < 30; n += 1) {
    driver.produce(activity(n));
    await driver.run(1_000);
  }
  expect(driver.sinks.received('a')).toHaveLength(30);
});

test('starts nothing from the rebalance until the partitions are claimed again', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  driver.member.rebalancing();
  driver.produce(activity(0));
  await driver.run(5_000);
  expect(driver.sinks.received('a')).toHaveLength(0);
  driver.member.assign([driver.partition()]);
  await driver.run(1_000);
  expect(driver.sinks.received('a')).toHaveLength(1);
});

test('before it joins anew it waits for the attempt in flight, and says in a commit that it is quiet', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  const answer = Promise.withResolvers<SendOutcome>();
  driver.sinks.script('a', () => answer.promise);
  driver.produce(activity(0));
  await driver.run(100);
  driver.produce(activity(1));
  await driver.run(100);
  let hasJoined = false;
  const rejoining = driver.member.rejoin().then(() => {
    hasJoined = true;
  });
  await driver.clock.advance(3_000);
  expect(hasJoined).toBe(false);
  answer.resolve({ delivered: 1, failure: null });
  await driver.clock.advance(100);
  await rejoining;
  expect(driver.kafka.committed(driver.partition())?.offset).toBe(1);
  expect(isQuiet(driver)).toBe(true);
  expect(driver.sinks.requests).toHaveLength(1);

  driver.sinks.script('a', undefined);
  driver.member.assign([driver.partition()]);
  await driver.clock.advance(50);
  expect(isQuiet(driver)).toBe(false);
  await driver.clock.advance(1_000);
  expect(driver.sinks.received('a')).toHaveLength(2);
});

test('a member whose attempt does not end joins after the deadline, and does not say that it is quiet', async () => {
  const driver = aDriver();
  await driver.configure('a', {});
  await driver.start();
  driver.sinks.script('a', () => new Promise(() => undefined));
  driver.produce(activity(0));
  await driver.run(100);
  const rejoining = driver.member.rejoin();
  await driver.clock.advance(8_500);
  await rejoining;
  expect(isQuiet(driver)).toBe(false);
});

test('after a clean stop the next owner begins at once; after a kill it waits for the quiet time', async () => {
  const first = aDriver();
  await first.configure('a', {});
  await first.start();
  first.produce(activity(0));
  await first.run(100);
  await first.close();
  expect(isQuiet(first)).toBe(true);
  const second = aDriver({ kafka: first.kafka, clock: first.clock, sinks: first.sinks });
  await second.start();
  second.produce(activity(1));
  await second.run(100);
  expect(second.sinks.received('a')).toHaveLength(2);
  await second.run(1_500);
  await second.kill();
  const third = aDriver({ kafka: first.kafka, clock: first.clock, sinks: first.sinks });
  await third.start();
  third.produce(activity(2));
  await third.run(9_000);
  expect(third.sinks.received('a')).toHaveLength(2);
  await third.run(1_500);
  expect(third.sinks.received('a')).toHaveLength(3);
});

test('a new owner that stops in its quiet time is not quiet: the one after it waits as well', async () => {
  const first = aDriver();
  await first.configure('a', {});
  await first.start();
  first.produce(activity(0));
  await first.run(1_500);
  await first.kill();
  const { kafka, clock, sinks } = first;
  const second = aDriver({ kafka, clock, sinks });
  await second.start();
  await second.run(2_000);
  await second.close();
  expect(isQuiet(second)).toBe(false);
  const third = aDriver({ kafka, clock, sinks });
  await third.start();
  third.produce(activity(1));
  await third.run(9_000);
  expect(sinks.received('a')).toHaveLength(1);
  await third.run(1_500);
  expect(sinks.received('a')).toHaveLength(2);
});
