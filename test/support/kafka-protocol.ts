import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { crc32c } from './crc32c.ts';

/**
 * What tests ask of a broker that kafkajs has no call for, in Kafka's own protocol over a connection of its own.
 */

const PRODUCE = { key: 0, version: 3 };
const LEAVE_GROUP = { key: 13, version: 0 };
const CORRELATION_ID = 1;
const PRODUCE_TIMEOUT_MS = 30_000;

/** Takes a member out of its group, whoever it is. Rejects with the broker's error code. */
export async function leaveGroup(broker: string, groupId: string, memberId: string): Promise<void> {
  const answer = await request(broker, LEAVE_GROUP, [text(groupId), text(memberId)]);
  assertNoError(answer.readInt16BE(0), `leaving group ${groupId}`);
}

/** One record of a batch made by hand. */
export interface HandMadeRecord {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Stores all records as one record batch, which kafkajs would take minutes for. Rejects with the broker's error code. */
export async function produceOneBatch(
  broker: string,
  topic: string,
  partition: number,
  records: readonly HandMadeRecord[],
): Promise<void> {
  const batch = recordBatch(records);
  const answer = await request(broker, PRODUCE, [
    int16(-1),
    int16(-1),
    int32(PRODUCE_TIMEOUT_MS),
    int32(1),
    text(topic),
    int32(1),
    int32(partition),
    int32(batch.length),
    batch,
  ]);
  const atError = 4 + 2 + Buffer.byteLength(topic) + 4 + 4;
  assertNoError(answer.readInt16BE(atError), `storing a batch in ${topic}`);
}

/** The record batch format, magic 2, uncompressed: https://kafka.apache.org/documentation/#recordbatch */
function recordBatch(records: readonly HandMadeRecord[]): Buffer {
  const timestamp = int64(BigInt(Date.now()));
  const body = Buffer.concat([
    int16(0),
    int32(records.length - 1),
    timestamp,
    timestamp,
    int64(-1n),
    int16(-1),
    int32(-1),
    int32(records.length),
    ...records.map(record),
  ]);
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32c(body));
  const afterLength = Buffer.concat([int32(-1), Buffer.from([2]), crc, body]);
  return Buffer.concat([int64(0n), int32(afterLength.length), afterLength]);
}

function record({ key, value }: HandMadeRecord, offsetDelta: number): Buffer {
  const body = Buffer.concat([
    Buffer.from([0]),
    varint(0),
    varint(offsetDelta),
    varint(key.length),
    key,
    varint(value.length),
    value,
    varint(0),
  ]);
  return Buffer.concat([varint(body.length), body]);
}

/** Sends one request and resolves with the answer's body. */
async function request(
  broker: string,
  { key, version }: { readonly key: number; readonly version: number },
  body: readonly Buffer[],
): Promise<Buffer> {
  const [host = '', port = ''] = broker.split(':');
  const socket = connect(Number(port), host);
  try {
    await once(socket, 'connect');
    const message = Buffer.concat([int16(key), int16(version), int32(CORRELATION_ID), text('test'), ...body]);
    socket.write(Buffer.concat([int32(message.length), message]));
    return (await readFrame(socket)).subarray(4);
  } finally {
    socket.destroy();
  }
}

async function readFrame(socket: Socket): Promise<Buffer> {
  let received = Buffer.alloc(0);
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk as Buffer]);
    if (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) {
      return received.subarray(4, 4 + received.readInt32BE(0));
    }
  }
  throw new Error('the broker closed the connection instead of answering');
}

function assertNoError(code: number, doing: string): void {
  if (code !== 0) throw new Error(`${doing}: the broker answers with error code ${code}`);
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([int16(bytes.length), bytes]);
}

/** Zigzag, then seven bits a byte. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = ((value << 1) ^ (value >> 31)) >>> 0;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return Buffer.from([...bytes, rest]);
}
