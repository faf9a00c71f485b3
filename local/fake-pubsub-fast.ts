/**
 * A Pub/Sub for benches: takes publish requests over plaintext HTTP/2, as fast as Node can, and answers as Pub/Sub
 * would. It counts messages and sums the CRC-32 of each body, so that what arrived can be compared in any order.
 * It checks nothing and has no faults: tests use fake-pubsub.ts.
 *
 * `node local/fake-pubsub-fast.ts [--port 0] [--delay 0]` prints `{"port":…}`; at SIGTERM it prints its totals, ends.
 */
import { once } from 'node:events';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { crc32 } from 'node:zlib';

/** What has arrived so far. */
export interface FastPubSubTotals {
  readonly messages: number;
  readonly requests: number;
  /** The sum of the CRC-32 of every message's data, modulo 2^32. */
  readonly checksum: number;
  /** The process's own CPU time, user and system. */
  readonly cpuMicros: number;
}

/** A running server. */
export interface FastPubSub {
  readonly port: number;
  totals(): FastPubSubTotals;
  stop(): Promise<void>;
}

/** The default of 64 KiB would halve the client and double the server's cost. */
const WINDOW_BYTES = 16 * 1_024 * 1_024;
const FRAME_HEADER_BYTES = 5;

const TEXT_FIELD = 2;
const REQUEST_MESSAGES = 2;
const MESSAGE_DATA = 1;

const RESPONSE_HEADERS = { ':status': 200, 'content-type': 'application/grpc' };

/** Starts it in this process. `delayMs` passes between a request's last byte and its answer. */
export async function startFastPubSub(options: {
  readonly port?: number;
  readonly delayMs?: number;
}): Promise<FastPubSub> {
  const { port = 0, delayMs = 0 } = options;
  let messages = 0;
  let requests = 0;
  let checksum = 0;

  const answer = (stream: ServerHttp2Stream, chunks: readonly Buffer[]): void => {
    const frame = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    const arrived = summarize(frame.subarray(FRAME_HEADER_BYTES));
    messages += arrived.messages;
    checksum = (checksum + arrived.checksum) >>> 0;
    requests++;
    const reply = (): void => {
      if (stream.destroyed) return;
      stream.respond(RESPONSE_HEADERS, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(responseFrame(arrived.messages));
    };
    if (delayMs === 0) reply();
    else setTimeout(reply, delayMs);
  };

  const server = createServer({ settings: { initialWindowSize: WINDOW_BYTES }, maxSessionMemory: 1_000 });
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => {
    session.setLocalWindowSize(WINDOW_BYTES);
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => answer(stream, chunks));
    // A client that cancels is no failure of the server's.
    stream.on('error', () => stream.destroy());
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');

  return {
    port: (server.address() as AddressInfo).port,
    totals: () => {
      const { user, system } = process.cpuUsage();
      return { messages, requests, checksum, cpuMicros: user + system };
    },
    stop: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Walks a PublishRequest: counts `messages`, sums the CRC-32 of each one's `data`. */
function summarize(request: Buffer): { readonly messages: number; readonly checksum: number } {
  const walk = new FieldWalk(request, 0, request.length);
  let messages = 0;
  let checksum = 0;
  while (walk.next()) {
    if (walk.field !== REQUEST_MESSAGES) continue;
    messages++;
    const message = new FieldWalk(request, walk.start, walk.end);
    while (message.next()) {
      if (message.field !== MESSAGE_DATA) continue;
      checksum = (checksum + crc32(request.subarray(message.start, message.end))) >>> 0;
    }
  }
  return { messages, checksum };
}

/** Steps through the length-delimited fields of a protobuf message. */
export class FieldWalk {
  field = 0;
  start = 0;
  end: number;
  readonly #bytes: Buffer;
  readonly #limit: number;

  constructor(bytes: Buffer, from: number, limit: number) {
    this.#bytes = bytes;
    this.end = from;
    this.#limit = limit;
  }

  /** Moves to the next field; false at the end. */
  next(): boolean {
    if (this.end >= this.#limit) return false;
    let at = this.end;
    const tag = this.#bytes[at++]!;
    if ((tag & 7) !== TEXT_FIELD) throw new Error(`a PublishRequest has no field with tag ${tag}`);
    let length = 0;
    let factor = 1;
    for (;;) {
      const byte = this.#bytes[at++]!;
      length += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
      factor *= 128;
    }
    this.field = tag >>> 3;
    this.start = at;
    this.end = at + length;
    return true;
  }
}

/** By their number of messages: requests come in few sizes. */
const responseFrames = new Map<number, Buffer>();

/** A framed PublishResponse for so many messages. Their ids are equal here: nobody reads them. */
export function responseFrame(messages: number): Buffer {
  const known = responseFrames.get(messages);
  if (known !== undefined) return known;
  const id = Buffer.from('\x0a\x101234567890123456', 'latin1');
  const head = Buffer.alloc(FRAME_HEADER_BYTES);
  head.writeUInt32BE(id.length * messages, 1);
  const frame = Buffer.concat([head, ...Array.from({ length: messages }, () => id)]);
  responseFrames.set(messages, frame);
  return frame;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { port: { type: 'string', default: '0' }, delay: { type: 'string', default: '0' } },
  });
  const server = await startFastPubSub({ port: Number(values.port), delayMs: Number(values.delay) });
  process.stdout.write(`${JSON.stringify({ port: server.port })}\n`);
  process.once('SIGTERM', () => {
    process.stdout.write(`${JSON.stringify(server.totals())}\n`);
    void server.stop();
  });
}

if (import.meta.main) await main();
