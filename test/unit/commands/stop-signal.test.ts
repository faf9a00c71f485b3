import { afterEach, expect, jest, test } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { listenForStop } from '../../../commands/stop-signal.ts';

afterEach(() => {
  jest.useRealTimers();
});

/** Listens, and notes the reason of the force at the moment of it. */
function listening() {
  const signals = new EventEmitter();
  const forced: string[] = [];
  const stop = listenForStop(signals, () => {
    forced.push((stop.forced.reason as Error).message);
  });
  return {
    signals,
    forced,
    stop,
    [Symbol.dispose]() {
      stop[Symbol.dispose]();
    },
  };
}

test('aborts with the first signal and forces with the second', () => {
  using listener = listening();
  const { signals, forced, stop } = listener;

  signals.emit('SIGTERM');
  expect([stop.signal.aborted, forced]).toEqual([true, []]);

  signals.emit('SIGINT');
  expect(forced).toEqual(['a second signal came']);
});

test.each(['a signal', 'the program itself'])('forces the end 25 s after %s began the stop', (by) => {
  jest.useFakeTimers();
  using listener = listening();
  const { signals, forced, stop } = listener;

  if (by === 'a signal') signals.emit('SIGTERM');
  else stop.stop();
  jest.advanceTimersByTime(24_999);
  expect(forced).toEqual([]);
  jest.advanceTimersByTime(1);
  expect(forced).toEqual(['the stop took longer than 25 s']);
});

test('a signal during a stop that the program began forces it', () => {
  using listener = listening();
  const { signals, forced, stop } = listener;

  stop.stop();
  signals.emit('SIGTERM');
  expect(forced).toEqual(['a second signal came']);
});

test('listens no more once it is disposed', () => {
  const signals = new EventEmitter();
  {
    using stop = listenForStop(signals, () => undefined);
    expect(stop.signal.aborted).toBe(false);
  }

  expect([signals.listenerCount('SIGTERM'), signals.listenerCount('SIGINT')]).toEqual([0, 0]);
});
