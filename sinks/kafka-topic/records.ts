import { DOCUMENT_TYPES } from '../../schemas/document-type.ts';
import type { MessageOptions, OperationBatch } from '../sink.ts';
import type { ProducedRecord } from './record-producer.ts';

/** What a record takes on the wire beyond its operation: key, headers, their lengths; an upper bound. */
export const RECORD_OVERHEAD_BYTES = 128;

/** A client makes one record batch of all records for one partition; a broker refuses it whole above about 1 MiB. */
export const MAX_RECORDS = 500;
export const MAX_BYTES = 900_000;

/** Of a record batch beyond its records. */
const BATCH_OVERHEAD_BYTES = 1_024;

/** What one request may hold for a topic with this `max.message.bytes`; null: it isn't known. */
export function maxBytesFor(maxMessageBytes: number | null): number {
  if (maxMessageBytes === null) return MAX_BYTES;
  return Math.max(1, Math.min(MAX_BYTES, maxMessageBytes - BATCH_OVERHEAD_BYTES));
}

/**
 * The first records of a batch that one request may hold, at least one: the operation's bytes, the ordering lane's
 * decimal text as the key, the header `doc_type` and, when asked, `message_id`.
 *
 * The bytes are copies: a Kafka client that was told to stop may still be encoding when the batch's are used again.
 */
export function recordsOf(
  batch: OperationBatch,
  options: MessageOptions,
  maxBytes: number,
): readonly ProducedRecord[] {
  const count = countThatFits(batch, maxBytes);
  const first = batch.start(0);
  const bytes = Buffer.from(batch.data.subarray(first, batch.end(count - 1)));
  return Array.from({ length: count }, (_, i) => ({
    key: String(batch.orderingLane ?? batch.laneHash(i) % options.orderingLanes),
    value: bytes.subarray(batch.start(i) - first, batch.end(i) - first),
    headers: headersOf(batch, i, options),
  }));
}

function countThatFits(batch: OperationBatch, maxBytes: number): number {
  let count = 0;
  let byteLength = 0;
  while (count < Math.min(batch.count, MAX_RECORDS)) {
    byteLength += batch.end(count) - batch.start(count) + RECORD_OVERHEAD_BYTES;
    if (count > 0 && byteLength > maxBytes) break;
    count++;
  }
  return count;
}

function headersOf(
  batch: OperationBatch,
  i: number,
  options: MessageOptions,
): Readonly<Record<string, string>> {
  const docType = DOCUMENT_TYPES[batch.docType(i)];
  if (docType === undefined) throw new RangeError(`no document type has the index ${batch.docType(i)}`);
  return options.messageId ? { doc_type: docType, message_id: batch.messageId(i) } : { doc_type: docType };
}
