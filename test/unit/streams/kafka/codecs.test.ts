import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compressFrameSync } from 'lz4-napi';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import snappy from 'snappyjs';
import { CODECS } from '../../../../streams/kafka/codecs.ts';
import { CorruptRecordBatchError, readRecordBatches } from '../../../../streams/kafka/record-batch.ts';
import { aRecordBatch } from './record-batch-builder.ts';

const MIB = 1024 * 1024;
const LIMIT = 64 * MIB;
const [GZIP, SNAPPY, LZ4, ZSTD] = [1, 2, 3, 4];
const XERIAL_HEADER = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]);

const unpack = (codec: number, bytes: Buffer): Promise<Buffer> => {
  const known = CODECS.get(codec);
  if (!known) throw new Error(`no codec ${codec}`);
  return known.decompress(bytes);
};

const pack = (codec: number, bytes: Buffer): Promise<Buffer> =>
  CODECS.get(codec)?.compress({ buffer: bytes }) ?? Promise.reject(new Error(`no codec ${codec}`));

/** A block that announces its length by itself: what follows needn't hold it. */
function announcing(length: number): Buffer {
  const bytes: number[] = [];
  for (let rest = length; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest, 0, 0]);
    bytes.push((rest % 128) + 128);
  }
}

function inXerialBlocks(...blocks: readonly Buffer[]): Buffer {
  const sized = blocks.flatMap((block) => {
    const size = Buffer.alloc(4);
    size.writeInt32BE(block.length);
    return [size, block];
  });
  return Buffer.concat([XERIAL_HEADER, ...sized]);
}

/** An LZ4 frame of 4 MiB blocks that say what these bytes say, each without a checksum. */
function lz4Frame(...blocks: readonly Buffer[]): Buffer {
  const head = compressFrameSync(Buffer.alloc(5 * MIB)).subarray(0, 7);
  const sized = blocks.flatMap((block) => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(block.length);
    return [size, block];
  });
  return Buffer.concat([head, ...sized, Buffer.alloc(4)]);
}

/** What the process holds outside of V8's heap, at most, while `work` runs. */
async function memoryTakenBy(work: () => Promise<unknown>): Promise<number> {
  const before = process.resourceUsage().maxRSS;
  await work();
  return (process.resourceUsage().maxRSS - before) * 1024;
}

describe('a batch that becomes longer than 64 MiB', () => {
  test.each([
    ['gzip', GZIP, () => gzipSync(Buffer.alloc(LIMIT + 1))],
    ['snappy', SNAPPY, () => announcing(LIMIT + 1)],
    ['snappy of 4 GiB', SNAPPY, () => announcing(2 ** 32 - 1)],
    [
      'snappy in many blocks',
      SNAPPY,
      () =>
        inXerialBlocks(
          ...Array.from({ length: 5 }, () => Buffer.from(snappy.compress(Buffer.alloc(16 * MIB)))),
        ),
    ],
    ['lz4', LZ4, () => compressFrameSync(Buffer.alloc(LIMIT + 1))],
    ['zstd', ZSTD, () => zstdCompressSync(Buffer.alloc(LIMIT + 1))],
  ])('is refused: %s', async (_name, codec, bomb) => {
    await expect(unpack(codec, bomb())).rejects.toThrow(
      /too large|longer than|larger than|Cannot create a Buffer/i,
    );
  });

  test('takes no memory: an LZ4 frame of 1 MiB that would be 250 MiB', async () => {
    const bomb = compressFrameSync(Buffer.alloc(250 * MIB));

    const taken = await memoryTakenBy(() => unpack(LZ4, bomb).catch(() => undefined));

    expect(taken).toBeLessThan(20 * MIB);
  });
});

describe('a batch of just 64 MiB', () => {
  test.each([
    ['gzip', GZIP],
    ['snappy', SNAPPY],
    ['lz4', LZ4],
    ['zstd', ZSTD],
  ])('is unpacked: %s', async (_name, codec) => {
    const packed = await pack(codec, Buffer.alloc(LIMIT));

    expect(await unpack(codec, packed)).toHaveLength(LIMIT);
  });

  test('is told by what LZ4 blocks hold, not by what they could', async () => {
    // Twenty blocks that could be 4 MiB each, and are 300 bytes: a literal and a copy of it.
    const block = Buffer.from([0x1f, 0x61, 1, 0, 255, 20, 0x50, 0x62, 0x62, 0x62, 0x62, 0x62]);
    const short = Buffer.alloc(20_000, 0);
    const padded = Buffer.concat([Buffer.from([0xf0, 255]), encodedLength(short.length), short]);

    const unpacked = await unpack(LZ4, lz4Frame(...Array.from({ length: 20 }, () => padded), block));

    expect(unpacked.length).toBe(20 * short.length + 1 + 4 + 15 + 255 + 20 + 5);
  });
});

