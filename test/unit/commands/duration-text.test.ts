import { expect, test } from '@jest/globals';
import { durationText } from '../../../commands/duration-text.ts';

test.each([
  [0, '0 s'],
  [0.6, '1 s'],
  [55.000_000_1, '55 s'],
  [59.6, '1 min 0 s'],
  [65, '1 min 5 s'],
  [3_599, '59 min 59 s'],
  [3_600, '1 h 0 min'],
  [3_659, '1 h 1 min'],
  [7_171, '2 h 0 min'],
  [7_799, '2 h 10 min'],
])('%d seconds are %s', (seconds, text) => {
  expect(durationText(seconds)).toBe(text);
});
