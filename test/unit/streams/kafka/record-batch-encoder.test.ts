import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createRequire } from 'node:module';
import { encodeRecordBatch, maxRecordBatchBytes } from '../../../../streams/kafka/record-batch-encoder.ts';
import { readRecordBatches } from '../../../../streams/kafka/record-batch.ts';
import type { ConsumedRecord, ProducedRecord } from '../../../../streams/kafka-port.ts';
import { RecordArray } from '../../../../streams/record-array.ts';
import { crc32c } from '../../../support/crc32c.ts';

const requireKafkajs = createRequire(import.meta.url);
const KafkajsDecoder = requireKafkajs('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => object;
const decodeByKafkajs = requireKafkajs('kafkajs/src/protocol/recordBatch/v0/decoder') as (
  decoder: object,
) => Promise<{
  readonly records: readonly (Pick<ConsumedRecord, 'key' | 'value' | 'headers'> & {
    readonly offset: string;
    readonly timestamp: string;
  })[];
}>;

const NOW = 1_763_900_000_000;

function encoded(records: readonly ProducedRecord[]): Buffer {
  const target = Buffer.alloc(maxRecordBatchBytes(new RecordArray(records)), 0xee);
  return target.subarray(0, encodeRecordBatch(new RecordArray(records), target, NOW));
}

async function readBack(bytes: Buffer): Promise<ConsumedRecord[]> {
  const records: ConsumedRecord[] = [];
  const unpack = (): never => {
    throw new Error('it is not compressed');
  };
  for (const batch of await readRecordBatches(bytes, unpack)) batch.decodeFrom(0, records);
  return records;
}

const text = (value: string): Buffer => Buffer.from(value);

describe('an encoded record batch', () => {
  const records: readonly ProducedRecord[] = [
    {
      key: text('a'),
      value: text('1'),
      headers: { source: '00008-3-00000000000000000017' },
      timestamp: NOW - 5,
    },
    { key: text('b'), value: null, headers: {}, timestamp: NOW + 9 },
    { key: null, value: Buffer.alloc(70_000, 'x'), headers: { none: undefined, two: ['ü', text('2')] } },
    { key: text(''), value: text(''), headers: { bytes: text('€') }, timestamp: -1 },
  ];

  test('is read by kafkajs as it was written', async () => {
    const { records: read } = await decodeByKafkajs(new KafkajsDecoder(encoded(records)));

    expect(
      read.map(({ offset, timestamp, key, value }) => [offset, timestamp, key, value?.length ?? null]),
    ).toEqual([
      ['0', String(NOW - 5), text('a'), 1],
      ['1', String(NOW + 9), text('b'), null],
      ['2', String(NOW), null, 70_000],
      ['3', '-1', text(''), 0],
    ]);
    expect(read.map(({ headers }) => headers)).toEqual([
      { source: text('00008-3-00000000000000000017') },
      {},
      { two: [text('ü'), text('2')] },
      { bytes: text('€') },
    ]);
  });

  test('has the checksum of Castagnoli over everything behind it, and the greatest timestamp', () => {
    const bytes = encoded(records);

    expect(bytes.readUInt32BE(17)).toBe(crc32c(bytes.subarray(21)));
    expect(bytes.readInt32BE(8)).toBe(bytes.length - 12);
    expect(bytes.readBigInt64BE(35)).toBe(BigInt(NOW + 9));
    expect([bytes.readInt32BE(23), bytes.readInt32BE(57)]).toEqual([3, 4]);
  });

  test('is read as it was written, whatever the records hold, and never leaves its room', async () => {
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
    const record = fc.record({
      key: fc.option(bytes),
      value: fc.option(bytes),
      timestamp: fc.integer({ min: -1, max: 2 ** 43 }),
      headers: fc.dictionary(fc.string({ unit: 'binary', maxLength: 10 }), bytes),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 200 }), async (made) => {
        const read = await readBack(encoded(made));

        expect(read).toHaveLength(made.length);
        for (const [i, { key, value, timestamp, headers }] of made.entries()) {
          expect(read[i]).toMatchObject({ offset: i, key, value, timestamp });
          expect({ ...read[i]?.headers }).toEqual({ ...headers });
        }
      }),
      { numRuns: 100 },
    );
  });
});
