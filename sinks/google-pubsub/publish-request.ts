import { DOCUMENT_TYPES } from '../../schemas/document-type.ts';
import type { OperationBatch } from '../sink.ts';

/*
 * google.pubsub.v1: PublishRequest { string topic = 1; repeated PubsubMessage messages = 2; }
 * PubsubMessage { bytes data = 1; map<string, string> attributes = 2; string ordering_key = 5; }
 * The order of fields is free in protobuf, so everything that messages share comes first, and `data` last.
 */
const REQUEST_TOPIC = 0x0a;
const REQUEST_MESSAGE = 0x12;
const MESSAGE_DATA = 0x0a;
const MESSAGE_ATTRIBUTE = 0x12;
const MESSAGE_ORDERING_KEY = 0x2a;
const ENTRY_KEY = 0x0a;
const ENTRY_VALUE = 0x12;
const RESPONSE_MESSAGE_ID = 0x0a;

const NO_ID = '';

/** What PublishRequest adds to each operation at most: tags, lengths, `doc_type`, and what the options ask for. */
export function recordOverheadBytes(options: {
  readonly messageId: boolean;
  readonly ordering: boolean;
}): number {
  const docType = Math.max(...DOCUMENT_TYPES.map((name) => attribute('doc_type', name).length));
  const messageId = options.messageId
    ? attribute('message_id', '00008-99999-00000000000000000000').length
    : 0;
  const orderingKey = options.ordering ? field(MESSAGE_ORDERING_KEY, '255').length : 0;
  const tagsAndLengths = 10;
  return tagsAndLengths + docType + messageId + orderingKey;
}

/** What was found out about messages before they are written. */
export interface MessagesPlan {
  readonly byteLength: number;
  /** By document type. */
  readonly prefixes: readonly Buffer[];
  /** By record; null when message ids weren't asked for. */
  readonly ids: readonly string[] | null;
}

/** The field `topic`: all of a `PublishRequest` that isn't its messages. */
export function topicField(topicName: string): Buffer {
  return field(REQUEST_TOPIC, topicName);
}

/**
 * Writes the `messages` of a `PublishRequest` straight from batches of operations, without an object per message: 7 to
 * 10 times cheaper than building and encoding them. Allocates nothing per record unless message ids were asked for. A
 * contract test reads the bytes with the official protos.
 */
export class MessagesEncoder {
  readonly #hasMessageIds: boolean;
  /** By ordering lane, then document type: the bytes that a message carries before its id and data. */
  readonly #prefixes = new Map<number | null, readonly Buffer[]>();

  constructor(options: { readonly messageId: boolean }) {
    this.#hasMessageIds = options.messageId;
  }

  /** Measures the messages of the whole batch. */
  plan(batch: OperationBatch): MessagesPlan {
    const prefixes = this.#prefixesOf(batch);
    const ids = this.#hasMessageIds ? messageIdAttributes(batch) : null;
    let byteLength = 0;
    for (let i = 0; i < batch.count; i++) byteLength += entryLength(batch, i, prefixes, ids);
    return { byteLength, prefixes, ids };
  }

  /** Writes the planned messages to the first `plan.byteLength` bytes of `target`. */
  write(batch: OperationBatch, plan: MessagesPlan, target: Buffer): void {
    const { prefixes, ids } = plan;
    const { count, data } = batch;
    let at = 0;
    for (let i = 0; i < count; i++) {
      const start = batch.start(i);
      const end = batch.end(i);
      target[at++] = REQUEST_MESSAGE;
      at = writeVarint(target, at, messageLength(batch, i, prefixes, ids));
      const prefix = prefixes[batch.docType(i)];
      if (prefix !== undefined) {
        target.set(prefix, at);
        at += prefix.length;
      }
      if (ids !== null) at += target.write(ids[i] ?? NO_ID, at, 'latin1');
      target[at++] = MESSAGE_DATA;
      at = writeVarint(target, at, end - start);
      data.copy(target, at, start, end);
      at += end - start;
    }
  }

  #prefixesOf(batch: OperationBatch): readonly Buffer[] {
    const known = this.#prefixes.get(batch.orderingLane);
    if (known !== undefined) return known;
    const prefixes = messagePrefixes(batch.orderingLane);
    this.#prefixes.set(batch.orderingLane, prefixes);
    return prefixes;
  }
}

/**
 * How many message ids a `PublishResponse` holds, without decoding them; null when the bytes are no such message.
 * Fields this program doesn't know are passed over, as protobuf asks.
 */
export function countMessageIds(response: Uint8Array): number | null {
  let count = 0;
  let at = 0;
  while (at < response.length) {
    const tag = response[at++];
    let length = 0;
    let factor = 1;
    for (;;) {
      const byte = response[at++];
      if (byte === undefined) return null;
      length += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
      factor *= 128;
    }
    const wireType = (tag ?? 0) & 7;
    if (tag === RESPONSE_MESSAGE_ID) count++;
    if (wireType === 2) at += length;
    else if (wireType !== 0) return null;
  }
  return at === response.length ? count : null;
}

/** How many bytes record `i` takes in a request. */
function entryLength(
  batch: OperationBatch,
  i: number,
  prefixes: readonly Buffer[],
  ids: readonly string[] | null,
): number {
  const message = messageLength(batch, i, prefixes, ids);
  return 1 + varintLength(message) + message;
}

function messageLength(
  batch: OperationBatch,
  i: number,
  prefixes: readonly Buffer[],
  ids: readonly string[] | null,
): number {
  const dataLength = batch.end(i) - batch.start(i);
  const prefix = prefixes[batch.docType(i)];
  if (prefix === undefined) throw new RangeError(`document type ${batch.docType(i)} doesn't exist`);
  return prefix.length + (ids?.[i] ?? NO_ID).length + 1 + varintLength(dataLength) + dataLength;
}

function messagePrefixes(orderingLane: number | null): readonly Buffer[] {
  const orderingKey =
    orderingLane === null ? Buffer.alloc(0) : field(MESSAGE_ORDERING_KEY, orderingLane.toString());
  return DOCUMENT_TYPES.map((name) => Buffer.concat([attribute('doc_type', name), orderingKey]));
}

/** One text per record that is, in Latin-1, the bytes of the attribute `message_id`: ids are ASCII. */
function messageIdAttributes(batch: OperationBatch): readonly string[] {
  const attributes: string[] = [];
  let head = '';
  let headLength = -1;
  for (let i = 0; i < batch.count; i++) {
    const id = batch.messageId(i);
    if (id.length !== headLength) {
      const whole = attribute('message_id', id);
      head = whole.toString('latin1', 0, whole.length - id.length);
      headLength = id.length;
    }
    attributes.push(head + id);
  }
  return attributes;
}

function attribute(key: string, value: string): Buffer {
  return field(MESSAGE_ATTRIBUTE, Buffer.concat([field(ENTRY_KEY, key), field(ENTRY_VALUE, value)]));
}

/** A length-delimited field. */
function field(tag: number, content: string | Buffer): Buffer {
  const bytes = Buffer.from(content as string);
  const head = Buffer.alloc(1 + varintLength(bytes.length));
  head[0] = tag;
  writeVarint(head, 1, bytes.length);
  return Buffer.concat([head, bytes]);
}

function varintLength(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}

function writeVarint(target: Buffer, at: number, value: number): number {
  let rest = value;
  while (rest >= 0x80) {
    target[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[at++] = rest;
  return at;
}
