import { once } from 'node:events';
import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { FieldWalk, responseFrame } from './fake-pubsub-fast.ts';

/** How a topic behaves until it is told otherwise. */
export type PubSubMood =
  | { readonly kind: 'healthy' }
  /** Stores and answers so much later; it stores also what the caller has given up. */
  | { readonly kind: 'slow'; readonly delayMs: number }
  /** Takes requests, stores nothing, never answers. */
  | { readonly kind: 'hanging' }
  /** Stores, and never answers. */
  | { readonly kind: 'forgetful' }
  /** Answers everything with this gRPC status: 14 is UNAVAILABLE, 8 RESOURCE_EXHAUSTED. */
  | { readonly kind: 'refusing'; readonly status: number }
  /** Refuses requests that hold a message for which this is true with INVALID_ARGUMENT. */
  | { readonly kind: 'rejecting'; readonly isRejected: (data: Buffer) => boolean };

/** Hears what happens at the topics; `topic` is the short id. */
export interface PubSubWatcher {
  /** The message is stored. `data` is only valid during the call. */
  stored(topic: string, data: Buffer): void;
  /** A request that held nothing but this message was refused for it. */
  rejected(topic: string, data: Buffer): void;
}

/** A running server. */
export interface MoodyPubSub {
  readonly port: number;
  /** `host:port` */
  readonly address: string;
  /** `topic` is the short id; every topic exists and is healthy until told otherwise. */
  setMood(topic: string, mood: PubSubMood): void;
  /** Breaks every connection now. */
  dropConnections(): void;
  stop(): Promise<void>;
}

const WINDOW_BYTES = 16 * 1_024 * 1_024;
const FRAME_HEADER_BYTES = 5;
const REQUEST_MESSAGES = 2;
const MESSAGE_DATA = 1;
const OK = 0;
const INVALID_ARGUMENT = 3;
const UNIMPLEMENTED = 12;
const PUBLISH = '/google.pubsub.v1.Publisher/Publish';
const ROUTING = 'x-goog-request-params';
const HEALTHY: PubSubMood = { kind: 'healthy' };

/**
 * A Pub/Sub that keeps nothing: takes publish requests over plaintext HTTP/2, hands every message to its watcher, and
 * has a mood for each topic. For long runs and for benches; what is in a request isn't checked.
 */
export async function startMoodyPubSub(
  watcher: PubSubWatcher,
  options: { readonly port?: number } = {},
): Promise<MoodyPubSub> {
  const server = new MoodyServer(watcher);
  await server.listen(options.port ?? 0);
  return server;
}

class MoodyServer implements MoodyPubSub {
  readonly #watcher: PubSubWatcher;
  readonly #moods = new Map<string, PubSubMood>();
  readonly #topicOfRouting = new Map<string, string>();
  readonly #sessions = new Set<{ destroy(): void }>();
  readonly #server: Http2Server;

  constructor(watcher: PubSubWatcher) {
    this.#watcher = watcher;
    this.#server = createServer({ settings: { initialWindowSize: WINDOW_BYTES }, maxSessionMemory: 1_000 });
    this.#server.on('session', (session) => {
      session.setLocalWindowSize(WINDOW_BYTES);
      this.#sessions.add(session);
      session.on('close', () => this.#sessions.delete(session));
      session.on('error', () => session.destroy());
    });
    this.#server.on('stream', (stream, headers) => this.#onStream(stream, headers));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async listen(port: number): Promise<void> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  setMood(topic: string, mood: PubSubMood): void {
    this.#moods.set(topic, mood);
  }

  dropConnections(): void {
    for (const session of this.#sessions) session.destroy();
  }

  async stop(): Promise<void> {
    this.dropConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const topic = this.#topicOf(headers[ROUTING]);
    const mood = this.#moods.get(topic) ?? HEALTHY;
    // A client that cancels is no failure of the server's.
    stream.on('error', () => stream.destroy());
    // A stream that ends with nothing read would keep its window.
    if (mood.kind === 'hanging' || mood.kind === 'refusing' || headers[':path'] !== PUBLISH) {
      stream.resume();
      if (mood.kind !== 'hanging') refuse(stream, mood.kind === 'refusing' ? mood.status : UNIMPLEMENTED);
      return;
    }
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const frame = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
      const request = frame.subarray(FRAME_HEADER_BYTES);
      if (mood.kind === 'slow') setTimeout(() => this.#publish(stream, topic, request, mood), mood.delayMs);
      else this.#publish(stream, topic, request, mood);
    });
  }

  /** From the header that routes a call: `topic=projects%2Facme%2Ftopics%2Fusers`. */
  #topicOf(routing: string | string[] | undefined): string {
    if (typeof routing !== 'string') return '';
    const known = this.#topicOfRouting.get(routing);
    if (known !== undefined) return known;
    const topic = decodeURIComponent(routing).split('/').at(-1) ?? '';
    this.#topicOfRouting.set(routing, topic);
    return topic;
  }

  #publish(stream: ServerHttp2Stream, topic: string, request: Buffer, mood: PubSubMood): void {
    const messages = messagesOf(request);
    if (mood.kind === 'rejecting' && messages.some(mood.isRejected)) {
      const [only] = messages;
      if (messages.length === 1 && only) this.#watcher.rejected(topic, only);
      refuse(stream, INVALID_ARGUMENT);
      return;
    }
    for (const message of messages) this.#watcher.stored(topic, message);
    if (mood.kind === 'forgetful' || stream.destroyed) return;
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(OK) }));
    stream.end(responseFrame(messages.length));
  }
}

function refuse(stream: ServerHttp2Stream, status: number): void {
  if (stream.destroyed || stream.rstCode !== constants.NGHTTP2_NO_ERROR) return;
  const headers = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(status) };
  stream.respond(headers, { endStream: true });
}

/** The `data` of each message of a PublishRequest, as views of it. */
function messagesOf(request: Buffer): readonly Buffer[] {
  const messages: Buffer[] = [];
  const walk = new FieldWalk(request, 0, request.length);
  while (walk.next()) {
    if (walk.field !== REQUEST_MESSAGES) continue;
    const message = new FieldWalk(request, walk.start, walk.end);
    while (message.next())
      if (message.field === MESSAGE_DATA) messages.push(request.subarray(message.start, message.end));
  }
  return messages;
}
