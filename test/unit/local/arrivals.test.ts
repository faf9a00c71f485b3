import { expect, test } from '@jest/globals';
import { compareArrivals } from '../../../local/arrivals.ts';

const expected = [
  { ctxId: 'a', bytes: 'a1' },
  { ctxId: 'b', bytes: 'b1' },
  { ctxId: 'a', bytes: 'a2' },
];

test('accepts any interleaving of user points', () => {
  expect(compareArrivals(expected, ['b1', 'a1', 'a2'])).toEqual({
    lost: [],
    unknown: [],
    outOfOrder: [],
    duplicates: 0,
  });
});

test('names a lost operation', () => {
  expect(compareArrivals(expected, ['a1', 'b1']).lost).toEqual(['a2']);
});

test('names an operation whose bytes are wrong', () => {
  expect(compareArrivals(expected, ['a1', 'b1', 'a2 ']).unknown).toEqual(['a2 ']);
});

test('names a newer operation that overtakes an older one of its user point', () => {
  expect(compareArrivals(expected, ['a2', 'b1', 'a1']).outOfOrder).not.toEqual([]);
});

test('counts redeliveries and takes them as no violation of order', () => {
  expect(compareArrivals(expected, ['a1', 'a2', 'a1', 'a2', 'b1'])).toMatchObject({
    duplicates: 2,
    outOfOrder: [],
  });
});
