import { expect, test } from '@jest/globals';
import { cutRanges, parseReadUntil, readUntilText } from '../../../../commands/initial-sync/read-until.ts';

const RANGES = [
  { topic: 'snapshot', partition: 0, start: 0, end: 100 },
  { topic: 'snapshot', partition: 1, start: 5, end: 50 },
];

test('ends where it is told to, and never behind the end', () => {
  expect(cutRanges(RANGES, parseReadUntil('snapshot/0:40, snapshot/1:900'))).toEqual([
    { topic: 'snapshot', partition: 0, start: 0, end: 40 },
    { topic: 'snapshot', partition: 1, start: 5, end: 50 },
  ]);
});

test('takes what it prints', () => {
  expect(readUntilText(RANGES)).toBe('snapshot/0:100,snapshot/1:50');
  expect(cutRanges(RANGES, parseReadUntil(readUntilText(RANGES)))).toEqual(RANGES);
});

test('refuses a partition that isn’t read', () => {
  expect(() => cutRanges(RANGES, parseReadUntil('snapshot/2:1'))).toThrow("snapshot/2 isn't read");
});

test.each(['', 'snapshot', 'snapshot/0', 'snapshot:5', 'snapshot/0:-1', 'snapshot/0:5,', 'a b/0:5'])(
  'refuses %j',
  (text) => {
    expect(() => parseReadUntil(text)).toThrow('--until');
  },
);
