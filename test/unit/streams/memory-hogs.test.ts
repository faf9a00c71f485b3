import { expect, test } from '@jest/globals';
import type { Destination } from '../../../streams/destination.ts';
import { memoryHogs } from '../../../streams/memory-hogs.ts';

const LIMIT = 1_000;

/** The ids of the hogs among lanes that hold so much. */
function hogsOf(held: Readonly<Record<string, readonly number[]>>, active: number): string[] {
  const lanes = Object.entries(held).flatMap(([id, bytes]) => {
    const destination = { id } as Destination;
    return bytes.map((heldBytes) => ({ destination, heldBytes }));
  });
  return [...memoryHogs(lanes, active, LIMIT)].map(({ id }) => id);
}

test('one destination that holds the memory over all its partitions, while another holds little', () => {
  expect(hogsOf({ slow: [300, 400, 250], good: [5, 0, 10] }, 2)).toEqual(['slow']);
});

test('several that hold it together', () => {
  expect(hogsOf({ a: [480], b: [500], good: [10] }, 3)).toEqual(['a', 'b']);
});

test('nobody when all are loaded alike, or when there is only one', () => {
  expect(hogsOf({ a: [500], b: [500] }, 2)).toEqual([]);
  expect(hogsOf({ a: [1_000] }, 1)).toEqual([]);
  expect(hogsOf({}, 3)).toEqual([]);
});

test('a replication without backlog would wait, too', () => {
  expect(hogsOf({ a: [1_000] }, 2)).toEqual(['a']);
});
