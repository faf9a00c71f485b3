import { expect, test } from '@jest/globals';
import { grownTo, HashIndex } from '../../../processors/hash-index.ts';
import { Hash64 } from '../../../schemas/hash64.ts';

const hashOf = (text: string): Hash64 => new Hash64().of(Buffer.from(text));

test('numbers hashes in the order in which they come', () => {
  const index = new HashIndex();

  expect([index.numberOf(hashOf('a')), index.numberOf(hashOf('b')), index.numberOf(hashOf('a'))]).toEqual([
    0, 1, 0,
  ]);
  expect(index.find(hashOf('b'))).toBe(1);
  expect(index.find(hashOf('c'))).toBe(-1);
  expect(index.size).toBe(2);
});

test('keeps every number while it grows', () => {
  const index = new HashIndex();
  const before = index.capacity;
  for (let i = 0; i < 50_000; i++) expect(index.numberOf(hashOf(`key ${i}`))).toBe(i);

  expect(index.capacity).toBeGreaterThan(before);
  for (let i = 0; i < 50_000; i++) expect(index.find(hashOf(`key ${i}`))).toBe(i);
});

test('tells hashes apart that share a half', () => {
  const index = new HashIndex();
  const numbers = [
    { high: 1, low: 7 },
    { high: 2, low: 7 },
    { high: 1, low: 8 },
    { high: 0, low: 0 },
  ].map((hash) => index.numberOf(hash));

  expect(numbers).toEqual([0, 1, 2, 3]);
  expect(index.find({ high: 2, low: 8 })).toBe(-1);
});

test('begins anew after clear, and finds nothing of before', () => {
  const index = new HashIndex();
  for (let i = 0; i < 5_000; i++) index.numberOf(hashOf(`key ${i}`));
  const { capacity } = index;
  index.clear();

  expect(index.size).toBe(0);
  expect(index.find(hashOf('key 1'))).toBe(-1);
  expect(index.numberOf(hashOf('key 4999'))).toBe(0);
  expect(index.capacity).toBe(capacity);
});

test('grows an array once it is too short', () => {
  const array = Uint32Array.of(1, 2);

  expect(grownTo(2, array)).toBe(array);
  expect([...grownTo(4, array)]).toEqual([1, 2, 0, 0]);
});
