/** A record of a batch made by hand. */
export interface RecordParts {
  readonly offsetDelta?: number;
  readonly timestampDelta?: bigint;
  readonly key?: Buffer | null;
  readonly value?: Buffer | null;
  readonly headers?: readonly (readonly [string, Buffer | null])[];
}

export interface RecordBatchParts {
  readonly firstOffset?: bigint;
  readonly attributes?: number;
  readonly lastOffsetDelta?: number;
  readonly firstTimestamp?: bigint;
  readonly maxTimestamp?: bigint;
  readonly producerId?: bigint;
  readonly records?: readonly RecordParts[];
  /** Default: as many as `records` has. */
  readonly count?: number;
  /** Stands in for the records: packed, broken or cut off. */
  readonly payload?: Buffer;
}

export const LOG_APPEND_TIME = 0x08;
export const TRANSACTIONAL = 0x10;
export const CONTROL = 0x20;

/** A record batch of magic 2: https://kafka.apache.org/documentation/#recordbatch. Its checksum is 0. */
export function aRecordBatch(parts: RecordBatchParts): Buffer {
  const { records = [] } = parts;
  const payload = parts.payload ?? encodedRecords(records);
  const batch = Buffer.alloc(61);
  batch.writeBigInt64BE(parts.firstOffset ?? 0n, 0);
  batch.writeInt32BE(49 + payload.length, 8);
  batch.writeInt8(2, 16);
  batch.writeInt16BE(parts.attributes ?? 0, 21);
  batch.writeInt32BE(parts.lastOffsetDelta ?? Math.max(0, records.length - 1), 23);
  batch.writeBigInt64BE(parts.firstTimestamp ?? 0n, 27);
  batch.writeBigInt64BE(parts.maxTimestamp ?? 0n, 35);
  batch.writeBigInt64BE(parts.producerId ?? -1n, 43);
  batch.writeInt32BE(parts.count ?? records.length, 57);
  return Buffer.concat([batch, payload]);
}

/** The marker that ends a transaction. */
export function aMarker(kind: 'abort' | 'commit', firstOffset: bigint, producerId: bigint): Buffer {
  const key = Buffer.from([0, 0, 0, kind === 'abort' ? 0 : 1]);
  const records = [{ key, value: Buffer.alloc(6) }];
  return aRecordBatch({ firstOffset, producerId, attributes: TRANSACTIONAL | CONTROL, records });
}

/** The records alone, one after the other. */
export function encodedRecords(records: readonly RecordParts[]): Buffer {
  return Buffer.concat(records.map(encodedRecord));
}

function encodedRecord(record: RecordParts, index: number): Buffer {
  const { offsetDelta = index, timestampDelta = 0n, key = null, value = null, headers = [] } = record;
  const body = Buffer.concat([
    Buffer.from([0]),
    varint(timestampDelta),
    varint(BigInt(offsetDelta)),
    sized(key),
    sized(value),
    varint(BigInt(headers.length)),
    ...headers.flatMap(([name, content]) => [sized(Buffer.from(name)), sized(content)]),
  ]);
  return Buffer.concat([varint(BigInt(body.length)), body]);
}

function sized(bytes: Buffer | null): Buffer {
  return bytes ? Buffer.concat([varint(BigInt(bytes.length)), bytes]) : varint(-1n);
}

/** Zigzag, then seven bits a byte. */
export function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
