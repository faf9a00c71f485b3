import { DOCUMENT_TYPES } from '../../schemas/document-type.ts';
import type { OperationBatch } from '../sink.ts';

/** The first `count` records of a batch as one AMQP message of Event Hubs' batch format. */
export interface EncodedEvents {
  readonly count: number;
  readonly bytes: Buffer;
}

/** A message id is shorter than 256 bytes; here 5 + 1 + 10 + 1 + 20. */
const MAX_MESSAGE_ID_BYTES = 37;
const MAX_DATA_HEADER_BYTES = 8;
const CONTENT_TYPE = 'application/json';

/**
 * Encodes operations as events: the operation's bytes as the body, content type `application/json`, the application
 * property `doc_type` (and `message_id` when asked), and the ordering lane as the partition key.
 *
 * The bytes equal those of the SDK's own `EventDataBatch`, which a test compares; building that costs 8 µs an event,
 * this a fraction of one (PERFORMANCE.md 2.7). All that doesn't depend on the record is encoded once and copied.
 */
export class EventEncoder {
  readonly #hasMessageId: boolean;
  readonly #heads = new Map<string, readonly EventHead[]>();

  constructor(options: { readonly messageId: boolean }) {
    this.#hasMessageId = options.messageId;
  }

  /** An upper bound of what one event takes beyond its operation's bytes. */
  recordOverheadBytes(): number {
    const longest = Math.max(...this.#headsOf('255').map((head) => head.bytes.length));
    return longest + (this.#hasMessageId ? MAX_MESSAGE_ID_BYTES : 0) + 2 * MAX_DATA_HEADER_BYTES;
  }

  /** What an empty batch takes at most. */
  batchOverheadBytes(): number {
    return envelopeOf('255').length;
  }

  /**
   * As many of the first records as `maxBytes` hold, or the first alone when it takes no more than `maxBytesAlone`;
   * null when not even that.
   */
  encode(batch: OperationBatch, maxBytes: number, maxBytesAlone = maxBytes): EncodedEvents | null {
    const partitionKey = partitionKeyOf(batch);
    const envelope = envelopeOf(partitionKey);
    const heads = this.#headsOf(partitionKey);
    let count = 0;
    let byteLength = envelope.length;
    for (; count < batch.count; count++) {
      const next = byteLength + dataSectionLength(this.#eventLength(batch, count, heads));
      if (next > (count === 0 ? maxBytesAlone : maxBytes)) break;
      byteLength = next;
    }
    if (count === 0) return null;

    const bytes = Buffer.allocUnsafe(byteLength);
    let at = envelope.copy(bytes);
    for (let i = 0; i < count; i++) at = this.#writeEvent(batch, i, heads, bytes, at);
    return { count, bytes };
  }

  #eventLength(batch: OperationBatch, i: number, heads: readonly EventHead[]): number {
    const idLength = this.#hasMessageId ? batch.messageId(i).length : 0;
    return headOf(heads, batch, i).bytes.length + idLength + dataSectionLength(batch.end(i) - batch.start(i));
  }

  #writeEvent(
    batch: OperationBatch,
    i: number,
    heads: readonly EventHead[],
    target: Buffer,
    start: number,
  ): number {
    const head = headOf(heads, batch, i);
    let at = writeDataHeader(target, start, this.#eventLength(batch, i, heads));
    const headAt = at;
    at += head.bytes.copy(target, at);
    if (this.#hasMessageId) {
      const id = batch.messageId(i);
      target.writeUInt32BE(head.mapSize + id.length, headAt + head.mapSizeAt);
      target[at - 1] = id.length;
      at += target.write(id, at, 'latin1');
    }
    at = writeDataHeader(target, at, batch.end(i) - batch.start(i));
    return at + batch.data.copy(target, at, batch.start(i), batch.end(i));
  }

  #headsOf(partitionKey: string | null): readonly EventHead[] {
    const key = partitionKey ?? '';
    let heads = this.#heads.get(key);
    if (heads === undefined) {
      heads = DOCUMENT_TYPES.map((docType) => eventHead(docType, partitionKey, this.#hasMessageId));
      this.#heads.set(key, heads);
    }
    return heads;
  }
}

/** The batch's partition key: its ordering lane as decimal text. */
export function partitionKeyOf(batch: OperationBatch): string | null {
  return batch.orderingLane === null ? null : String(batch.orderingLane);
}

/** All sections before an event's body. With a message id it ends in the id's length byte, which is filled per record. */
interface EventHead {
  readonly bytes: Buffer;
  /** Where the size of the application properties stands, and its value without the id's characters. */
  readonly mapSizeAt: number;
  readonly mapSize: number;
}

const HEADER = Buffer.from([0x00, 0x53, 0x70]);
const MESSAGE_ANNOTATIONS = Buffer.from([0x00, 0x53, 0x72]);
const PROPERTIES = Buffer.from([0x00, 0x53, 0x73]);
const APPLICATION_PROPERTIES = Buffer.from([0x00, 0x53, 0x74]);
const DATA = 0x75;
const EMPTY_LIST = Buffer.from([0x45]);
const LIST = 0xd0;
const MAP = 0xd1;
const NULL = Buffer.from([0x40]);
const TRUE = Buffer.from([0x41]);
const STRING = 0xa1;
const SYMBOL = 0xa3;

function envelopeOf(partitionKey: string | null): Buffer {
  return Buffer.concat([HEADER, EMPTY_LIST, annotations(partitionKey), PROPERTIES, EMPTY_LIST]);
}

function eventHead(docType: string, partitionKey: string | null, hasMessageId: boolean): EventHead {
  const entries = [text(STRING, 'doc_type'), text(STRING, docType)];
  if (hasMessageId) entries.push(text(STRING, 'message_id'), text(STRING, ''));
  const map = compound(MAP, entries);
  const before = Buffer.concat([
    // The service can't route by partition key when an event's header is empty (a note in the SDK).
    HEADER,
    partitionKey === null ? EMPTY_LIST : compound(LIST, [TRUE]),
    annotations(partitionKey),
    PROPERTIES,
    compound(LIST, [NULL, NULL, NULL, NULL, NULL, NULL, text(SYMBOL, CONTENT_TYPE)]),
    APPLICATION_PROPERTIES,
  ]);
  return {
    bytes: Buffer.concat([before, map]),
    mapSizeAt: before.length + 1,
    mapSize: map.readUInt32BE(1),
  };
}

function annotations(partitionKey: string | null): Buffer {
  const entries =
    partitionKey === null ? [] : [text(SYMBOL, 'x-opt-partition-key'), text(STRING, partitionKey)];
  return Buffer.concat([MESSAGE_ANNOTATIONS, compound(MAP, entries)]);
}

function text(constructorCode: number, value: string): Buffer {
  return Buffer.concat([Buffer.from([constructorCode, value.length]), Buffer.from(value, 'latin1')]);
}

function compound(constructorCode: number, items: readonly Buffer[]): Buffer {
  const content = Buffer.concat(items);
  const head = Buffer.alloc(9);
  head[0] = constructorCode;
  head.writeUInt32BE(content.length + 4, 1);
  head.writeUInt32BE(items.length, 5);
  return Buffer.concat([head, content]);
}

function headOf(heads: readonly EventHead[], batch: OperationBatch, i: number): EventHead {
  const head = heads[batch.docType(i)];
  if (head === undefined) throw new RangeError(`no document type has the index ${batch.docType(i)}`);
  return head;
}

function dataSectionLength(contentLength: number): number {
  return contentLength + (contentLength <= 0xff ? 5 : MAX_DATA_HEADER_BYTES);
}

function writeDataHeader(target: Buffer, at: number, contentLength: number): number {
  target[at] = 0x00;
  target[at + 1] = 0x53;
  target[at + 2] = DATA;
  if (contentLength <= 0xff) {
    target[at + 3] = 0xa0;
    target[at + 4] = contentLength;
    return at + 5;
  }
  target[at + 3] = 0xb0;
  return target.writeUInt32BE(contentLength, at + 4);
}
