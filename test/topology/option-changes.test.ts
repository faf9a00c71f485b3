import { afterEach, expect, test } from '@jest/globals';
import type { SendOutcome } from '../../sinks/sink.ts';
import { aMutation, TopologyTestDriver } from '../support/topology-test-driver.ts';

const drivers: TopologyTestDriver[] = [];

function aDriver(): TopologyTestDriver {
  const driver = new TopologyTestDriver();
  drivers.push(driver);
  return driver;
}

afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.close();
});

const USERS = Array.from({ length: 8 }, (_, i) => `${i}700c85f-17e3-4304-aa7f-dc140173b08d`);

/** One mutation of every user, told apart by `n`. */
function produceRound(driver: TopologyTestDriver, n: number): void {
  for (const user of USERS)
    driver.produce(
      aMutation({ user_point_id: user, doc_type: 'UserActivity', user_activity_id: `a${n}`, value: { n } }),
    );
}

/** The rounds of a user's operations in the order in which they arrived. */
function roundsOf(driver: TopologyTestDriver, user: string): number[] {
  return driver.sinks
    .received('80')
    .filter((operation) => operation.includes(user))
    .map((operation) => (JSON.parse(operation) as { value: { n: number } }).value.n);
}

test('with other ordering lanes, what was encoded for the old ones is delivered first, and no user point is overtaken', async () => {
  const driver = aDriver();
  await driver.start();
  await driver.configure('80', { ordering: true, ordering_lanes: 16 });
  const answers: (() => void)[] = [];
  driver.sinks.script('80', (operations) => {
    const { promise, resolve } = Promise.withResolvers<SendOutcome>();
    answers.push(() => {
      resolve({ delivered: operations.length, failure: null });
    });
    return promise;
  });
  produceRound(driver, 0);
  await driver.run(100);
  produceRound(driver, 1);
  await driver.run(100);
  expect(driver.sinks.requests).toHaveLength(1);

  await driver.configure('80', { ordering: true, ordering_lanes: 3 });
  produceRound(driver, 2);
  await driver.run(100);
  await driver.configure('80', { ordering: false });
  produceRound(driver, 3);
  await driver.run(100);
  expect(driver.sinks.requests).toHaveLength(1);
  for (let i = 0; i < 100; i += 1) {
    for (const answer of answers.splice(0)) answer();
    await driver.run(300);
  }

  for (const user of USERS) expect(roundsOf(driver, user)).toEqual([0, 1, 2, 3]);
  const rounds = driver.sinks.requests.map(({ operations, orderingLane }) => ({
    n: Math.max(...operations.map((text) => (JSON.parse(text) as { value: { n: number } }).value.n)),
    orderingLane,
  }));
  const lanesOf = (n: number) =>
    rounds.filter((round) => round.n === n).map(({ orderingLane }) => orderingLane);
  expect(lanesOf(2).every((lane) => lane !== null && lane < 3)).toBe(true);
  expect(lanesOf(3)).toEqual([null]);
  expect(rounds.map(({ n }) => n)).toEqual(rounds.map(({ n }) => n).toSorted((a, b) => a - b));
});

test('a request in flight keeps the options that it was sent with, and the next one waits for it', async () => {
  const driver = aDriver();
  await driver.start([0, 1]);
  await driver.configure('80', {});
  const held = Promise.withResolvers<SendOutcome>();
  driver.produce(aMutation({ value: { n: 0 }, doc_type: 'UserActivity', user_activity_id: 'a' }), 0);
  driver.sinks.script('80', () => held.promise);
  await driver.run(500);
  driver.sinks.script('80', undefined);

  await driver.configure('80', { metadata: ['message_id'] });
  driver.produce(aMutation({ value: { n: 1 }, doc_type: 'UserActivity', user_activity_id: 'b' }), 1);
  await driver.run(500);
  expect(driver.sinks.requests).toHaveLength(1);
  held.resolve({ delivered: 1, failure: null });
  await driver.run(500);

  expect(driver.sinks.requests.map(({ options }) => options.messageId)).toEqual([false, true]);
  expect(driver.sinks.closed).toEqual(['80']);
});
