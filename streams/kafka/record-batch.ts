import type { ConsumedRecord, NeededOfRecords, RecordHeaders } from '../kafka-port.ts';
import {
  ATTRIBUTES_AT,
  BEFORE_LENGTH_COUNTS,
  COUNT_AT,
  FIRST_OFFSET_AT,
  FIRST_TIMESTAMP_AT,
  LAST_OFFSET_DELTA_AT,
  LENGTH_AT,
  MAGIC_AT,
  MAX_TIMESTAMP_AT,
  PRODUCER_ID_AT,
  RECORD_BATCH_MAGIC,
  RECORDS_AT,
} from './record-batch-layout.ts';

const CODEC_BITS = 0x07;
const LOG_APPEND_TIME_BIT = 0x08;
const TRANSACTIONAL_BIT = 0x10;
const CONTROL_BIT = 0x20;
/** A transaction marker's key is its version and its type, an int16 each. */
const ABORT_MARKER_TYPE = 0;

const NO_HEADERS: RecordHeaders = Object.freeze({});
/** Stands for a value that nobody looks at. */
const SOME_VALUE = Buffer.alloc(0);

/**
 * Unpacks the records of a batch by the codec number of its attributes. Throws at once when the codec isn't known, and
 * rejects when the bytes can't be unpacked.
 */
export type Decompress = (codec: number, bytes: Buffer) => Promise<Buffer>;

/**
 * The bytes are no record batch, wherever they went wrong. kafkajs doesn't try again what says `retriable: false`: the
 * log has the same bytes the next time, so the process ends and says why.
 */
export class CorruptRecordBatchError extends Error {
  override readonly name = 'CorruptRecordBatchError';
  readonly retriable = false;
}

/** The magic byte of the first batch or message; null when not even that much was fetched. */
export function magicOf(fetched: Buffer): number | null {
  return fetched[MAGIC_AT] ?? null;
}

/**
 * The complete record batches that a fetch brought of one partition, their records still encoded. A batch that was cut
 * off by the fetch's size limit is left for the next fetch, and so is what follows in an older format.
 */
export async function readRecordBatches(fetched: Buffer, decompress: Decompress): Promise<RecordBatch[]> {
  const batches: RecordBatch[] = [];
  for (let at = 0; at + MAGIC_AT < fetched.length;) {
    const magic = fetched.readInt8(at + MAGIC_AT);
    if (magic === 0 || magic === 1) break;
    if (magic !== RECORD_BATCH_MAGIC)
      throw new CorruptRecordBatchError(`record batch of unknown magic ${magic}`);
    const length = fetched.readInt32BE(at + LENGTH_AT);
    if (length < RECORDS_AT - BEFORE_LENGTH_COUNTS) {
      throw new CorruptRecordBatchError(`record batch of ${length} bytes`);
    }
    const end = at + BEFORE_LENGTH_COUNTS + length;
    if (end > fetched.length) break;
    const bytes = fetched.subarray(at, end);
    const codec = bytes.readInt16BE(ATTRIBUTES_AT) & CODEC_BITS;
    const isPacked = codec !== 0 && bytes.readInt32BE(COUNT_AT) > 0;
    const records = bytes.subarray(RECORDS_AT);
    const plain = isPacked ? await unpacked(bytes, decompress(codec, records)) : records;
    batches.push(new RecordBatch(bytes, plain));
    at = end;
  }
  return batches;
}

/** What can't be unpacked, or would be too large, is so the next time too. */
async function unpacked(batch: Buffer, unpacking: Promise<Buffer>): Promise<Buffer> {
  try {
    return await unpacking;
  } catch (error) {
    const offset = batch.readBigInt64BE(FIRST_OFFSET_AT);
    const reason = error instanceof Error ? error.message : String(error);
    throw new CorruptRecordBatchError(`record batch at offset ${offset} can't be unpacked: ${reason}`, {
      cause: error,
    });
  }
}

/** One complete record batch. Its records are views on the bytes it was made of. */
export class RecordBatch {
  readonly firstOffset: number;
  /** The offset behind the batch, also when compaction took its last records. */
  readonly nextOffset: number;
  /** Negative when the producer had none. */
  readonly producerId: bigint;
  readonly isTransactional: boolean;
  /** The batch is a transaction marker. */
  readonly isControl: boolean;
  readonly #firstTimestamp: number;
  /** The broker's timestamp for all records, or null when each has its producer's. */
  readonly #appendTimestamp: number | null;
  readonly #count: number;
  readonly #records: Buffer;

