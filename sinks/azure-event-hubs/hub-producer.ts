import { EventHubProducerClient, type EventDataBatch } from '@azure/event-hubs';
import type { EncodedEvents } from './events.ts';

export interface HubProducerOptions {
  readonly connectionString: string;
  readonly eventHubName: string;
}

/** How long a close waits for the service's goodbyes before it cuts the connection. */
const CLOSE_GRACE_MS = 1_000;
/** Only a bound of last resort: every call is given a signal. */
const OPERATION_TIMEOUT_MS = 60_000;

/**
 * One connection to one event hub: the SDK's producer client, used for the life of one connection and thrown away
 * with it. Retries nothing.
 *
 * The SDK (6.0.4) has no word for three things this needs, so they are taken from its insides, each looked up when
 * used and done without when not there: hearing of a lost connection or link (the SDK lets a send under way wait for
 * its timeout), cutting the connection, and stopping the token renewal, which otherwise would connect again later.
 */
export class HubProducer {
  readonly #client: EventHubProducerClient;
  readonly #gone = new AbortController();
  #watchedConnection: unknown = null;
  #watchedLink: unknown = null;
  #closing: Promise<void> | null = null;

  constructor({ connectionString, eventHubName }: HubProducerOptions) {
    this.#client = new EventHubProducerClient(connectionString, eventHubName, {
      retryOptions: { maxRetries: 0, timeoutInMs: OPERATION_TIMEOUT_MS },
    });
  }

  /** Aborts when the connection or the link is lost, abandoned or closed; its reason is the cause. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Makes sure that there is an open sender link and returns the largest message it takes, in bytes. */
  async openLink(abortSignal: AbortSignal): Promise<number> {
    const { maxSizeInBytes } = await this.#client.createBatch({ abortSignal });
    this.#watch();
    return maxSizeInBytes;
  }

  /** Resolves once the service has stored the events, all or none. */
  async publish(events: EncodedEvents, partitionKey: string | null, abortSignal: AbortSignal): Promise<void> {
    await this.#client.sendBatch(new EncodedBatch(events, partitionKey), { abortSignal });
  }

  /** Cuts the connection at once. What is under way fails with `reason`. Idempotent. */
  abandon(reason: unknown): void {
    this.#gone.abort(reason);
    this.#closing ??= Promise.resolve();
    this.#stopTokenRenewal();
    this.#cut();
    // Not waited for: over a cut connection the SDK's goodbyes may never end.
    void this.#goodbye();
  }

  /** Says goodbye, for a bounded time, and cuts the connection. Never rejects. Idempotent. */
  close(): Promise<void> {
    this.#gone.abort(new Error('the producer was closed'));
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stopTokenRenewal();
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, CLOSE_GRACE_MS);
    await Promise.race([this.#goodbye(), late]);
    clearTimeout(timer);
    this.#cut();
  }

  /** Whatever goes wrong with it, the connection is cut as well. */
  async #goodbye(): Promise<void> {
    await this.#client.close().catch(() => undefined);
  }

  #stopTokenRenewal(): void {
    for (const sender of this.#senders()) callIfThere(valueAt(sender, 'authLoop'), 'stop');
  }

  #watch(): void {
    const connection = valueAt(valueAt(this.#client, '_context'), 'connection');
    if (connection !== this.#watchedConnection) {
      this.#watchedConnection = connection;
      this.#goneOn(connection, ['disconnected', 'connection_close']);
    }
    for (const sender of this.#senders()) {
      const link = valueAt(sender, '_sender');
      if (link === undefined || link === this.#watchedLink) continue;
      this.#watchedLink = link;
      this.#goneOn(link, ['sender_close']);
      this.#goneOn(valueAt(link, 'session'), ['session_close']);
    }
  }

  #goneOn(emitter: unknown, events: readonly string[]): void {
    const lost = (): void => {
      this.abandon(
        valueAt(emitter, 'error') ?? { code: 'ConnectionLostError', message: 'the connection was lost' },
      );
    };
    for (const event of events) callIfThere(emitter, 'once', event, lost);
  }

  #cut(): void {
    const connection = valueAt(valueAt(this.#client, '_context'), 'connection');
    const socket = valueAt(valueAt(connection, '_connection'), 'socket');
    // With an error, or rhea doesn't notice that its socket is gone.
    if (socket !== undefined) callIfThere(socket, 'destroy', new Error('the connection was abandoned'));
  }

  #senders(): readonly unknown[] {
    const senders = valueAt(this.#client, '_sendersMap');
    return senders instanceof Map ? [...senders.values()] : [];
  }
}

/**
 * A batch that is encoded already, in place of the SDK's own, which encodes message by message.
 * The SDK knows batches by their public members and asks for the two marked as internal there; a test of the pinned
 * version sends one through it and compares the bytes.
 */
class EncodedBatch implements EventDataBatch {
  readonly count: number;
  readonly sizeInBytes: number;
  readonly maxSizeInBytes: number;
  readonly partitionKey?: string;
  readonly _messageSpanContexts: readonly never[] = [];
  readonly #bytes: Buffer;

  constructor({ bytes, count }: EncodedEvents, partitionKey: string | null) {
    this.#bytes = bytes;
    this.count = count;
    this.sizeInBytes = bytes.length;
    this.maxSizeInBytes = bytes.length;
    if (partitionKey !== null) this.partitionKey = partitionKey;
  }

  tryAdd(): boolean {
    return false;
  }

  _generateMessage(): Buffer {
    return this.#bytes;
  }
}

function valueAt(holder: unknown, key: string): unknown {
  if (typeof holder !== 'object' || holder === null) return undefined;
  return (holder as Readonly<Record<string, unknown>>)[key] ?? undefined;
}

function callIfThere(target: unknown, method: string, ...args: readonly unknown[]): void {
  const callee = valueAt(target, method);
  if (typeof callee === 'function') Reflect.apply(callee, target, args);
}
