import { compressFrameSync, decompressFrameSync } from 'lz4-napi';
import { createRequire } from 'node:module';
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import snappy from 'snappyjs';

/**
 * The defects of kafkajs 2.2.4 that can hit this program and need a change inside the library, each with the upstream
 * issue. kafkajs is frozen, so the patches are applied at run time to its own modules: they reach those who install the
 * published package too. `applyKafkajsPatches` refuses any other version.
 */

const PATCHED_VERSION = '2.2.4';
/** A record batch may not decompress to more than this: a bound on what a hostile or broken producer can cost. */
const MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024;

const requireKafkajs = createRequire(import.meta.url);

interface RequestQueue {
  pending: unknown[];
  throttledUntil: number;
  scheduleCheckPendingRequests(): void;
}

interface Decoder {
  readInt32(): number;
  canReadBytes(length: number): boolean;
  readBytes(length: number): Buffer;
}

interface DecodedRecordBatch {
  readonly records: readonly unknown[];
  readonly firstOffset: string;
  readonly lastOffsetDelta: number;
}

interface FilteredBatch {
  readonly rawMessages: readonly unknown[];
  isEmpty(): boolean;
  isEmptyDueToFiltering(): boolean;
}

interface OffsetManager {
  cluster: {
    fetchTopicsOffset(
      topics: readonly object[],
    ): Promise<readonly { partitions: readonly { partition: number; offset: string }[] }[]>;
  };
  resolvedOffsets: Record<string, Record<number, string>>;
}

let isApplied = false;

/** Applies every patch once, before kafkajs itself is loaded. Throws when the installed version isn't the patched one. */
export function applyKafkajsPatches(): void {
  if (isApplied) return;
  const { version } = requireKafkajs('kafkajs/package.json') as { version: string };
  if (version !== PATCHED_VERSION) {
    throw new Error(`kafkajs ${version} is installed; the patches are made for ${PATCHED_VERSION}`);
  }
  patchIdleTimer();
  patchRecordDecoding();
  patchFilteredBatches();
  patchOutOfRange();
  registerCodecs();
  isApplied = true;
}

/** kafkajs#1556, #1704: every connection re-arms a 1 ms timer for ever, even with nothing pending. */
function patchIdleTimer(): void {
  const RequestQueue = requireKafkajs('kafkajs/src/network/requestQueue') as { prototype: RequestQueue };
  const original = RequestQueue.prototype.scheduleCheckPendingRequests;
  RequestQueue.prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length === 0 && this.throttledUntil <= Date.now()) return;
    original.call(this);
  };
}

/**
 * kafkajs#1072 and `records.push(...batch)`: a record batch that compaction emptied never moves the position, and a
 * batch of more than about 130,000 records overflows the stack and kills the consumer for good.
 *
 * The replacement appends one by one, and leaves on the array where the last complete batch ended (`nextOffset`).
 */
function patchRecordDecoding(): void {
  const path = requireKafkajs.resolve('kafkajs/src/protocol/requests/fetch/v4/decodeMessages');
  requireKafkajs(path);
  const DecoderClass = requireKafkajs('kafkajs/src/protocol/decoder') as new (buffer: Buffer) => Decoder;
  const decodeMessageSet = requireKafkajs('kafkajs/src/protocol/messageSet/decoder') as (
    decoder: Decoder,
    size: number,
  ) => Promise<unknown[]>;
  const decodeRecordBatch = requireKafkajs('kafkajs/src/protocol/recordBatch/v0/decoder') as (
    decoder: Decoder,
  ) => Promise<DecodedRecordBatch>;
  const MAGIC_OFFSET = 16;
  const RECORD_BATCH_MAGIC = 2;
  const RECORD_BATCH_OVERHEAD = 49;

  const decodeMessages = async (decoder: Decoder): Promise<unknown[]> => {
    const size = decoder.readInt32();
    if (size <= 0 || !decoder.canReadBytes(size)) return [];
    const buffer = decoder.readBytes(size);
    const messages = new DecoderClass(buffer);
    if (buffer.readInt8(MAGIC_OFFSET) !== RECORD_BATCH_MAGIC) return decodeMessageSet(messages, size);
    const records: unknown[] & { nextOffset?: number } = [];
    while (messages.canReadBytes(RECORD_BATCH_OVERHEAD)) {
      let batch: DecodedRecordBatch;
      try {
        batch = await decodeRecordBatch(messages);
      } catch (error) {
        if ((error as Error).name === 'KafkaJSPartialMessageError') break;
        throw error;
      }
      for (const record of batch.records) records.push(record);
      records.nextOffset = Number(batch.firstOffset) + batch.lastOffsetDelta + 1;
    }
    return records;
  };
  const cached = requireKafkajs.cache[path];
  if (!cached) throw new Error('kafkajs/src/protocol/requests/fetch/v4/decodeMessages is not where it was');
  cached.exports = decodeMessages;
}