  /** Takes a whole batch, and its records as they are without compression. */
  constructor(batch: Buffer, records: Buffer) {
    const attributes = batch.readInt16BE(ATTRIBUTES_AT);
    this.firstOffset = Number(batch.readBigInt64BE(FIRST_OFFSET_AT));
    this.nextOffset = this.firstOffset + batch.readInt32BE(LAST_OFFSET_DELTA_AT) + 1;
    this.producerId = batch.readBigInt64BE(PRODUCER_ID_AT);
    this.isTransactional = (attributes & TRANSACTIONAL_BIT) !== 0;
    this.isControl = (attributes & CONTROL_BIT) !== 0;
    this.#firstTimestamp = Number(batch.readBigInt64BE(FIRST_TIMESTAMP_AT));
    this.#appendTimestamp =
      (attributes & LOG_APPEND_TIME_BIT) === 0 ? null : Number(batch.readBigInt64BE(MAX_TIMESTAMP_AT));
    this.#count = batch.readInt32BE(COUNT_AT);
    this.#records = records;
    if (!Number.isSafeInteger(this.nextOffset)) {
      throw new RangeError(`offset ${this.nextOffset} is not a safe integer`);
    }
    if (this.firstOffset < 0 || this.nextOffset <= this.firstOffset || this.#count < 0)
      throw this.#corrupt('its header is invalid');
  }

  /** What its records are views on. */
  get buffer(): ArrayBufferLike {
    return this.#records.buffer;
  }

  /** True for the marker that ends an aborted transaction. */
  isAbortMarker(): boolean {
    if (!this.isControl) return false;
    const marker: ConsumedRecord[] = [];
    this.decodeFrom(0, marker);
    const key = marker[0]?.key;
    return key !== null && key !== undefined && key.length >= 4 && key.readInt16BE(2) === ABORT_MARKER_TYPE;
  }

  /**
   * Appends the records at and behind `offset`, as far as they are needed. Throws `CorruptRecordBatchError`, having read
   * nothing out of bounds.
   */
  decodeFrom(offset: number, into: ConsumedRecord[], needed: NeededOfRecords = 'all'): void {
    if (this.#count === 0) return;
    const bytes = this.#records;
    const cursor = new Cursor(bytes);
    const { firstOffset, nextOffset } = this;
    for (let i = 0; i < this.#count; i++) {
      const length = cursor.varint();
      const end = cursor.at + length;
      if (length < 1 || end > bytes.length) throw this.#corrupt(`record ${i} has ${length} bytes`);
      // The attributes of a record have no meaning yet.
      cursor.at += 1;
      const timestamp = this.#firstTimestamp + cursor.varlong();
      const recordOffset = firstOffset + cursor.varint();
      const at = this.#appendTimestamp ?? timestamp;
      const record =
        needed === 'keys'
          ? readKey(cursor, end, recordOffset, at)
          : readRecord(cursor, end, recordOffset, at);
      const isInBatch = recordOffset >= firstOffset && recordOffset < nextOffset;
      if (cursor.isBroken || cursor.at !== end || !isInBatch) throw this.#corrupt(`record ${i} is invalid`);
      if (recordOffset >= offset) into.push(record);
    }
    if (cursor.at !== bytes.length) throw this.#corrupt('it has more bytes than records');
  }

  #corrupt(what: string): CorruptRecordBatchError {
    return new CorruptRecordBatchError(`record batch at offset ${this.firstOffset}: ${what}`);
  }
}

function readRecord(cursor: Cursor, end: number, offset: number, timestamp: number): ConsumedRecord {
  const key = cursor.bytes(end);
  const value = cursor.bytes(end);
  const headerCount = cursor.varint();
  const headers = headerCount === 0 ? NO_HEADERS : readHeaders(cursor, headerCount, end);
  return { offset, timestamp, key, value, headers };
}

function readKey(cursor: Cursor, end: number, offset: number, timestamp: number): ConsumedRecord {
  const start = cursor.skip(end);
  const keyEnd = cursor.at;
  const value = cursor.skip(end) === null ? null : SOME_VALUE;
  cursor.at = end;
  return new KeyRecord(cursor, start, keyEnd, { offset, timestamp, value });
}

/** A record of which the key is made when somebody asks for it: most aren't looked at. */
class KeyRecord implements ConsumedRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly value: Buffer | null;
  readonly headers = NO_HEADERS;
  readonly #cursor: Cursor;
  /** Null when there is no key. */
  readonly #start: number | null;
  readonly #end: number;

