import { expect, test } from '@jest/globals';
import { ReplayTurns } from '../../../streams/replay-turns.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const NEVER = new AbortController().signal;

/** A clock whose timers come late, as they do while the event loop has work. */
class LateClock extends ManualClock {
  lateMs = 0;

  override schedule(delayMs: number, task: () => void): () => void {
    return super.schedule(delayMs + this.lateMs, task);
  }
}

test('turns come one after the other while there is time', async () => {
  const clock = new LateClock();
  const turns = new ReplayTurns(clock);
  const taken: number[] = [];
  for (const n of [1, 2, 3]) void turns.next(NEVER).then(() => taken.push(n));
  await clock.advance(1);
  expect(taken).toEqual([1]);
  await clock.advance(2);
  expect(taken).toEqual([1, 2, 3]);
});

test('a busy process lets one go on every 100 ms, and all at once when it has time again', async () => {
  const clock = new LateClock();
  const turns = new ReplayTurns(clock);
  let taken = 0;
  for (let n = 0; n < 5; n += 1) void turns.next(NEVER).then(() => (taken += 1));
  clock.lateMs = 19;
  await clock.advance(95);
  expect(taken).toBe(0);
  await clock.advance(110);
  expect(taken).toBe(2);
  clock.lateMs = 0;
  await clock.advance(30);
  expect(taken).toBe(5);
});

test('who closes needs no turn', async () => {
  const closing = new AbortController();
  const clock = new LateClock();
  const turn = new ReplayTurns(clock).next(closing.signal);
  closing.abort();
  await clock.advance(0);
  await expect(turn).resolves.toBeUndefined();
});
