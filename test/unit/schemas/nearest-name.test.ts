import { expect, test } from '@jest/globals';
import { nearestName } from '../../../schemas/nearest-name.ts';

const NAMES = ['status', 'topic_id', 'project_id'];

test.each([
  ['topic', undefined],
  ['topcid', 'topic_id'],
  ['Project_ID', 'project_id'],
  ['statsu', 'status'],
  ['id', undefined],
  ['', undefined],
])('for %p the nearest is %p', (mistyped, nearest) => {
  expect(nearestName(mistyped, NAMES)).toBe(nearest);
});

test('takes a name of a megabyte in its stride', () => {
  expect(nearestName('x'.repeat(1_000_000), NAMES)).toBeUndefined();
});
