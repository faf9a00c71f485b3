import { DOCUMENT_TYPES, type DocumentTypeIndex } from '../../schemas/document-type.ts';
import type { OperationVersion } from '../../schemas/operation-encoder.ts';
import type { OperationBatch } from '../../sinks/sink.ts';

/** One operation as a test states it; what it leaves out gets a plain default. */
export interface OperationSpec {
  /** The encoded operation; text is taken as UTF-8. */
  readonly data: Buffer | string;
  readonly docType?: DocumentTypeIndex;
  readonly laneHash?: number;
  readonly messageId?: string;
}

export interface OperationBatchSpec {
  readonly operations: readonly OperationSpec[];
  readonly version?: OperationVersion;
  readonly orderingLane?: number | null;
}

/** Around and between the operations, so that an adapter which sends more than `[start(i), end(i))` is found out. */
const FOREIGN_BYTES = Buffer.from('~foreign~');

/**
 * A batch over the given operations. As in a real segment, the bytes lie in a slab with other bytes around them;
 * here also between them.
 */
export function anOperationBatch(spec: OperationBatchSpec): OperationBatch {
  const { operations, version = 2, orderingLane = null } = spec;
  const starts: number[] = [];
  const ends: number[] = [];
  const parts: Buffer[] = [FOREIGN_BYTES];
  let at = FOREIGN_BYTES.length;
  let byteLength = 0;
  for (const operation of operations) {
    const bytes = Buffer.from(operation.data as string);
    starts.push(at);
    ends.push(at + bytes.length);
    parts.push(bytes, FOREIGN_BYTES);
    at += bytes.length + FOREIGN_BYTES.length;
    byteLength += bytes.length;
  }
  return {
    version,
    count: operations.length,
    byteLength,
    data: Buffer.concat(parts),
    start: (i) => starts[i]!,
    end: (i) => ends[i]!,
    docType: (i) => operations[i]!.docType ?? 0,
    laneHash: (i) => operations[i]!.laneHash ?? 673_718_448,
    orderingLane,
    messageId: (i) => operations[i]!.messageId ?? messageIdOf(i),
  };
}

/** The records of `batch` from index `from` up to, and not including, `to`; what a lane sends after a partial delivery. */
export function partOf(batch: OperationBatch, from: number, to: number = batch.count): OperationBatch {
  let byteLength = 0;
  for (let i = from; i < to; i++) byteLength += batch.end(i) - batch.start(i);
  return {
    version: batch.version,
    count: to - from,
    byteLength,
    data: batch.data,
    start: (i) => batch.start(from + i),
    end: (i) => batch.end(from + i),
    docType: (i) => batch.docType(from + i),
    laneHash: (i) => batch.laneHash(from + i),
    orderingLane: batch.orderingLane,
    messageId: (i) => batch.messageId(from + i),
  };
}

/** The bytes of operation `i`. */
export function bytesOf(batch: OperationBatch, i: number): Buffer {
  return batch.data.subarray(batch.start(i), batch.end(i));
}

/** The message id of a mutation in partition 2 of 8 at this offset. */
export function messageIdOf(offset: number): string {
  return `00008-2-${offset.toString().padStart(20, '0')}`;
}

/** A version 1 operation whose `value` is the given JSON text. */
export function jsonOperation(value = '{}', docType: DocumentTypeIndex = 0): OperationSpec {
  const name = DOCUMENT_TYPES[docType]!;
  const docId = '4700c85f-17e3-4304-aa7f-dc140173b08d';
  return {
    data: `{"ts":1676627112685,"doc_type":"${name}","doc_id":"${docId}","op":"UPDATE","value":${value}}`,
    docType,
  };
}

/**
 * An opaque version 2 body: adapters must not read it, so it isn't Avro but holds every byte value and is no UTF-8.
 * It is at least 256 bytes long and unlike those of other seeds.
 */
export function binaryOperation(
  seed: number,
  byteLength = 256,
  docType: DocumentTypeIndex = 0,
): OperationSpec {
  const data = Buffer.alloc(Math.max(256, byteLength));
  for (let i = 0; i < data.length; i++) data[i] = (i + seed) & 0xff;
  return { data, docType };
}
