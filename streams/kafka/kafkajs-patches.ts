import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { CODECS, type Codec } from './codecs.ts';
import { FetchedBatch } from './fetched-batch.ts';
import { RECORD_BATCH_MAGIC } from './record-batch-layout.ts';
import { magicOf, readRecordBatches } from './record-batch.ts';
import { socketInto, type ResponseTarget } from './response-reader.ts';

/**
 * The defects of kafkajs 2.2.4 that can hit this program and need a change inside the library, each with the upstream
 * issue. kafkajs is frozen, so the patches are applied at run time to its own modules: they reach those who install the
 * published package too. `applyKafkajsPatches` refuses any other version.
 */

const PATCHED_VERSION = '2.2.4';

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

interface OffsetManager {
  cluster: {
    fetchTopicsOffset(
      topics: readonly object[],
    ): Promise<readonly { partitions: readonly { partition: number; offset: string }[] }[]>;
  };
  resolvedOffsets: Record<string, Record<number, string>>;
}

let isApplied = false;
let isFetchingPatched = false;

/** Applies every patch once, before kafkajs itself is loaded. Throws when the installed version isn't the patched one. */
export function applyKafkajsPatches(): void {
  if (isApplied) return;
  const { version } = requireKafkajs('kafkajs/package.json') as { version: string };
  if (version !== PATCHED_VERSION) {
    throw new Error(`kafkajs ${version} is installed; the patches are made for ${PATCHED_VERSION}`);
  }
  patchIdleTimer();
  registerCodecs();
  patchFetching();
  patchResponses();
  patchSilentConnections();
  patchOutOfRange();
  patchLostPartitions();
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
 * How fetched records are decoded and handed on, for four reasons:
 *
 * - BigInts, strings and an object spread per record and header cost more than everything that is done with a record.
 * - `records.push(...batch)`: a batch of more than about 130,000 records overflows the stack and ends the consumer.
 * - kafkajs#1072: a batch that compaction emptied never moves the position.
 * - RELIABILITY 1.2 #15: a fetch of nothing but aborted records and markers moves kafkajs' position and never reaches
 *   `eachBatch`. The task would neither commit past it nor expect what is fetched behind it.
 *
 * kafkajs binds both modules when it is loaded. Where it was loaded before, by somebody else in the process, it keeps
 * its own, and `assertFetchingIsPatched` says so.
 */
function patchFetching(): void {
  if (isLoaded('kafkajs/src/consumer/consumerGroup')) return;
  const DecoderClass = requireKafkajs('kafkajs/src/protocol/decoder') as new (buffer: Buffer) => Decoder;
  const decodeMessageSet = requireKafkajs('kafkajs/src/protocol/messageSet/decoder') as (
    decoder: Decoder,
    size: number,
  ) => Promise<object[]>;
  const { lookupCodec } = requireCompression();

  const decompress = (codec: number, bytes: Buffer): Promise<Buffer> => lookupCodec(codec).decompress(bytes);
  const decodeMessages = async (decoder: Decoder): Promise<readonly object[]> => {
    const size = decoder.readInt32();
    if (size <= 0 || !decoder.canReadBytes(size)) return [];
    const fetched = decoder.readBytes(size);
    const magic = magicOf(fetched);
    if (magic === null) return [];
    if (magic < RECORD_BATCH_MAGIC) return decodeMessageSet(new DecoderClass(fetched), size);
    return readRecordBatches(fetched, decompress);
  };
  replaceModule('kafkajs/src/protocol/requests/fetch/v4/decodeMessages', decodeMessages);
  replaceModule('kafkajs/src/consumer/batch', FetchedBatch);
  isFetchingPatched = true;
}

/** Throws when kafkajs was loaded before its patches, so that its batches aren't `FetchedBatch`es. */
export function assertFetchingIsPatched(): void {
  if (!isFetchingPatched)
    throw new Error('kafkajs was loaded before its patches: import streams/kafka first');
}

/**
 * kafkajs collects a response in chunks of 64 KB and copies them together when the last has come, which takes the memory
 * twice and more time than decoding the records. Here the socket writes into the response's own buffer.
 */
function patchResponses(): void {
  const ConnectionClass = requireKafkajs('kafkajs/src/network/connection') as {
    prototype: ResponseTarget & { connect(): Promise<unknown>; socketFactory: unknown };
  };
  const { connect, processData } = ConnectionClass.prototype;
  if (typeof processData !== 'function') throw new Error('kafkajs/src/network/connection is not what it was');
  ConnectionClass.prototype.connect = function () {
    this.socketFactory = socketInto(this);
    return connect.call(this);
  };
}

/**
 * RELIABILITY 1.2 #21: kafkajs goes on with a connection on which a request has timed out, so a half-open one would time
 * out for ever, in new consumers' claims too. Here it is given up, as Kafka's own clients do.
 */
function patchSilentConnections(): void {
  const { prototype } = requireKafkajs('kafkajs/src/network/connection') as {
    prototype: { send(request: object): Promise<unknown>; socket: Socket | null };
  };
  const { send } = prototype;
  prototype.send = async function (request) {
    try {
      return await send.call(this, request);
    } catch (error) {
      if (error instanceof Error && error.name === 'KafkaJSRequestTimeoutError') this.socket?.destroy(error);
      throw error;
    }
  };
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

/**
 * kafkajs#1366: a batch that is handed over while another fetcher joins anew may be of a topic that the member has nothing
 * of any more. Noting how far it was read is a TypeError then, which ends the consumer for good.
 */
function patchLostPartitions(): void {
  const { prototype } = requireKafkajs('kafkajs/src/consumer/offsetManager') as {
    prototype: OffsetManager & {
      resolveOffset(at: { topic: string; partition: number; offset: string }): void;
    };
  };
  const { resolveOffset } = prototype;
  prototype.resolveOffset = function (at) {
    if (this.resolvedOffsets[at.topic]) resolveOffset.call(this, at);
  };
}

/** kafkajs has gzip only, in 16 KB chunks; a missing codec would end the consumer (kafkajs#1475). */
function registerCodecs(): void {
  const { Codecs } = requireCompression();
  const { KafkaJSNotImplemented } = requireKafkajs('kafkajs/src/errors') as {
    KafkaJSNotImplemented: new (message: string) => Error;
  };
  for (const [number, codec] of CODECS) Codecs[number] = () => codec;
  for (const unassigned of [5, 6, 7]) {
    Codecs[unassigned] = () => {
      throw new KafkaJSNotImplemented(`compression codec ${unassigned} is not known`);
    };
  }
}

function requireCompression(): {
  readonly Codecs: Record<number, () => Codec>;
  readonly lookupCodec: (number: number) => Codec;
} {
  return requireKafkajs('kafkajs/src/protocol/message/compression') as ReturnType<typeof requireCompression>;
}

function isLoaded(path: string): boolean {
  return requireKafkajs.cache[requireKafkajs.resolve(path)] !== undefined;
}

function replaceModule(path: string, exports: unknown): void {
  requireKafkajs(path);
  const cached = requireKafkajs.cache[requireKafkajs.resolve(path)];
  if (!cached) throw new Error(`${path} is not where it was`);
  cached.exports = exports;
}
