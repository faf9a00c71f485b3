import { expect, test } from '@jest/globals';
import {
  formatMutationSource,
  isNewerSource,
  parseMutationSource,
} from '../../../schemas/mutation-source.ts';

const source = (partitionCount: number, partition: number, offset: number) => ({
  partitionCount,
  partition,
  offset,
});

test('is written as the contract says, and read back', () => {
  const text = formatMutationSource(source(8, 3, 123_456));

  expect(text).toBe('00008-3-00000000000000123456');
  expect(parseMutationSource(text)).toEqual(source(8, 3, 123_456));
});

test.each([
  source(99_999, 7, Number.MAX_SAFE_INTEGER),
  source(8, 2_147_483_647, 1_000_000_000),
  source(8, 1_234_567_890, 12_345_678_901),
])('keeps every digit of %j', (large) => {
  expect(parseMutationSource(formatMutationSource(large))).toEqual(large);
});

test.each([
  '00008-3-00009007199254740992',
  '00008-3-0x000000000000123456',
  '00008-3-00000x00000000123456',
  '',
  '8-3-1',
  '00008-3-123456',
  '00008-3-00000000000000123456 ',
  '00008-3-99999999999999999999',
  '00008--00000000000000123456',
  '00008-12345678901-00000000000000123456',
  '0008-33-00000000000000123456',
  '0000x-3-00000000000000123456',
  '00008-x-00000000000000123456',
  '00008-3-0000000000000012345x',
  '00008-3_00000000000000123456',
  '00008_3-00000000000000123456',
])('is not read from %j', (text) => {
  expect(parseMutationSource(text)).toBeNull();
});

test('of one document the greater text is the newer mutation, also after the topic got more partitions', () => {
  const inOrder = [
    source(8, 3, 9),
    source(8, 3, 10),
    source(16, 3, 11),
    source(32, 19, 2),
    source(32, 19, 1_000),
  ];

  for (const [i, a] of inOrder.entries())
    for (const [j, b] of inOrder.entries()) expect(isNewerSource(a, b)).toBe(i > j);
  expect(inOrder.map(formatMutationSource)).toEqual(inOrder.map(formatMutationSource).sort());
});
