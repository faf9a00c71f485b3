import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createRequire } from 'node:module';
import snappy from 'snappyjs';
import { CODECS } from '../../../../streams/kafka/codecs.ts';
import {
  CorruptRecordBatchError,
  readRecordBatches,
  type Decompress,
  type RecordBatch,
} from '../../../../streams/kafka/record-batch.ts';
import type { ConsumedRecord } from '../../../../streams/kafka-port.ts';
import {
  aRecordBatch,
  encodedRecords,
  LOG_APPEND_TIME,
  varint,
  type RecordParts,
} from './record-batch-builder.ts';

const requireKafkajs = createRequire(import.meta.url);
const encodeBatch = (
  requireKafkajs('kafkajs/src/protocol/recordBatch/v0') as {
    RecordBatch: (parts: object) => Promise<{ buffer: Buffer }>;
  }
).RecordBatch;
const encodeRecord = requireKafkajs('kafkajs/src/protocol/recordBatch/record/v0') as (
  parts: object,
) => object;
const KafkajsDecoder = requireKafkajs('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => object;
const decodeByKafkajs = requireKafkajs('kafkajs/src/protocol/recordBatch/v0/decoder') as (
  decoder: object,
) => Promise<{ records: readonly KafkajsRecord[] }>;

interface KafkajsRecord {
  readonly offset: string;
  readonly timestamp: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: object;
}

const decompress: Decompress = (codec, bytes) => {
  const known = CODECS.get(codec);
  return known ? known.decompress(bytes) : Promise.reject(new Error(`codec ${codec}`));
};

const read = (bytes: Buffer): Promise<RecordBatch[]> => readRecordBatches(bytes, decompress);

async function recordsOf(bytes: Buffer, from = 0): Promise<ConsumedRecord[]> {
  const records: ConsumedRecord[] = [];
  for (const batch of await read(bytes)) batch.decodeFrom(from, records);
  return records;
}

const text = (value: string): Buffer => Buffer.from(value);

describe('a record batch', () => {
  test('is read as its producer wrote it: null keys and values, headers, times, gaps', async () => {
    const bytes = aRecordBatch({
      firstOffset: 40n,
      lastOffsetDelta: 9,
      firstTimestamp: 1_700_000_000_000n,
      records: [
        { offsetDelta: 1, key: null, value: null },
        { offsetDelta: 4, timestampDelta: -7n, key: text(''), value: text('é') },
        {
          offsetDelta: 8,
          timestampDelta: 1_000_000_000_000n,
          key: text('k'),
          value: text('v'),
          headers: [
            ['a', text('1')],
            ['b', null],
            ['a', null],
            ['a', text('2')],
            ['__proto__', text('p')],
            ['toString', text('t')],
          ],
        },
      ],
    });

    const records = await recordsOf(bytes);

    expect(records.map(({ offset, timestamp, key, value }) => [offset, timestamp, key, value])).toEqual([
      [41, 1_700_000_000_000, null, null],
      [44, 1_699_999_999_993, text(''), text('é')],
      [48, 2_700_000_000_000, text('k'), text('v')],
    ]);
    expect(Object.entries(records[2]?.headers ?? {})).toEqual([
      ['a', [text('1'), null, text('2')]],
      ['b', null],
      ['__proto__', text('p')],
      ['toString', text('t')],
    ]);
    expect(records[0]?.headers).toEqual({});
    expect((await read(bytes))[0]?.nextOffset).toBe(50);
  });

  test('is read for its keys alone, with what may stand behind them', async () => {
    const headers = [['source', text('1')]] as const;
    const bytes = aRecordBatch({
      firstOffset: 5n,
      records: [
        { key: text('a'), value: text('v'), headers },
        { offsetDelta: 1, key: text('b'), value: null, headers },
        { offsetDelta: 2, key: null, value: text('') },
      ],
    });
    const records: ConsumedRecord[] = [];
    for (const batch of await read(bytes)) batch.decodeFrom(5, records, 'keys');

    expect(records.map(({ offset, key, value }) => [offset, key, value])).toEqual([
      [5, text('a'), text('')],
      [6, text('b'), null],
      [7, null, text('')],
    ]);
    expect(records.map((record) => record.headers)).toEqual([{}, {}, {}]);
  });

  test('says where it ends when compaction took all its records', async () => {
    const [batch] = await read(aRecordBatch({ firstOffset: 7n, lastOffsetDelta: 4, records: [] }));

    expect(batch?.nextOffset).toBe(12);
    expect(await recordsOf(aRecordBatch({ records: [] }))).toEqual([]);
  });

  test('has the broker’s time for all records when the topic says so', async () => {
    const records = await recordsOf(
      aRecordBatch({
        attributes: LOG_APPEND_TIME,
        firstTimestamp: 5n,
        maxTimestamp: 99n,
        records: [{ timestampDelta: 1n }, { timestampDelta: 2n }],
      }),
    );

    expect(records.map(({ timestamp }) => timestamp)).toEqual([99, 99]);
  });

  test('gives only what lies at and behind the offset asked for', async () => {
    const bytes = aRecordBatch({ firstOffset: 10n, records: [{}, {}, {}] });

    expect((await recordsOf(bytes, 11)).map(({ offset }) => offset)).toEqual([11, 12]);
  });

  test('may have more records than the stack has room for', async () => {
    const count = 140_000;
    const record = encodedRecords([{}]);
    const bytes = aRecordBatch({ count, payload: Buffer.alloc(count * record.length, record) });

    expect(await recordsOf(bytes)).toHaveLength(count);
  });

  test('is refused when its offsets are beyond what the engine counts', async () => {
    const last = BigInt(Number.MAX_SAFE_INTEGER) - 1n;

    expect((await read(aRecordBatch({ firstOffset: last })))[0]?.nextOffset).toBe(Number.MAX_SAFE_INTEGER);
    await expect(read(aRecordBatch({ firstOffset: last + 1n }))).rejects.toThrow('is not a safe integer');
  });

  test('is the same to kafkajs', async () => {
    const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
    const record = fc.record({
      timestampDelta: fc.bigInt({ min: -1_000_000_000_000n, max: 1_000_000_000_000n }),
      key: fc.option(bytes),
      value: fc.option(bytes),
      headers: fc.array(fc.tuple(fc.constantFrom('a', 'b', 'content-type', 'é'), fc.option(bytes))),
    });
    const anyBatch = fc.record({
      firstOffset: fc.bigInt({ min: 0n, max: 2n ** 50n }),
      firstTimestamp: fc.bigInt({ min: 0n, max: 4_000_000_000_000n }),
      maxTimestamp: fc.constant(5_000_000_000_000n),
      attributes: fc.constantFrom(0, LOG_APPEND_TIME),
      records: fc.array(record),
    });
    await fc.assert(
      fc.asyncProperty(anyBatch, async (parts) => {
        const batch = aRecordBatch(parts);
        const { records } = await decodeByKafkajs(new KafkajsDecoder(batch));

        expect(await recordsOf(batch)).toEqual(
          records.map(({ offset, timestamp, key, value, headers }) => {
            return { offset: Number(offset), timestamp: Number(timestamp), key, value, headers };
          }),
        );
      }),
      { numRuns: 50 },
    );
  });

  test('is read as kafkajs encodes it', async () => {
    const record = encodeRecord({
      offsetDelta: 0,
      timestampDelta: 3,
      key: 'k',
      value: 'v',
      headers: { h: ['1', '2'] },
    });
    const { buffer } = await encodeBatch({ firstOffset: 5, firstTimestamp: 100, records: [record] });

    expect(await recordsOf(buffer)).toEqual([
      { offset: 5, timestamp: 103, key: text('k'), value: text('v'), headers: { h: [text('1'), text('2')] } },
    ]);
  });
});

describe('a compressed record batch', () => {
  const parts: readonly RecordParts[] = Array.from({ length: 50 }, (_, i) => ({ value: text(`value ${i}`) }));
  const plain = encodedRecords(parts);
  const xerial = (): Buffer => {
    const blocks = [plain.subarray(0, 100), plain.subarray(100)].map((block) => {
      const packed = Buffer.from(snappy.compress(block));
      const size = Buffer.alloc(4);
      size.writeInt32BE(packed.length);
      return Buffer.concat([size, packed]);
    });
    const header = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
    return Buffer.concat([header, ...blocks]);
  };
  const packed = (codec: number): Promise<Buffer> =>
    CODECS.get(codec)?.compress({ buffer: plain }) ?? Promise.reject(new Error('no codec'));

  test.each([
    ['gzip', 1, () => packed(1)],
    ['snappy', 2, () => packed(2)],
    ['snappy in xerial blocks', 2, () => Promise.resolve(xerial())],
    ['lz4', 3, () => packed(3)],
    ['zstd', 4, () => packed(4)],
  ])('is read: %s', async (_name, codec, payload) => {
    const bytes = aRecordBatch({
      attributes: codec,
      count: parts.length,
      lastOffsetDelta: parts.length - 1,
      payload: await payload(),
    });

    expect((await recordsOf(bytes)).map(({ value }) => value)).toEqual(parts.map(({ value }) => value));
  });

  test('that is empty needs no codec', async () => {
    expect((await read(aRecordBatch({ attributes: 7 })))[0]?.nextOffset).toBe(1);
  });
});

describe('what was fetched', () => {
  const first = aRecordBatch({ firstOffset: 3n, records: [{ key: text('k'), headers: [['h', text('v')]] }] });
  const second = aRecordBatch({ firstOffset: 4n, records: [{ value: text('value') }, {}] });
  const both = Buffer.concat([first, second]);

  test('may end anywhere: the last batch is left for the next fetch', async () => {
    for (let length = 0; length <= both.length; length++) {
      const batches = await read(Buffer.from(both.subarray(0, length)));

      expect(batches).toHaveLength(length < first.length ? 0 : length < both.length ? 1 : 2);
    }
  });

  test('may go on in an older format, which is left for the next fetch', async () => {
    const old = Buffer.from(second);
    old.writeInt8(1, 16);

    expect(await read(Buffer.concat([first, old]))).toHaveLength(1);
  });

  test('is refused with an unknown magic or a length that can’t be', async () => {
    const unknown = Buffer.from(first);
    unknown.writeInt8(3, 16);
    const short = Buffer.from(first);
    short.writeInt32BE(48, 8);

    await expect(read(unknown)).rejects.toThrow(CorruptRecordBatchError);
    await expect(read(short)).rejects.toThrow(CorruptRecordBatchError);
  });

  test('is refused when its records are cut off anywhere', async () => {
    const records = encodedRecords([{ key: text('k'), value: text('v'), headers: [['h', text('1')]] }, {}]);
    for (let length = 0; length < records.length; length++) {
      const bytes = aRecordBatch({ count: 2, lastOffsetDelta: 1, payload: records.subarray(0, length) });

      await expect(recordsOf(bytes)).rejects.toThrow(CorruptRecordBatchError);
    }
  });

  test.each([
    ['more records than it says', { count: 1, payload: encodedRecords([{}, {}]) }],
    ['a negative number of records', { count: -1 }],
    ['a last offset before its first', { lastOffsetDelta: -1 }],
    ['a record behind its last offset', { lastOffsetDelta: 0, records: [{ offsetDelta: 1 }] }],
    ['a record before its first offset', { records: [{ offsetDelta: -1 }] }],
    ['a negative first offset', { firstOffset: -5n }],
    ['a record without an end', { count: 1, payload: varint(100n) }],
    ['a varint of six bytes', { count: 1, payload: Buffer.alloc(20, 0xff) }],
  ])('is refused with %s', async (_what, parts) => {
    await expect(recordsOf(aRecordBatch(parts))).rejects.toThrow(CorruptRecordBatchError);
  });

  test('gives an answer or a clear error, whichever bytes are broken', async () => {
    const change = fc.tuple(fc.nat(both.length - 1), fc.integer({ min: 0, max: 255 }));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const broken = Buffer.from(both);
        for (const [at, byte] of changes) broken[at] = byte;
        // Whatever the codec bits became, nothing is unpacked.
        const outcome = await readRecordBatches(broken, (_codec, bytes) => Promise.resolve(bytes))
          .then((batches) => {
            const records: ConsumedRecord[] = [];
            for (const batch of batches) batch.decodeFrom(0, records);
            return 'read';
          })
          .catch((error: Error) => error.name);

        expect(['read', 'CorruptRecordBatchError', 'RangeError']).toContain(outcome);
      }),
      { numRuns: 2_000 },
    );
  });
});
