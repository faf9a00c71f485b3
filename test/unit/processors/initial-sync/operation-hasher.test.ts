import { expect, test } from '@jest/globals';
import { OperationHasher } from '../../../../processors/initial-sync/operation-hasher.ts';

const hasher = new OperationHasher();
const contents = (value: string, ts = 1): string =>
  hasher.contents({ ts, value: Buffer.from(value) }).toString();

test('documents differ by type and id', () => {
  const hashes = new Set(
    [
      hasher.document(1, 'a').toString(),
      hasher.document(2, 'a').toString(),
      hasher.document(1, 'b').toString(),
    ].values(),
  );

  expect(hashes.size).toBe(3);
  expect(hasher.document(1, 'a').toString()).toBe(hasher.document(1, 'a').toString());
});

test('contents differ by ts and by every byte', () => {
  expect(new Set([contents('{}'), contents('{}', 2), contents('{ }'), contents('{"a":1}')]).size).toBe(4);
});

test('line breaks count as spaces', () => {
  expect(contents('{\r\n"a":1}')).toBe(contents('{  "a":1}'));
});

test('takes texts of any length', () => {
  const long = 'é'.repeat(100_000);

  expect(hasher.document(1, long).toString()).toBe(new OperationHasher().document(1, long).toString());
  expect(contents(long)).not.toBe(contents(`${long} `));
});
