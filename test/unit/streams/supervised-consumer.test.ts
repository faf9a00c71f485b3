import { expect, test } from '@jest/globals';
import type { FatalStreamsError } from '../../../streams/errors.ts';
import type { ConsumedBatch, GroupConsumer, GroupListener } from '../../../streams/kafka-port.ts';
import { EngineMetrics } from '../../../streams/metrics.ts';
import { SupervisedConsumer } from '../../../streams/supervised-consumer.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const BATCH: ConsumedBatch = {
  topic: 't',
  partition: 0,
  fetchedOffset: 0,
  nextOffset: 1,
  highWatermark: 1,
  records: [],
};

class FakeConsumer implements GroupConsumer {
  listener: GroupListener | null = null;
  isStopped = false;
  readonly #failure: Error | null;
  constructor(failure: Error | null) {
    this.#failure = failure;
  }
  async start(listener: GroupListener): Promise<void> {
    if (this.#failure) throw this.#failure;
    this.listener = listener;
  }
  resumeAt(): void {}
  pause(): void {}
  resume(): void {}
  async committed(): Promise<never[]> {
    return [];
  }
  async commit(): Promise<void> {}
  async stop(): Promise<void> {
    this.isStopped = true;
  }
}

function supervised(failures: readonly (Error | null)[] = []) {
  const clock = new ManualClock();
  const metrics = new EngineMetrics();
  const made: FakeConsumer[] = [];
  const fatal: FatalStreamsError[] = [];
  const batches: ConsumedBatch[] = [];
  let restarts = 0;
  const silent = { debug: noop, info: noop, warn: noop, error: noop, child: () => silent };
  const consumer = new SupervisedConsumer({
    make: () => {
      const next = new FakeConsumer(failures[made.length] ?? null);
      made.push(next);
      return next;
    },
    clock,
    random: () => 0.5,
    logger: silent,
    metrics,
    onRestart: () => {
      restarts += 1;
    },
    onFatal: (error) => fatal.push(error),
  });
  const listener: GroupListener = {
    onAssigned: noop,
    onRebalancing: noop,
    beforeRejoin: async () => undefined,
    onProven: noop,
    onBatch: (batch) => batches.push(batch),
    onFetched: noop,
    onCrash: noop,
  };
  return { clock, metrics, made, fatal, batches, consumer, listener, restarts: () => restarts };
}

function noop(): void {
  // Nothing is to be done.
}

const crash = { error: new Error('no broker'), isHopeless: false, isTransient: false };
const kafkaIsAway = { ...crash, isTransient: true };
const PROVEN = { wallMs: 0, monotonicMs: 0 };

test('a consumer that crashed is replaced, and is not heard any more', async () => {
  const { clock, made, batches, consumer, listener, metrics, restarts } = supervised();
  await consumer.start(listener);
  made[0]?.listener?.onCrash(crash);
  made[0]?.listener?.onBatch(BATCH);
  await clock.advance(1_000);
  expect(made).toHaveLength(2);
  expect(made[0]?.isStopped).toBe(true);
  expect(batches).toHaveLength(0);
  made[1]?.listener?.onBatch(BATCH);
  expect(batches).toHaveLength(1);
  expect(restarts()).toBe(1);
  expect(metrics.restarts.samples()[0]?.value).toBe(1);
  await consumer.stop();
});

test('one that stands still is replaced; one that fetches or is proven is left alone', async () => {
  const { clock, made, consumer, listener } = supervised();
  await consumer.start(listener);
  for (let i = 0; i < 10; i += 1) {
    await clock.advance(60_000);
    if (i % 2 === 0) made[0]?.listener?.onFetched();
    else made[0]?.listener?.onProven(PROVEN);
  }
  expect(made).toHaveLength(1);
  await clock.advance(95_000);
  expect(made).toHaveLength(2);
  await consumer.stop();
});

test('five restarts in ten minutes are the budget; then it is fatal', async () => {
  const { clock, made, fatal, consumer, listener } = supervised();
  await consumer.start(listener);
  for (let n = 0; n < 5; n += 1) {
    made[n]?.listener?.onCrash(crash);
    await clock.advance(10_000);
  }
  expect(fatal).toHaveLength(0);
  made[5]?.listener?.onCrash(crash);
  await clock.advance(10_000);
  expect(String(fatal[0])).toContain('5 restarts in ten minutes did not help: no broker');
  expect(made).toHaveLength(6);
  await consumer.stop();
});

test('a broker that goes away and comes back, again and again, costs no budget', async () => {
  const { clock, made, fatal, consumer, listener, metrics } = supervised();
  await consumer.start(listener);
  for (let bounce = 0; bounce < 12; bounce += 1) {
    made.at(-1)?.listener?.onAssigned([], { generationId: 1, memberId: 'm' });
    made.at(-1)?.listener?.onProven(PROVEN);
    // Those that follow find no coordinator yet.
    for (let n = 0; n < 4; n += 1) {
      made.at(-1)?.listener?.onCrash(kafkaIsAway);
      await clock.advance(8_000);
    }
  }
  expect(fatal).toHaveLength(0);
  expect(metrics.restarts.samples()[0]?.value).toBe(48);
  await consumer.stop();
});

test('one that stays away is fatal after nine minutes, whether consumers crash or do not even start', async () => {
  const gone = new Error('the broker is gone');
  const failures = Array.from({ length: 1_000 }, (_, n) => (n > 3 ? gone : null));
  const { clock, made, fatal, consumer, listener } = supervised(failures);
  await consumer.start(listener);
  made[0]?.listener?.onAssigned([], { generationId: 1, memberId: 'm' });
  made[0]?.listener?.onProven(PROVEN);
  for (let n = 0; n < 4; n += 1) {
    made[n]?.listener?.onCrash(kafkaIsAway);
    await clock.advance(8_000);
  }
  await clock.advance(480_000);
  expect(fatal).toHaveLength(0);
  await clock.advance(60_000);
  expect(String(fatal[0])).toContain('5 restarts in ten minutes did not help');
  expect(made.length).toBeLessThan(300);
  await consumer.stop();
});

test('the budget is full again after ten minutes', async () => {
  const { clock, made, fatal, consumer, listener } = supervised();
  await consumer.start(listener);
  for (let i = 0; i < 12; i += 1) {
    made.at(-1)?.listener?.onCrash(crash);
    for (let minute = 0; minute < 3; minute += 1) {
      await clock.advance(60_000);
      made.at(-1)?.listener?.onFetched();
    }
  }
  expect(made).toHaveLength(13);
  expect(fatal).toHaveLength(0);
  await consumer.stop();
});

test('what no other consumer could read either is fatal at once', async () => {
  const { clock, made, fatal, consumer, listener } = supervised();
  await consumer.start(listener);
  made[0]?.listener?.onCrash({ ...crash, error: new Error('codec 7 is not known'), isHopeless: true });
  await clock.advance(5_000);
  expect(made).toHaveLength(1);
  expect(String(fatal[0])).toContain('the consumer stopped: codec 7 is not known');
  await consumer.stop();
});
