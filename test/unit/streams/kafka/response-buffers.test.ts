import { expect, test } from '@jest/globals';
import { ResponseBuffers } from '../../../../streams/kafka/response-buffers.ts';

const MIB = 1024 * 1024;

test('a buffer that was given back is lent to the next response of about its size', () => {
  const buffers = new ResponseBuffers();
  const first = buffers.take(MIB + 70);
  buffers.giveBack(first.buffer);

  const second = buffers.take(MIB + 71);

  expect(second.buffer).toBe(first.buffer);
  expect(second).toHaveLength(MIB + 71);
});

test('nobody else has it meanwhile', () => {
  const buffers = new ResponseBuffers();
  const first = buffers.take(MIB);
  buffers.giveBack(first.buffer);
  buffers.giveBack(first.buffer);

  expect(buffers.take(MIB).buffer).toBe(first.buffer);
  expect(buffers.take(MIB).buffer).not.toBe(first.buffer);
});

test.each([
  ['larger', MIB, 2 * MIB],
  ['much smaller', 4 * MIB, MIB],
])('a %s response gets another', (_what, before, after) => {
  const buffers = new ResponseBuffers();
  const first = buffers.take(before);
  buffers.giveBack(first.buffer);

  const second = buffers.take(after);

  expect(second.buffer).not.toBe(first.buffer);
  expect(second).toHaveLength(after);
});

test('what isn’t from here isn’t lent', () => {
  const buffers = new ResponseBuffers();
  const foreign = Buffer.allocUnsafeSlow(MIB);
  const small = buffers.take(1_000);
  buffers.giveBack(foreign.buffer);
  buffers.giveBack(small.buffer);

  expect(buffers.take(MIB).buffer).not.toBe(foreign.buffer);
  expect(buffers.take(1_000).buffer).not.toBe(small.buffer);
});

test('holds no more than 16 that nobody uses', () => {
  const buffers = new ResponseBuffers();
  const lent = Array.from({ length: 20 }, () => buffers.take(MIB));
  for (const { buffer } of lent) buffers.giveBack(buffer);

  const again = Array.from({ length: 20 }, () => buffers.take(MIB).buffer);

  const known = new Set(lent.map(({ buffer }) => buffer));
  expect(again.filter((buffer) => known.has(buffer))).toHaveLength(16);
});
