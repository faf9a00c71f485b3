import { expect, test } from '@jest/globals';
import { FirstOf } from '../../../../streams/redrive/first-of.ts';

const ascending = (items: readonly number[]): number[] => [...new Set(items)].sort((a, b) => a - b);

function firstOf(limit: number, items: readonly number[]): FirstOf<number> {
  const kept = new FirstOf(limit, ascending);
  for (const item of items) kept.add(item);
  return kept;
}

test.each([
  [3, [9, 4, 7, 1, 8, 2, 6], [1, 2, 4], true],
  [3, [9, 4, 7], [4, 7, 9], false],
  [3, [], [], false],
  [Infinity, [3, 1, 2], [1, 2, 3], false],
])('keeps the first %d of %j', (limit, items, expected, isCut) => {
  const kept = firstOf(limit, items);

  expect(kept.items).toEqual(expected);
  expect(kept.isCut).toBe(isCut);
});

test('what the order leaves out takes no place, and nothing is cut for it', () => {
  const kept = firstOf(2, [1, 1, 1, 1, 1, 2, 2, 1]);

  expect(kept.items).toEqual([1, 2]);
  expect(kept.isCut).toBe(false);
});
