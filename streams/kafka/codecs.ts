import { compressFrameSync, decompressFrameSync } from 'lz4-napi';
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import snappy from 'snappyjs';
import { isLz4FrameLonger } from './lz4-frame.ts';
import { unpackSnappy } from './snappy-block.ts';

/** A record batch may not decompress to more than this: a bound on what a hostile or broken producer can cost. */
const MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024;

/** A compression codec in kafkajs' shape. */
export interface Codec {
  compress(encoder: { readonly buffer: Buffer }): Promise<Buffer>;
  /** Rejects when the bytes are broken or become too large. */
  decompress(data: Buffer): Promise<Buffer>;
}

/** Kafka's Java clients frame snappy as xerial blocks: a 16-byte header, then `[int32 length, block]`. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const XERIAL_HEADER_BYTES = 16;

const limit = { maxOutputLength: MAX_DECOMPRESSED_BYTES };

/** Kafka's codecs by their number in a record batch. */
export const CODECS: ReadonlyMap<number, Codec> = new Map([
  codec(
    1,
    (data) => gzipSync(data),
    (data) => gunzipSync(data, limit),
  ),
  codec(2, (data) => Buffer.from(snappy.compress(data)), decompressSnappy),
  codec(3, (data) => compressFrameSync(data), decompressLz4),
  codec(
    4,
    (data) => zstdCompressSync(data),
    (data) => zstdDecompressSync(data, limit),
  ),
]);

function codec(
  number: number,
  compress: (data: Buffer) => Buffer,
  decompress: (data: Buffer) => Buffer,
): [number, Codec] {
  return [
    number,
    {
      compress: (encoder) => Promise.resolve(compress(encoder.buffer)),
      decompress: async (data) => decompress(data),
    },
  ];
}

function decompressLz4(data: Buffer): Buffer {
  if (isLz4FrameLonger(data, MAX_DECOMPRESSED_BYTES)) throw tooLarge();
  return decompressFrameSync(data);
}

function decompressSnappy(data: Buffer): Buffer {
  if (!data.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC))
    return unpackSnappy(data, MAX_DECOMPRESSED_BYTES);
  const blocks: Buffer[] = [];
  let total = 0;
  for (let at = XERIAL_HEADER_BYTES; at < data.length;) {
    const start = at + 4;
    const length = start <= data.length ? data.readInt32BE(at) : -1;
    if (length < 0 || length > data.length - start) throw new Error('a snappy frame is broken');
    const block = unpackSnappy(data.subarray(start, start + length), MAX_DECOMPRESSED_BYTES - total);
    total += block.length;
    blocks.push(block);
    at = start + length;
  }
  return Buffer.concat(blocks, total);
}

function tooLarge(): RangeError {
  return new RangeError(`a compressed record batch becomes longer than ${MAX_DECOMPRESSED_BYTES} bytes`);
}
