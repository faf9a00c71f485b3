import { expect, test } from '@jest/globals';
import { RateLimit } from '../../../../streams/initial-sync/rate-limit.ts';

/** How many pass in a time, when somebody asks every millisecond. */
function passed(limit: RateLimit, fromMs: number, toMs: number): number {
  let count = 0;
  for (let now = fromMs; now < toMs; now += 1) {
    while (count < 1e6 && limit.allows(now)) {
      limit.take();
      count += 1;
    }
  }
  return count;
}

test.each([
  [1_000, 10],
  [100, 10],
  [0.5, 60],
])('%d a second over %d s', (perSecond, seconds) => {
  const count = passed(new RateLimit(perSecond, 5_000), 5_000, 5_000 + seconds * 1_000);
  expect(count).toBeGreaterThanOrEqual(Math.floor(perSecond * seconds));
  expect(count).toBeLessThanOrEqual(perSecond * seconds + 1);
});

test('after a quiet time a second’s worth comes at once, no more', () => {
  expect(passed(new RateLimit(10, 0), 60_000, 60_001)).toBe(10);
});

test('without a limit everything passes', () => {
  const limit = new RateLimit(Infinity, 0);
  for (let i = 0; i < 1_000; i += 1) {
    expect(limit.allows(0)).toBe(true);
    limit.take();
  }
});