  constructor(
    cursor: Cursor,
    start: number | null,
    end: number,
    { offset, timestamp, value }: Pick<ConsumedRecord, 'offset' | 'timestamp' | 'value'>,
  ) {
    this.offset = offset;
    this.timestamp = timestamp;
    this.value = value;
    this.#cursor = cursor;
    this.#start = start;
    this.#end = end;
  }

  get key(): Buffer | null {
    return this.#start === null ? null : this.#cursor.view(this.#start, this.#end);
  }
}

/**
 * Nothing is inherited, so that any name is just a name. `Object.create(null)` promises the same, but makes a hash table of
 * each object: four times as dear.
 */
class Headers {
  [name: string]: Buffer | (Buffer | null)[] | null;
  static {
    Object.setPrototypeOf(this.prototype, null);
    Reflect.deleteProperty(this.prototype, 'constructor');
  }
}

/** In kafkajs' shape: a name that comes again has a list. */
function readHeaders(cursor: Cursor, count: number, end: number): RecordHeaders {
  const headers = new Headers();
  if (count < 0) cursor.isBroken = true;
  for (let i = 0; i < count && !cursor.isBroken; i++) {
    const name = cursor.name(end);
    const value = cursor.bytes(end);
    if (name === null) cursor.isBroken = true;
    else if (!(name in headers)) headers[name] = value;
    else headers[name] = [headers[name] ?? null, value].flat();
  }
  return headers as RecordHeaders;
}

/** Names of headers by their length, the last one of each; those that are ASCII. Nearly all records have the same few. */
const knownNames = Array.from({ length: 64 }, () => '');

/** Reads a record's fields. What can't be read makes it broken, for good; it never leaves its bytes. */
class Cursor {
  at = 0;
  isBroken = false;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Zigzag, seven bits a byte, at most five bytes. */
  varint(): number {
    const bytes = this.#bytes;
    let result = 0;
    for (let shift = 0; shift < 35 && this.at < bytes.length; shift += 7) {
      const byte = bytes[this.at++] ?? 0;
      result |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (result >>> 1) ^ -(result & 1);
    }
    this.isBroken = true;
    return 0;
  }

  /** The same in at most ten bytes. A double: rounded beyond 2^53, which no time in milliseconds is. */
  varlong(): number {
    const bytes = this.#bytes;
    let result = 0;
    let weight = 1;
    for (let i = 0; i < 10 && this.at < bytes.length; i++) {
      const byte = bytes[this.at++] ?? 0;
      result += (byte & 0x7f) * weight;
      weight *= 0x80;
      if (byte < 0x80) return result % 2 === 0 ? result / 2 : -(result + 1) / 2;
    }
    this.isBroken = true;
    return 0;
  }

  /** A view on what a length says, before `end`; null for the length -1. */
  bytes(end: number): Buffer | null {
    const start = this.skip(end);
    return start === null ? null : this.view(start, this.at);
  }

  view(start: number, end: number): Buffer {
    return this.#bytes.subarray(start, end);
  }

  /** A header's name: as text, which is one string for all records whose headers have that name. */
  name(end: number): string | null {
    const start = this.skip(end);
    if (start === null) return null;
    const length = this.at - start;
    const known = length < knownNames.length ? (knownNames[length] ?? '') : '';
    if (known.length === length && this.#isAt(start, known)) return known;
    const name = this.#bytes.toString('utf8', start, this.at);
    if (name.length === length && length < knownNames.length) knownNames[length] = name;
    return name;
  }

  /** Whether the bytes from there on are this text, which is ASCII. */
  #isAt(start: number, text: string): boolean {
    for (let i = 0; i < text.length; i += 1) if (this.#bytes[start + i] !== text.charCodeAt(i)) return false;
    return true;
  }

  /** Goes behind what a length says; returns where that begins. */
  skip(end: number): number | null {
    const length = this.varint();
    const start = this.at;
    if (length === -1) return null;
    if (length < 0 || start + length > end) {
      this.isBroken = true;
      return null;
    }
    this.at = start + length;
    return start;
  }
}
