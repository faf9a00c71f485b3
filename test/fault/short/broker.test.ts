import { expect, jest, test } from '@jest/globals';
import { NOTHING_WRONG } from '../oracle.ts';
import { DUPLICATES_PER_MISHAP, Outage, RECOVERY_MS, WINDOW_RECORDS } from '../outage.ts';
import { OwnKafka } from '../own-kafka.ts';
import { cpuSeconds } from '../process-usage.ts';

/* The broker goes away and comes back: RELIABILITY, section 6. The longer ones are in ../long/broker.test.ts. */

jest.setTimeout(240_000);

const AWAY_MS = 20_000;

test('row 5: the broker is killed hard and comes back after 20 s: the processor waits without spinning, and goes on within 60 s', async () => {
  await using kafka = await OwnKafka.start();
  await using outage = await Outage.start(kafka);
  const { load, processor } = outage;
  await outage.pauseInTheMiddle();
  await kafka.kill();
  const cpuBefore = cpuSeconds(processor.pid);
  await outage.stays(AWAY_MS);
  const share = (cpuSeconds(processor.pid) - cpuBefore) / (AWAY_MS / 1_000);
  expect(share).toBeLessThan(0.2);
  expect(await processor.health()).toBe(200);

  await kafka.restart();
  const recovery = await outage.recovery();
  expect(recovery).toBeLessThan(RECOVERY_MS);
  load.resume();
  await outage.untilArrived(WINDOW_RECORDS);
  await outage.finish();
  expect(await processor.stop()).toBe(0);
  const { duplicates, ...violations } = await load.oracle.verdict();
  expect(violations).toEqual(NOTHING_WRONG);
  expect(duplicates).toBeLessThanOrEqual(DUPLICATES_PER_MISHAP);
  process.stdout.write(
    `row 5: ${Math.round(share * 100)} % of a core while away, back after ${recovery} ms, ${duplicates} duplicates\n`,
  );
});