/** The rest of an LZ4 literal's length, behind 15 and 255. */
function encodedLength(length: number): Buffer {
  const rest = length - 15 - 255;
  return Buffer.from([...Array.from({ length: Math.floor(rest / 255) }, () => 255), rest % 255]);
}

describe('broken bytes', () => {
  test.each([
    // snappyjs goes round for ever: the literal's length is -5, as it reads it.
    ['a literal that leads back to itself', [0x05, 0xfc, 0xfa, 0xff, 0xff, 0xff, 0, 0]],
    ['a literal longer than the block', [0x05, 0x10, 0x61]],
    ['a literal longer than what was announced', [0x01, 0x10, 0x61, 0x61, 0x61, 0x61, 0x61]],
    ['a copy from before the beginning', [0x08, 0x00, 0x61, 0x09, 0x02]],
    ['a copy of nothing', [0x08, 0x00, 0x61, 0x09, 0x00]],
    ['a copy longer than what was announced', [0x02, 0x00, 0x61, 0x1d, 0x01]],
    ['a copy without its distance', [0x08, 0x00, 0x61, 0x0a, 0x01]],
    ['less than what was announced', [0x7f, 0x00, 0x61]],
    ['a length that never ends', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
    ['nothing', []],
  ])('of snappy are refused, and end: %s', async (_name, bytes) => {
    await expect(unpack(SNAPPY, Buffer.from(bytes))).rejects.toThrow('a snappy block is broken');
  });

  test.each([
    ['a negative length', [0xff, 0xff, 0xff, 0xfc]],
    ['a length beyond the end', [0, 0, 0, 9, 1, 0, 0x61]],
    ['half a length', [0, 0]],
  ])('of a xerial frame are refused: %s', async (_name, bytes) => {
    await expect(unpack(SNAPPY, Buffer.concat([XERIAL_HEADER, Buffer.from(bytes)]))).rejects.toThrow(
      'a snappy frame is broken',
    );
  });

  test('of LZ4 are refused, and other frames than Kafka’s', async () => {
    const good = compressFrameSync(Buffer.from('good'));
    for (let length = 0; length < good.length; length += 1)
      await expect(unpack(LZ4, good.subarray(0, length))).rejects.toThrow();
    await expect(unpack(LZ4, Buffer.from('02214c180200000010615000', 'hex'))).rejects.toThrow('broken');
  });

  test.each([
    ['gzip', GZIP],
    ['snappy', SNAPPY],
    ['lz4', LZ4],
    ['zstd', ZSTD],
  ])('are an error or another text, never a crash: %s', async (_name, codec) => {
    const packed = await pack(
      codec,
      Buffer.from('a text that repeats, that repeats, that repeats itself'.repeat(9)),
    );

    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(packed.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        async (changes) => {
          const bytes = Buffer.from(packed);
          for (const [at, byte] of changes) bytes[at] = byte;
          const length = await unpack(codec, bytes).then(
            (unpacked) => unpacked.length,
            () => 0,
          );
          expect(length).toBeLessThanOrEqual(LIMIT);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('of a batch end the reading with the offset, and are not tried again', async () => {
    const bytes = aRecordBatch({ attributes: SNAPPY, count: 1, payload: Buffer.from([0x7f]) });

    const reading = readRecordBatches(bytes, unpack);

    await expect(reading).rejects.toThrow(CorruptRecordBatchError);
    await expect(reading).rejects.toMatchObject({
      message: "record batch at offset 0 can't be unpacked: a snappy block is broken",
      retriable: false,
    });
  });
});

test('snappy blocks are unpacked as they were packed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          fc.uint8Array({ maxLength: 400 }),
          fc.nat(255).map((byte) => new Uint8Array(90).fill(byte)),
        ),
      ),
      async (parts) => {
        const plain = Buffer.concat([...parts, ...parts.slice(0, 3)]);
        expect(await unpack(SNAPPY, Buffer.from(snappy.compress(plain)))).toEqual(plain);
      },
    ),
  );
});