/**
 * RELIABILITY 1.2 #15: a fetch that holds nothing but aborted records and transaction markers moves kafkajs' position
 * and never reaches `eachBatch`. The task would neither commit past it nor expect what is fetched behind it, and an
 * aborted transaction larger than one fetch would be fetched again for ever. Now it arrives as a batch without records.
 */
function patchFilteredBatches(): void {
  const BatchClass = requireKafkajs('kafkajs/src/consumer/batch') as { prototype: FilteredBatch };
  BatchClass.prototype.isEmpty = function (this: FilteredBatch) {
    return this.rawMessages.length === 0;
  };
  BatchClass.prototype.isEmptyDueToFiltering = () => false;
}

/**
 * RELIABILITY 1.2 #12: on an offset out of range kafkajs commits -2 without metadata, which would wipe the positions
 * that travel in ours. The replacement only moves the fetch position to the log's start; the task counts what was lost.
 */
function patchOutOfRange(): void {
  const OffsetManagerClass = requireKafkajs('kafkajs/src/consumer/offsetManager') as {
    prototype: OffsetManager & { setDefaultOffset(at: { topic: string; partition: number }): Promise<void> };
  };
  OffsetManagerClass.prototype.setDefaultOffset = async function (this: OffsetManager, { topic, partition }) {
    const [found] = await this.cluster.fetchTopicsOffset([
      { topic, partitions: [{ partition }], fromBeginning: true },
    ]);
    const offset = found?.partitions[0]?.offset;
    const resolved = this.resolvedOffsets[topic];
    if (offset !== undefined && resolved) resolved[partition] = offset;
  };
}

/** kafkajs has gzip only, in 16 KB chunks; a missing codec would end the consumer (kafkajs#1475). */
function registerCodecs(): void {
  const compression = requireKafkajs('kafkajs/src/protocol/message/compression') as {
    Codecs: Record<
      number,
      () => {
        compress(encoder: { buffer: Buffer }): Promise<Buffer>;
        decompress(buffer: Buffer): Promise<Buffer>;
      }
    >;
  };
  const limit = { maxOutputLength: MAX_DECOMPRESSED_BYTES };
  const codec = (compress: (data: Buffer) => Buffer, decompress: (data: Buffer) => Buffer) => () => ({
    compress: (encoder: { buffer: Buffer }) => Promise.resolve(compress(encoder.buffer)),
    decompress: async (data: Buffer) => decompress(data),
  });
  compression.Codecs[1] = codec(
    (data) => gzipSync(data),
    (data) => gunzipSync(data, limit),
  );
  compression.Codecs[2] = codec((data) => Buffer.from(snappy.compress(data)), decompressSnappy);
  compression.Codecs[3] = codec(
    (data) => compressFrameSync(data),
    (data) => bounded(decompressFrameSync(data)),
  );
  compression.Codecs[4] = codec(
    (data) => zstdCompressSync(data),
    (data) => zstdDecompressSync(data, limit),
  );
  for (const unassigned of [5, 6, 7]) {
    compression.Codecs[unassigned] = () => {
      const { KafkaJSNotImplemented } = requireKafkajs('kafkajs/src/errors') as {
        KafkaJSNotImplemented: new (message: string) => Error;
      };
      throw new KafkaJSNotImplemented(`compression codec ${unassigned} is not known`);
    };
  }
}

/** Kafka's Java clients frame snappy as xerial blocks: a 16-byte header, then `[int32 length, block]`. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);

function decompressSnappy(data: Buffer): Buffer {
  if (!data.subarray(0, 8).equals(XERIAL_MAGIC)) {
    return Buffer.from(snappy.uncompress(data, MAX_DECOMPRESSED_BYTES));
  }
  const blocks: Buffer[] = [];
  let total = 0;
  for (let at = 16; at < data.length;) {
    const length = data.readInt32BE(at);
    const block = Buffer.from(
      snappy.uncompress(data.subarray(at + 4, at + 4 + length), MAX_DECOMPRESSED_BYTES),
    );
    total += block.length;
    if (total > MAX_DECOMPRESSED_BYTES) throw new RangeError('a compressed record batch is too large');
    blocks.push(block);
    at += 4 + length;
  }
  return Buffer.concat(blocks, total);
}

function bounded(data: Buffer): Buffer {
  if (data.length > MAX_DECOMPRESSED_BYTES) throw new RangeError('a compressed record batch is too large');
  return data;
}
