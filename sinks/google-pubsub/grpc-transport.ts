import { v1 } from '@google-cloud/pubsub';
import { Client, Metadata, credentials } from '@grpc/grpc-js';
import type { ServiceAccount } from './credentials.ts';
import { messageIn, sendFramesUntouched } from './framed-request.ts';
import type { PublishTransport, UnaryCall } from './publish-transport.ts';

/** Where to connect to. */
export interface GrpcTarget {
  readonly host: string;
  readonly port: number;
  /** Plaintext and no authentication: an emulator. */
  readonly isEmulator: boolean;
}

/** A call ends by the caller's signal; this is the last resort, should that never come. */
const LAST_RESORT_DEADLINE_MS = 60_000;

const CHANNEL_OPTIONS = {
  'grpc.max_send_message_length': -1,
  'grpc.max_receive_message_length': -1,
  // Each sink owns its connection, so that dropping it after a lost call harms nobody else.
  'grpc.use_local_subchannel_pool': 1,
  // Retries are the lane's; a service config from DNS could turn them on.
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  // While gRPC backs off, calls fail at once; its own 120 s would outlast the destination's recovery.
  'grpc.initial_reconnect_backoff_ms': 500,
  'grpc.max_reconnect_backoff_ms': 5_000,
  // A connection that a firewall forgot is found out; the official Python publisher has the same figure.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
} as const;

/** One client and its channel, with the calls that are on it. */
class Connection {
  readonly #client: v1.PublisherClient;
  readonly #stub: Promise<Client>;
  #sendsFrames = false;
  readonly #onClosed: (connection: Connection) => void;
  readonly #cancels = new Set<() => void>();
  #isRetired = false;
  #whenIdle: PromiseWithResolvers<void> | null = null;
  #closing: Promise<void> | null = null;

  constructor(target: GrpcTarget, account: ServiceAccount, onClosed: (connection: Connection) => void) {
    this.#onClosed = onClosed;
    this.#client = new v1.PublisherClient({
      servicePath: target.host,
      port: target.port,
      projectId: account.projectId,
      universeDomain: 'googleapis.com',
      fallback: false,
      // Never the machine's own credentials: without a key of the tenant's, the client would publish as us.
      credentials: { client_email: account.clientEmail, private_key: account.privateKey },
      ...(target.isEmulator ? { sslCreds: credentials.createInsecure() } : {}),
      ...CHANNEL_OPTIONS,
    });
    this.#stub = this.#connect();
    // Whoever calls sees the failure; without a caller it must not count as unhandled.
    this.#stub.catch(() => undefined);
  }

  async call(call: UnaryCall, signal: AbortSignal): Promise<Buffer> {
    const metadata = new Metadata();
    metadata.set('x-goog-request-params', call.routing);
    let cancel = (): void => undefined;
    let isCancelled = signal.aborted;
    const onCancel = (): void => {
      isCancelled = true;
      cancel();
    };
    signal.addEventListener('abort', onCancel, { once: true });
    this.#cancels.add(onCancel);
    try {
      const stub = await this.#stub;
      const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
      const deadline = Date.now() + LAST_RESORT_DEADLINE_MS;
      const onEnd = (error: Error | null, response: Buffer | undefined): void =>
        error === null && response !== undefined ? resolve(response) : reject(asError(error));
      if (this.#sendsFrames) {
        // Only calls with a stream of requests take pieces. On the wire they are the same.
        const pieces = stub.makeClientStreamRequest(
          call.path,
          identity,
          identity,
          metadata,
          { deadline },
          onEnd,
        );
        cancel = () => pieces.cancel();
        for (const piece of call.request) pieces.write(piece);
        pieces.end();
      } else {
        const message = messageIn(call.request);
        const unary = stub.makeUnaryRequest(
          call.path,
          identity,
          identity,
          message,
          metadata,
          { deadline },
          onEnd,
        );
        cancel = () => unary.cancel();
      }
      if (isCancelled) cancel();
      return await promise;
    } finally {
      signal.removeEventListener('abort', onCancel);
      this.#cancels.delete(onCancel);
      if (this.#cancels.size === 0) this.#becomeIdle();
    }
  }

  /** Takes no further call; closes as soon as those in flight have ended. */
  retire(): void {
    this.#isRetired = true;
    if (this.#cancels.size === 0) void this.#closeChannel();
  }

  /** Cancels what is in flight and closes the channel. */
  async close(): Promise<void> {
    this.#isRetired = true;
    if (this.#cancels.size > 0) {
      this.#whenIdle ??= Promise.withResolvers();
      for (const cancel of this.#cancels) cancel();
      await this.#whenIdle.promise;
    }
    await this.#closeChannel();
  }

  #becomeIdle(): void {
    this.#whenIdle?.resolve();
    if (this.#isRetired) void this.#closeChannel();
  }

  async #connect(): Promise<Client> {
    const stub: unknown = await this.#client.initialize();
    if (!(stub instanceof Client)) throw new TypeError('the Pub/Sub client gave no gRPC stub');
    this.#sendsFrames = sendFramesUntouched(stub.getChannel());
    return stub;
  }

  #closeChannel(): Promise<void> {
    this.#closing ??= this.#client
      .close()
      // A channel that could not be opened can't be closed either.
      .catch(() => undefined)
      .then(() => this.#onClosed(this));
    return this.#closing;
  }
}

/**
 * Uses the official client's own authenticated channel, without its request objects, bundling and retries. Connects
 * with the first call. A call that is aborted takes its connection along: what was on its way must not arrive later,
 * and a connection that nobody answers on isn't tried again.
 */
export class GrpcTransport implements PublishTransport {
  readonly #target: GrpcTarget;
  readonly #account: ServiceAccount;
  readonly #connections = new Set<Connection>();
  #current: Connection | null = null;
  #isClosed = false;

  constructor(target: GrpcTarget, account: ServiceAccount) {
    this.#target = target;
    this.#account = account;
  }

  async call(call: UnaryCall, signal: AbortSignal): Promise<Buffer> {
    if (this.#isClosed) throw new Error('the connection is closed');
    const connection = (this.#current ??= this.#open());
    try {
      return await connection.call(call, signal);
    } catch (error) {
      if (signal.aborted || !isGrpcStatus(error)) this.#retire(connection);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#current = null;
    await Promise.all([...this.#connections].map((connection) => connection.close()));
  }

  #open(): Connection {
    const connection = new Connection(this.#target, this.#account, (closed) =>
      this.#connections.delete(closed),
    );
    this.#connections.add(connection);
    return connection;
  }

  #retire(connection: Connection): void {
    if (this.#current === connection) this.#current = null;
    connection.retire();
  }
}

function identity(bytes: Buffer): Buffer {
  return bytes;
}

function asError(error: Error | null): Error {
  return error ?? new Error('the call ended without a response');
}

function isGrpcStatus(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'number';
}
