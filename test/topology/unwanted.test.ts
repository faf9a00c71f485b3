import { afterEach, describe, expect, test } from '@jest/globals';
import { SinkError } from '../../sinks/sink.ts';
import { parseCommitMetadata } from '../../streams/commit-metadata.ts';
import { aMutation, TopologyTestDriver } from '../support/topology-test-driver.ts';

/* A replication that isn't served, and to which nothing comes that it wants (PROTOCOL C5). */

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
const unwanted = () => aMutation({ value: {} });

const received = (driver: TopologyTestDriver): number[] =>
  driver.sinks
    .received('rare')
    .map((operation) => (JSON.parse(operation) as { value: { n: number } }).value.n);

const RARE = { replication_filters: [{ document: 'USER_ACTIVITY' }], resume: 'WHERE_STOPPED' };

const down = new SinkError('retriable', 'unavailable', 'the destination is unavailable');
/** How a replication comes to be served no more, with nothing undelivered, and how it is served again. */
const STOPS = {
  PAUSED: {
    stop: (driver: TopologyTestDriver) => driver.configure('rare', { ...RARE, status: 'PAUSED' }),
    goOn: (driver: TopologyTestDriver) => driver.configure('rare', RARE),
  },
  'in ERROR': {
    stop: async (driver: TopologyTestDriver) => {
      await driver.configure('rare', { ...RARE, status: 'PAUSED' });
      await driver.run(20_000);
      driver.sinks.refuse('rare', new SinkError('fatal', 'not_found', 'there is no such topic'));
      await driver.configure('rare', RARE);
      await driver.run(1_000);
      expect(await driver.metric('replication_state', { replication_id: 'rare', state: 'ERROR' })).toBe(1);
    },
    goOn: async (driver: TopologyTestDriver) => {
      driver.sinks.refuse('rare', null);
      await driver.configure('rare', { ...RARE, name: 'repaired' });
    },
  },
  'ACTIVATING, its destination down': {
    stop: async (driver: TopologyTestDriver) => {
      driver.sinks.refuse('rare', down);
      await driver.configure('rare', { ...RARE, status: 'PAUSED' });
      await driver.run(20_000);
      await driver.configure('rare', RARE);
      await driver.run(1_000);
      expect(await driver.metric('replication_state', { replication_id: 'rare', state: 'ACTIVATING' })).toBe(
        1,
      );
    },
    goOn: async (driver: TopologyTestDriver) => {
      driver.sinks.refuse('rare', null);
      await driver.run(30_000);
    },
  },
} as const;

const ownPosition = (driver: TopologyTestDriver): number | undefined =>
  parseCommitMetadata(driver.kafka.committed(driver.partition())?.metadata ?? null).x[0]?.position;

describe.each(Object.entries(STOPS))('%s', (_state, { stop, goOn }) => {
  async function stopped(): Promise<TopologyTestDriver> {
    const driver = aDriver();
    await driver.configure('rare', RARE);
    await driver.configure('other', {});
    await driver.start();
    driver.produce(activity(1));
    await driver.run(2_000);
    await stop(driver);
    return driver;
  }

  /** Many mutations that it doesn't want, and retention takes all but the last. */
  async function passBy(driver: TopologyTestDriver): Promise<number> {
    let last = 0;
    for (let i = 0; i < 50; i += 1) last = driver.produce(unwanted());
    await driver.run(3_000);
    driver.kafka.deleteBefore(driver.partition(), last);
    return last;
  }

  test('its position moves over what it does not want, so retention takes nothing from it', async () => {
    const driver = await stopped();
    const end = (await passBy(driver)) + 1;
    expect(ownPosition(driver)).toBe(end);
    driver.produce(activity(2));
    await driver.run(2_000);
    await goOn(driver);
    await driver.run(3_000);
    await driver.run(3_000);
    expect(received(driver).at(-1)).toBe(2);
    expect(await driver.metric('lost_offsets_total', { replication_id: 'rare' })).toBeUndefined();
    expect(await driver.metric('needs_initial_sync', { replication_id: 'rare' })).toBeUndefined();
  });

  test('it stays at the first one that it wants, which is sent when it is served again', async () => {
    const driver = await stopped();
    driver.produce(unwanted());
    const wanted = driver.produce(activity(2));
    driver.produce(unwanted());
    await driver.run(3_000);
    const position = ownPosition(driver) ?? 0;
    for (let i = 0; i < 3; i += 1) {
      driver.produce(unwanted());
      await driver.run(2_000);
    }
    expect(position).toBeLessThanOrEqual(wanted);
    expect(ownPosition(driver)).toBe(position);
    await goOn(driver);
    await driver.run(3_000);
    await driver.run(3_000);
    expect(received(driver).at(-1)).toBe(2);
  });

  test('it moves on under the next owner, and is not sent what lay behind the committed offset', async () => {
    const first = await stopped();
    await passBy(first);
    await first.close();
    const second = aDriver({ kafka: first.kafka, clock: first.clock, sinks: first.sinks });
    await second.start();
    await second.quietTime();
    const end = (await passBy(second)) + 1;
    expect(ownPosition(second)).toBe(end);
    const before = received(second).length;
    second.produce(activity(3));
    await second.run(2_000);
    await goOn(second);
    await second.run(30_000);
    await second.run(3_000);
    expect(received(second).slice(before)).toEqual([3]);
    expect(await second.metric('lost_offsets_total', { replication_id: 'rare' })).toBeUndefined();
  });
});

test('a mutation of a type that only its new filter selects was not missed', async () => {
  const driver = aDriver();
  await driver.configure('rare', RARE);
  await driver.start();
  driver.produce(activity(1));
  await driver.run(2_000);
  await driver.configure('rare', { ...RARE, status: 'PAUSED' });
  driver.produce(unwanted());
  await driver.run(3_000);
  expect(ownPosition(driver)).toBe(2);
});

test('what retention takes while a replication is paused counts as lost, since nobody has seen it', async () => {
  const driver = aDriver();
  await driver.configure('rare', RARE);
  await driver.start();
  driver.produce(activity(1));
  await driver.run(2_000);
  await driver.configure('rare', { ...RARE, status: 'PAUSED' });
  await driver.run(2_000);
  for (let i = 0; i < 10; i += 1) driver.produce(activity(i));
  driver.kafka.deleteBefore(driver.partition(), 6);
  driver.member.deliver({ ...driver.kafka.read(driver.partition(), 6), fetchedOffset: 6 });
  await driver.run(3_000);
  await driver.configure('rare', RARE);
  await driver.run(5_000);
  await driver.run(5_000);
  expect(await driver.metric('lost_offsets_total', { replication_id: 'rare' })).toBe(5);
});
