import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createRequire } from 'node:module';
import { murmur2 } from '../../../schemas/murmur2.ts';

const kafkajsMurmur2 = createRequire(import.meta.url)(
  'kafkajs/src/producer/partitioners/default/murmur2.js',
) as (key: Buffer) => number;

test('hashes the user point of the contract as Kafka does', () => {
  const id = Buffer.from('x4700c85f-17e3-4304-aa7f-dc140173b08dx');
  expect(murmur2(id, 1, id.length - 1) & 0x7fffffff).toBe(673718448);
});

test('hashes any bytes as the partitioner of kafkajs does', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), fc.nat(3), (bytes, offset) => {
      const padded = Buffer.concat([Buffer.alloc(offset), bytes]);
      expect(murmur2(padded, offset, padded.length)).toBe(kafkajsMurmur2(Buffer.from(bytes)));
    }),
  );
});
