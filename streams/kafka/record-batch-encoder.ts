import { crc32c } from '@node-rs/crc32';
import type { ProducedRecord, RecordHeaders, RecordList } from '../kafka-port.ts';
import {
  ATTRIBUTES_AT,
  BEFORE_LENGTH_COUNTS,
  COUNT_AT,
  CRC_AT,
  FIRST_OFFSET_AT,
  FIRST_SEQUENCE_AT,
  FIRST_TIMESTAMP_AT,
  LAST_OFFSET_DELTA_AT,
  LEADER_EPOCH_AT,
  LENGTH_AT,
  MAGIC_AT,
  MAX_TIMESTAMP_AT,
  PRODUCER_EPOCH_AT,
  PRODUCER_ID_AT,
  RECORD_BATCH_MAGIC,
  RECORDS_AT,
} from './record-batch-layout.ts';

/** No compression, the producer's timestamps, no transaction. */
const ATTRIBUTES = 0;
const NO_PRODUCER_ID = -1n;
const NO_PRODUCER_EPOCH = -1;
const NO_SEQUENCE = -1;
const NO_LEADER_EPOCH = -1;

/** A record beside its key, value and headers: length, attributes, timestamp and offset, the lengths of key and value, the number of headers. */
const MOST_RECORD_OVERHEAD = 5 + 1 + 10 + 5 + 5 + 5 + 5;
/** At most so many bytes has the batch of these records. */
export function maxRecordBatchBytes(records: RecordList): number {
  return RECORDS_AT + records.maxBytes + records.length * MOST_RECORD_OVERHEAD;
}

/**
 * Writes the records to `target` from its start as one record batch of magic 2, uncompressed, with its CRC-32C, and
 * returns its length. `target` must have room for `maxRecordBatchBytes`. A record without timestamp gets `now`, in ms
 * since 1970. Offsets count from 0: the broker sets them.
 * Layout: https://kafka.apache.org/documentation/#recordbatch
 */
export function encodeRecordBatch(records: RecordList, target: Buffer, now: number): number {
  let firstTimestamp = now;
  let maxTimestamp = now;
  let end = RECORDS_AT;
  for (let i = 0; i < records.length; i++) {
    const record = records.at(i);
    const timestamp = record.timestamp ?? now;
    if (i === 0) firstTimestamp = timestamp;
    if (i === 0 || timestamp > maxTimestamp) maxTimestamp = timestamp;
    end = writeRecord(record, i, timestamp - firstTimestamp, target, end);
  }
  target.writeBigInt64BE(0n, FIRST_OFFSET_AT);
  target.writeInt32BE(end - BEFORE_LENGTH_COUNTS, LENGTH_AT);
  target.writeInt32BE(NO_LEADER_EPOCH, LEADER_EPOCH_AT);
  target.writeInt8(RECORD_BATCH_MAGIC, MAGIC_AT);
  target.writeInt16BE(ATTRIBUTES, ATTRIBUTES_AT);
  target.writeInt32BE(records.length - 1, LAST_OFFSET_DELTA_AT);
  target.writeBigInt64BE(BigInt(firstTimestamp), FIRST_TIMESTAMP_AT);
  target.writeBigInt64BE(BigInt(maxTimestamp), MAX_TIMESTAMP_AT);
  target.writeBigInt64BE(NO_PRODUCER_ID, PRODUCER_ID_AT);
  target.writeInt16BE(NO_PRODUCER_EPOCH, PRODUCER_EPOCH_AT);
  target.writeInt32BE(NO_SEQUENCE, FIRST_SEQUENCE_AT);
  target.writeInt32BE(records.length, COUNT_AT);
  target.writeUInt32BE(crc32c(target.subarray(ATTRIBUTES_AT, end)), CRC_AT);
  return end;
}

function writeRecord(
  { key, value, headers }: ProducedRecord,
  offsetDelta: number,
  timestampDelta: number,
  target: Buffer,
  at: number,
): number {
  // The length stands in front: room for the longest is left, and the record moved up to what it needs.
  const from = at + 5;
  let to = from;
  // The attributes of a record have no meaning yet.
  target[to++] = 0;
  to = writeVarint(timestampDelta, target, to);
  to = writeVarint(offsetDelta, target, to);
  to = writeBytes(key, target, to);
  to = writeBytes(value, target, to);
  to = writeHeaders(headers, target, to);
  const start = writeVarint(to - from, target, at);
  target.copyWithin(start, from, to);
  return start + to - from;
}

function writeHeaders(headers: RecordHeaders, target: Buffer, at: number): number {
  let count = 0;
  for (const name in headers) count += countOf(headers[name]);
  let to = writeVarint(count, target, at);
  for (const name in headers) {
    const header = headers[name];
    if (header === undefined) continue;
    if (typeof header === 'string' || Buffer.isBuffer(header)) to = writeHeader(name, header, target, to);
    else for (const content of header) to = writeHeader(name, content, target, to);
  }
  return to;
}

/** A header may have several values, or none. */
function countOf(header: RecordHeaders[string]): number {
  if (header === undefined) return 0;
  return typeof header === 'string' || Buffer.isBuffer(header) ? 1 : header.length;
}

function writeHeader(name: string, content: Buffer | string, target: Buffer, at: number): number {
  const to = writeText(name, target, at);
  return typeof content === 'string' ? writeText(content, target, to) : writeBytes(content, target, to);
}

function writeText(text: string, target: Buffer, at: number): number {
  const start = writeVarint(Buffer.byteLength(text), target, at);
  return start + target.write(text, start);
}

/** Null has the length -1. */
function writeBytes(bytes: Buffer | null, target: Buffer, at: number): number {
  if (bytes === null) return writeVarint(-1, target, at);
  const start = writeVarint(bytes.length, target, at);
  return start + bytes.copy(target, start);
}

/** Zigzag, seven bits a byte; any whole number below 2^52. */
function writeVarint(number: number, target: Buffer, at: number): number {
  let to = at;
  let left = number < 0 ? -2 * number - 1 : 2 * number;
  while (left >= 0x80) {
    target[to++] = (left % 0x80) | 0x80;
    left = Math.floor(left / 0x80);
  }
  target[to++] = left;
  return to;
}
