import { createHash } from 'node:crypto';
import type { CredentialsResolver, ResolvedCredentials } from '../../sinks/credentials.ts';
import { SinkError, type MessageOptions, type Sink, type SinkAdapter } from '../../sinks/sink.ts';

/** Credentials that a test changes, as a resolver of sealed ones gives them. */
export class RotatingCredentials implements CredentialsResolver {
  #text: string;
  #version: number;

  constructor(text: string, version = 1) {
    this.#text = text;
    this.#version = version;
  }

  /** The next upload. */
  rotateTo(text: string): void {
    this.#text = text;
    this.#version += 1;
  }

  async resolve(): Promise<ResolvedCredentials> {
    const text = this.#text;
    return { text, fingerprint: createHash('sha256').update(text).digest('hex'), version: this.#version };
  }
}

/** One client of the destination, as the destination sees it. */
export interface SeenClient {
  readonly credentials: string | null;
  readonly options: MessageOptions;
  readonly sent: string[];
  inFlight: number;
  isClosed: boolean;
}

/**
 * A destination that knows its clients by their credentials: it refuses those that it is told to, answers when it is
 * told to, and notes whenever two clients publish at once or one publishes after it was closed.
 */
export class WatchfulDestination {
  readonly clients: SeenClient[] = [];
  readonly violations: string[] = [];
  readonly #refused = new Map<string, SinkError>();
  readonly #heldChecks: (() => void)[] = [];
  readonly #heldSends: (() => void)[] = [];
  #sendFailure: SinkError | null = null;
  areChecksHeld = false;
  areSendsHeld = false;

  readonly adapter: SinkAdapter<{ target: string }> = {
    type: 'WATCHFUL',
    versions: [1],
    fields: ['target'],
    options: { messageId: true, ordering: false, orderingLanes: true },
    credentials: 'optional',
    parseConfig: () => ({ config: { target: 'watched' } }),
    checkCredentials: () => null,
    open: async ({ credentials, options }) => this.#open(credentials, options),
  };

  get openClients(): readonly SeenClient[] {
    return this.clients.filter(({ isClosed }) => !isClosed);
  }

  /** What arrived, over all clients, in the order in which they were opened. */
  get sent(): readonly (readonly string[])[] {
    return this.clients.map(({ sent }) => sent);
  }

  /** Checks with these credentials fail with this until null ends it. */
  refuse(credentials: string, failure: SinkError | null): void {
    if (failure) this.#refused.set(credentials, failure);
    else this.#refused.delete(credentials);
  }

  /** Every send fails with this until null ends it. */
  failSends(failure: SinkError | null): void {
    this.#sendFailure = failure;
  }

  answerChecks(): void {
    for (const answer of this.#heldChecks.splice(0)) answer();
  }

  answerSends(): void {
    for (const answer of this.#heldSends.splice(0)) answer();
  }

  #open(credentials: string | null, options: MessageOptions): Sink {
    const client: SeenClient = { credentials, options, sent: [], inFlight: 0, isClosed: false };
    this.clients.push(client);
    return {
      limits: { maxRecords: 1_000, maxBytes: 1_000_000, recordOverheadBytes: 10 },
      check: async (signal) => {
        if (this.areChecksHeld) await heldUntil(this.#heldChecks, signal);
        const refusal = this.#refused.get(credentials ?? '');
        if (refusal) throw refusal;
        return [];
      },
      send: async (batch, signal) => {
        this.#watch(client);
        client.inFlight += 1;
        const texts = Array.from({ length: batch.count }, (_, i) =>
          batch.data.toString('utf8', batch.start(i), batch.end(i)),
        );
        try {
          if (this.areSendsHeld) await heldUntil(this.#heldSends, signal);
        } catch {
          const isAmbiguous = true;
          return {
            delivered: 0,
            failure: new SinkError('retriable', 'timeout', 'no answer', { isAmbiguous }),
          };
        } finally {
          client.inFlight -= 1;
        }
        if (this.#sendFailure) return { delivered: 0, failure: this.#sendFailure };
        client.sent.push(...texts);
        return { delivered: batch.count, failure: null };
      },
      close: async () => {
        if (client.inFlight > 0) this.violations.push('a client was closed with a request in flight');
        client.isClosed = true;
      },
    };
  }

  #watch(client: SeenClient): void {
    if (client.isClosed) this.violations.push('a closed client published');
    const others = this.clients.filter((other) => other !== client && other.inFlight > 0);
    if (others.length > 0) this.violations.push('two clients published at once');
  }
}

function heldUntil(held: (() => void)[], signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  held.push(resolve);
  signal.addEventListener('abort', () => {
    reject(signal.reason as Error);
  });
  return promise;
}
