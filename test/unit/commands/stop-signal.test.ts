import { expect, test } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { listenForStop } from '../../../commands/stop-signal.ts';

test('aborts with the first signal and forces with the second', () => {
  const signals = new EventEmitter();
  let forced = 0;
  using stop = listenForStop(signals, () => {
    forced++;
  });

  signals.emit('SIGTERM');
  expect([stop.signal.aborted, forced]).toEqual([true, 0]);

  signals.emit('SIGINT');
  expect(forced).toBe(1);
});

test('listens no more once it is disposed', () => {
  const signals = new EventEmitter();
  {
    using stop = listenForStop(signals, () => undefined);
    expect(stop.signal.aborted).toBe(false);
  }

  expect([signals.listenerCount('SIGTERM'), signals.listenerCount('SIGINT')]).toEqual([0, 0]);
});
