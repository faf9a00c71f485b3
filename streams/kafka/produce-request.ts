import type { RecordList, TopicPartition } from '../kafka-port.ts';
import { safeOffset } from './cluster.ts';
import { encodeRecordBatch, maxRecordBatchBytes } from './record-batch-encoder.ts';

export const PRODUCE_KEY = 0;
/** From this version on requests hold record batches of magic 2. */
export const OLDEST_PRODUCE_VERSION = 3;
/** Later versions have another header, and nothing that is needed here. */
export const NEWEST_PRODUCE_VERSION = 7;
/** From this version on an answer tells the log's start. */
const TELLS_LOG_START = 5;

const ALL_IN_SYNC_REPLICAS = -1;
const NULL_STRING = -1;
const INT16 = 2;
const INT32 = 4;
const INT64 = 8;

/** One batch for one partition. */
export interface PartitionRecords {
  readonly at: TopicPartition;
  readonly records: RecordList;
}

export interface ProduceHeader {
  readonly version: number;
  readonly correlationId: number;
  readonly clientId: string;
  /** How long the broker waits for its replicas. */
  readonly timeoutMs: number;
  /** The timestamp of records that have none, in ms since 1970. */
  readonly now: number;
}

/** At most so many bytes has the request. */
export function maxProduceBytes(batches: readonly PartitionRecords[], clientId: string): number {
  let bytes = 64 + Buffer.byteLength(clientId);
  for (const { at, records } of batches)
    bytes += 64 + Buffer.byteLength(at.topic) + maxRecordBatchBytes(records);
  return bytes;
}

/**
 * Writes a whole produce request, its size in front, to `target` from its start, and returns its length: acks by all
 * in-sync replicas, no transaction. `target` must have room for `maxProduceBytes`.
 * Layout: https://kafka.apache.org/protocol#The_Messages_Produce (versions 3 to 7 are the same).
 */
export function encodeProduceRequest(
  batches: readonly PartitionRecords[],
  { version, correlationId, clientId, timeoutMs, now }: ProduceHeader,
  target: Buffer,
): number {
  let at = target.writeInt16BE(PRODUCE_KEY, INT32);
  at = target.writeInt16BE(version, at);
  at = target.writeInt32BE(correlationId, at);
  at = writeText(clientId, target, at);
  at = target.writeInt16BE(NULL_STRING, at);
  at = target.writeInt16BE(ALL_IN_SYNC_REPLICAS, at);
  at = target.writeInt32BE(timeoutMs, at);
  const byTopic = Map.groupBy(batches, (batch) => batch.at.topic);
  at = target.writeInt32BE(byTopic.size, at);
  for (const [topic, ofTopic] of byTopic) {
    at = writeText(topic, target, at);
    at = target.writeInt32BE(ofTopic.length, at);
    for (const batch of ofTopic) {
      at = target.writeInt32BE(batch.at.partition, at);
      const length = encodeRecordBatch(batch.records, target.subarray(at + INT32), now);
      at = target.writeInt32BE(length, at) + length;
    }
  }
  target.writeInt32BE(at - INT32, 0);
  return at;
}

/** What the broker says of one partition. */
export interface ProduceAnswer extends TopicPartition {
  /** 0: stored. */
  readonly errorCode: number;
  /** Of the first record; meaningless with an error. */
  readonly baseOffset: number;
}

export interface ProduceResponse {
  readonly answers: readonly ProduceAnswer[];
  /** How long the client should not send anything, in ms. */
  readonly throttleMs: number;
}

/** Reads a produce response without its size and correlation id. Throws a `RangeError` when it is cut off. */
export function decodeProduceResponse(payload: Buffer, version: number): ProduceResponse {
  const answers: ProduceAnswer[] = [];
  let at = 0;
  const int16 = (): number => payload.readInt16BE((at += INT16) - INT16);
  const int32 = (): number => payload.readInt32BE((at += INT32) - INT32);
  const int64 = (): bigint => payload.readBigInt64BE((at += INT64) - INT64);
  const topics = int32();
  for (let t = 0; t < topics; t += 1) {
    const length = int16();
    const topic = payload.toString('utf8', at, (at += length));
    const partitions = int32();
    for (let p = 0; p < partitions; p += 1) {
      const partition = int32();
      const errorCode = int16();
      const baseOffset = safeOffset(String(int64()));
      at += INT64 + (version >= TELLS_LOG_START ? INT64 : 0);
      answers.push({ topic, partition, errorCode, baseOffset });
    }
  }
  return { answers, throttleMs: int32() };
}

function writeText(text: string, target: Buffer, at: number): number {
  const length = target.write(text, at + INT16);
  return target.writeInt16BE(length, at) + length;
}
