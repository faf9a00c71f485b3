import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Hash64 } from '../../../schemas/hash64.ts';

const hashOf = (text: string, seed = 0): string => new Hash64(seed).of(Buffer.from(text)).toString();

// As mmh3, a binding of the reference implementation, prints the first half of hash128 (x86, seed 0).
test.each([
  ['', '0000000000000000'],
  ['a', 'a794933c5556b01b'],
  ['ab', '158451df25be3010'],
  ['abc', '75cdc6d1a2b006a5'],
  ['abcd', '96b6ccaa45afc62e'],
  ['abcdefgh', 'aef41136adb11487'],
  ['abcdefghijkl', '738503fef48224c0'],
  ['abcdefghijklmno', 'ee6d1d694a1ad5ae'],
  ['abcdefghijklmnop', '9fd2762790b91256'],
  ['abcdefghijklmnopq', '0445a4d364515c6f'],
  ['é😀', '5f651b6d43af443f'],
  ['1649/UserSegment/4700c85f-17e3-4304-aa7f-dc140173b08d:12', 'eb56457cac417df9'],
])('is the first half of MurmurHash3_x86_128: %j', (text, hash) => {
  expect(hashOf(text)).toBe(hash);
});

test('is another with another seed', () => {
  expect(hashOf('a', 1)).not.toBe(hashOf('a'));
  expect(hashOf('a', 1)).toBe(hashOf('a', 1));
});

test('depends on the bytes of the range alone', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 70 }),
      fc.uint8Array({ maxLength: 20 }),
      fc.uint8Array({ maxLength: 20 }),
      (bytes, before, after) => {
        const whole = Buffer.concat([before, bytes, after]);
        const hash = new Hash64().of(whole, before.length, before.length + bytes.length);
        expect(hash.toString()).toBe(new Hash64().of(bytes).toString());
      },
    ),
  );
});

test('every bit of a text changes about half of the bits', () => {
  const text = Buffer.from('1649/UserSegment/4700c85f-17e3-4304-aa7f-dc140173b08d:12');
  const { high, low } = new Hash64().of(text);
  for (let bit = 0; bit < text.length * 8; bit++) {
    const changed = Buffer.from(text);
    changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    const other = new Hash64().of(changed);
    const differing = ones(other.high ^ high) + ones(other.low ^ low);
    expect(differing).toBeGreaterThan(12);
    expect(differing).toBeLessThan(52);
  }
});

test('200,000 keys that look alike have as many hashes', () => {
  const hashes = new Set<string>();
  for (let i = 0; i < 200_000; i++) hashes.add(hashOf(`1649/UserSegment/4700c85f:${i}`));

  expect(hashes.size).toBe(200_000);
});

function ones(word: number): number {
  let count = 0;
  for (let rest = word >>> 0; rest !== 0; rest >>>= 1) count += rest & 1;
  return count;
}
