import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import rhea from 'rhea';
import type { AmqpError, Connection, Delivery, EventContext, Message, Receiver, Sender } from 'rhea';

/** One event as the fake stored it, decoded from the AMQP section it arrived in. */
export interface StoredEvent {
  readonly hub: string;
  /** Counts the sends that the fake has stored, from 0: equal for the events of one batch. */
  readonly batch: number;
  readonly body: Buffer;
  readonly properties: Readonly<Record<string, unknown>>;
  readonly contentType: string | null;
  readonly messageId: string | null;
  /** As the event's own annotations say; null when they hold none. */
  readonly partitionKey: string | null;
  /** When it was stored, in ms since 1970. */
  readonly storedAt: number;
}

/** What goes wrong with the next sends, in the order asked for; each counts down once per send that it hits. */
export interface EventHubsFaults {
  /** Answers with a rejection of this AMQP condition, for example `com.microsoft:server-busy`. */
  rejectNext(count: number, condition: string, description?: string): void;
  /** Detaches the sender link with this condition instead of answering. Nothing is stored. */
  detachNext(count: number, condition: string, description?: string): void;
  /** Cuts the connection before the events are stored, or after it (a lost response). */
  dropNext(count: number, when: 'before_storing' | 'after_storing'): void;
  /** Stores and answers that much later. */
  delayNext(count: number, delayMs: number): void;
  /** Never answers; stores nothing. */
  hangNext(count: number): void;
  /** Answers the next put-token requests with this status, for example 401, and in these words. */
  denyTokens(count: number, status: 401 | 404, description?: string): void;
  /** Never answers the next put-token requests, so that no link opens. */
  hangTokens(count: number): void;
  /** Refuses tokens that have expired by this machine's clock, as the service does by its own, until `clear`. */
  refuseExpiredTokens(): void;
  /** Refuses sender links to hubs with this condition; null ends it. */
  refuseLinks(condition: string | null, description?: string): void;
  /** Rejects every send but each `acceptEvery`-th with this AMQP condition, until `clear`. */
  rejectMost(acceptEvery: number, condition: string): void;
  /** Rejects batches that hold an event for whose body this is true; null ends it. */
  rejectEvents(isRejected: ((body: Buffer) => boolean) | null): void;
  /** Cuts every open connection now. */
  dropConnections(): void;
  /** Cuts every connection and refuses new ones, until `goOnline`. */
  goOffline(): Promise<void>;
  goOnline(): Promise<void>;
  /** Forgets all faults that are still to come; it doesn't go online. */
  clear(): void;
}

export interface FakeEventHubs {
  readonly port: number;
  readonly faults: EventHubsFaults;
  /** In the emulator's form; names the hub as `EntityPath` when given. */
  connectionString(hub?: string): string;
  createHub(hub: string): void;
  /** Further links to it are refused; open ones stay. */
  deleteHub(hub: string): void;
  /** What has been stored, in the order of arrival; of all hubs when none is named. */
  events(hub?: string): readonly StoredEvent[];
  /** How many sends have arrived, answered or not. */
  sendCount(): number;
  /** How many connections are open. */
  connectionCount(): number;
  /** How many connections were made so far, those that are closed too. */
  connectionsMade(): number;
  /** Forgets the stored events and the count of sends. */
  reset(): void;
  stop(): Promise<void>;
}

export interface FakeEventHubsOptions {
  /** 0, the default, takes any free port. */
  readonly port?: number;
  /** What a sender link announces as its `max-message-size`: 1 MiB, as the standard tier does. */
  readonly maxMessageBytes?: number;
  /** The hubs that are there from the start. */
  readonly hubs?: readonly string[];
  /** Gets the events of each send that is stored, in place of the memory: `events()` stays empty. */
  readonly onEvents?: (events: readonly StoredEvent[]) => void;
}

type SendFault =
  | { readonly kind: 'reject' | 'detach'; readonly error: AmqpError }
  | { readonly kind: 'drop_before' | 'drop_after' | 'hang' }
  | { readonly kind: 'delay'; readonly delayMs: number };

interface Countdown<T> {
  readonly fault: T;
  left: number;
}

interface SaslServerMechanisms {
  enable_anonymous(): void;
  enable_plain(isKnown: () => boolean): void;
}

interface TokenAnswer {
  readonly status: number;
  readonly description: string;
}

const ACCEPTED_TOKEN: TokenAnswer = { status: 202, description: 'Accepted' };
const EXPIRED_TOKEN: TokenAnswer = { status: 401, description: 'ExpiredToken: The token is expired.' };

interface PutTokenRequest {
  readonly reply_to: string;
  readonly message_id: string;
  /** A shared access signature. */
  readonly body: unknown;
}

interface StoredBatch {
  readonly hub: string;
  readonly payload: Buffer;
  readonly storedAt: number;
  events: readonly StoredEvent[] | null;
}

const CBS = '$cbs';
const BATCH_FORMAT = 0x80013700;
const DATA_SECTION = 0x75;
/** What the service grants a sender link. */
const LINK_CREDIT = 300;
const MAX_FRAME_BYTES = 64 * 1024;
const PARTITION_KEY = 'x-opt-partition-key';

/**
 * Starts a stand-in for one Azure Event Hubs namespace on 127.0.0.1, which the official client uses unmodified
 * through a connection string with `UseDevelopmentEmulator=true` (plain TCP, SASL as the client likes).
 *
 * It answers put-token on `$cbs`, attaches sender links to the hubs it has, and keeps the events of each accepted
 * batch in memory. It has no partitions, no receivers, no `$management` and checks no signature.
 */
export async function startFakeEventHubs(options: FakeEventHubsOptions = {}): Promise<FakeEventHubs> {
  const namespace = new FakeNamespace(options);
  await namespace.listen(options.port ?? 0);
  return namespace;
}

class FakeNamespace implements FakeEventHubs, EventHubsFaults {
  readonly faults: EventHubsFaults = this;
  readonly #container = rhea.create_container({ id: 'fake-event-hubs' });
  readonly #hubs: Set<string>;
  readonly #maxMessageBytes: number;
  readonly #onEvents: ((events: readonly StoredEvent[]) => void) | null;
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #repliers = new WeakMap<Connection, Map<string, Sender>>();
  #server: Server | null = null;
  #port = 0;
  #batches: StoredBatch[] = [];
  #sendCount = 0;
  #connectionsMade = 0;
  #sendFaults: Countdown<SendFault>[] = [];
  #tokenFaults: Countdown<TokenAnswer | 'hang'>[] = [];
  #refusesExpired = false;
  #mostRejected: { readonly acceptEvery: number; readonly error: AmqpError } | null = null;
  #isRejected: ((body: Buffer) => boolean) | null = null;
  #linkRefusal: AmqpError | null = null;

  constructor({ hubs = [], maxMessageBytes = 1024 * 1024, onEvents }: FakeEventHubsOptions) {
    this.#hubs = new Set(hubs);
    this.#maxMessageBytes = maxMessageBytes;
    this.#onEvents = onEvents ?? null;
    const sasl = this.#container.sasl_server_mechanisms as SaslServerMechanisms;
    sasl.enable_anonymous();
    sasl.enable_plain(() => true);
    this.#container.on('receiver_open', (context: EventContext) => this.#onSenderAttached(context));
    this.#container.on('sender_open', (context: EventContext) => this.#onReceiverAttached(context));
    this.#container.on('message', (context: EventContext) => this.#onMessage(context));
    // A client that goes away without goodbye is what the fake is for.
    for (const event of ['error', 'disconnected', 'connection_error', 'protocol_error', 'session_error']) {
      this.#container.on(event, () => {});
    }
  }

  get port(): number {
    return this.#port;
  }

  async listen(port: number): Promise<void> {
    const server = this.#container.listen({
      host: '127.0.0.1',
      port,
      max_frame_size: MAX_FRAME_BYTES,
      receiver_options: { autoaccept: false, credit_window: 0, max_message_size: this.#maxMessageBytes },
    });
    server.on('connection', (socket) => {
      // rhea leaves Nagle's algorithm on, which holds every second answer back for 40 ms.
      socket.setNoDelay(true);
      this.#connectionsMade += 1;
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    await once(server, 'listening');
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  connectionString(hub?: string): string {
    const namespace = `Endpoint=sb://127.0.0.1:${this.#port};SharedAccessKeyName=local;SharedAccessKey=bG9jYWw=;UseDevelopmentEmulator=true`;
    return hub === undefined ? namespace : `${namespace};EntityPath=${hub}`;
  }

  createHub(hub: string): void {
    this.#hubs.add(hub);
  }

  deleteHub(hub: string): void {
    this.#hubs.delete(hub);
  }

  events(hub?: string): readonly StoredEvent[] {
    return this.#batches.flatMap((batch, index) =>
      hub === undefined || batch.hub === hub ? (batch.events ??= decodeBatch(batch, index)) : [],
    );
  }

  sendCount(): number {
    return this.#sendCount;
  }

  connectionCount(): number {
    return this.#sockets.size;
  }

  connectionsMade(): number {
    return this.#connectionsMade;
  }

  reset(): void {
    this.#batches = [];
    this.#sendCount = 0;
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    await this.goOffline();
  }

  rejectNext(count: number, condition: string, description = condition): void {
    this.#sendFaults.push({ fault: { kind: 'reject', error: { condition, description } }, left: count });
  }

  detachNext(count: number, condition: string, description = condition): void {
    this.#sendFaults.push({ fault: { kind: 'detach', error: { condition, description } }, left: count });
  }

  dropNext(count: number, when: 'before_storing' | 'after_storing'): void {
    const kind = when === 'before_storing' ? 'drop_before' : 'drop_after';
    this.#sendFaults.push({ fault: { kind }, left: count });
  }

  delayNext(count: number, delayMs: number): void {
    this.#sendFaults.push({ fault: { kind: 'delay', delayMs }, left: count });
  }

  hangNext(count: number): void {
    this.#sendFaults.push({ fault: { kind: 'hang' }, left: count });
  }

  denyTokens(
    count: number,
    status: 401 | 404,
    description = `put-token answers status-code: ${status}`,
  ): void {
    this.#tokenFaults.push({ fault: { status, description }, left: count });
  }

  hangTokens(count: number): void {
    this.#tokenFaults.push({ fault: 'hang', left: count });
  }

  refuseExpiredTokens(): void {
    this.#refusesExpired = true;
  }

  refuseLinks(condition: string | null, description = condition ?? ''): void {
    this.#linkRefusal = condition === null ? null : { condition, description };
  }

  rejectMost(acceptEvery: number, condition: string): void {
    this.#mostRejected = { acceptEvery, error: { condition, description: condition } };
  }

  rejectEvents(isRejected: ((body: Buffer) => boolean) | null): void {
    this.#isRejected = isRejected;
  }

  dropConnections(): void {
    for (const socket of this.#sockets) cut(socket);
  }

  async goOffline(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    this.dropConnections();
    server.close();
    await once(server, 'close');
  }

  goOnline(): Promise<void> {
    return this.listen(this.#port);
  }

  clear(): void {
    this.#sendFaults = [];
    this.#tokenFaults = [];
    this.#refusesExpired = false;
    this.#mostRejected = null;
    this.#isRejected = null;
    this.#linkRefusal = null;
  }

  #onSenderAttached({ receiver }: EventContext): void {
    if (receiver === undefined) return;
    const address = addressOf(receiver.target);
    receiver.set_target({ address });
    if (address !== CBS && this.#linkRefusal !== null) return receiver.close(this.#linkRefusal);
    if (address === CBS || this.#hubs.has(address)) {
      receiver.add_credit(LINK_CREDIT);
    } else {
      const description = `The messaging entity 'sb://127.0.0.1/${address}' could not be found.`;
      receiver.close({ condition: 'amqp:not-found', description });
    }
  }

  #onReceiverAttached({ sender, connection }: EventContext): void {
    if (sender === undefined) return;
    sender.set_source({ address: addressOf(sender.source) });
    const repliers = this.#repliers.get(connection) ?? new Map<string, Sender>();
    repliers.set(sender.name, sender);
    this.#repliers.set(connection, repliers);
  }

  #onMessage({ receiver, connection, message, delivery }: EventContext): void {
    if (receiver === undefined || delivery === undefined || message === undefined) return;
    const address = addressOf(receiver.target);
    if (address === CBS) {
      delivery.accept();
      this.#answerPutToken(connection, message);
    } else {
      this.#sendCount++;
      this.#receive(address, receiver, delivery, message);
    }
  }

  #answerPutToken(connection: Connection, request: Message): void {
    const { reply_to: replyTo, message_id: correlation, body } = request as unknown as PutTokenRequest;
    const fault = takeFault(this.#tokenFaults);
    if (fault === 'hang') return;
    const isExpired = this.#refusesExpired && expiryOf(body) <= Date.now();
    const answer = fault ?? (isExpired ? EXPIRED_TOKEN : ACCEPTED_TOKEN);
    this.#repliers
      .get(connection)
      ?.get(replyTo)
      ?.send({
        correlation_id: correlation,
        application_properties: {
          'status-code': answer.status,
          'status-description': answer.description,
        },
        body: undefined,
      });
  }

  #receive(hub: string, receiver: Receiver, delivery: Delivery, message: Message): void {
    // rhea hands over the bytes as they are when the message format isn't its own.
    const payload: unknown = message;
    const fault = takeFault(this.#sendFaults);
    if (fault?.kind === 'hang') return;
    if (fault?.kind === 'drop_before') return this.#cut(receiver);
    if (fault?.kind === 'detach') return receiver.close(fault.error);
    receiver.add_credit(1);
    if (fault?.kind === 'reject') return reject(delivery, fault.error);
    if (delivery.format !== BATCH_FORMAT || !Buffer.isBuffer(payload)) {
      return reject(delivery, { condition: 'amqp:not-implemented', description: 'only batches are taken' });
    }
    if (payload.length > this.#maxMessageBytes) {
      const condition = 'amqp:link:message-size-exceeded';
      return reject(delivery, { condition, description: `the batch has ${payload.length} bytes` });
    }
    const mostRejected = this.#mostRejected;
    if (mostRejected !== null && this.#sendCount % mostRejected.acceptEvery !== 0) {
      return reject(delivery, mostRejected.error);
    }
    const isRejected = this.#isRejected;
    if (isRejected !== null && bodiesOf(payload).some((body) => isRejected(body))) {
      return reject(delivery, {
        condition: 'com.microsoft:argument-error',
        description: 'an event is invalid',
      });
    }
    const store = (): void => {
      const batch: StoredBatch = { hub, payload, storedAt: Date.now(), events: null };
      if (this.#onEvents) this.#onEvents(decodeBatch(batch, this.#sendCount - 1));
      else this.#batches.push(batch);
      if (fault?.kind === 'drop_after') this.#cut(receiver);
      else answerAlone(() => delivery.accept());
    };
    if (fault?.kind !== 'delay') return store();
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      store();
    }, fault.delayMs);
    this.#timers.add(timer);
  }

  #cut(receiver: Receiver): void {
    cut((receiver.connection as unknown as { readonly socket: Socket }).socket);
  }
}

/** With an error, or rhea doesn't notice that its socket is gone and goes on sending heartbeats. */
function cut(socket: Socket): void {
  socket.destroy(new Error('the fake cut the connection'));
}

function reject(delivery: Delivery, error: AmqpError): void {
  answerAlone(() => delivery.reject(error));
}

/** Of two answers in one turn rhea 3.0.5 sends the first one's outcome for both (session.js, write_dispositions). */
function answerAlone(answer: () => void): void {
  setImmediate(answer);
}

/** When a shared access signature expires, in ms since 1970. */
function expiryOf(token: unknown): number {
  return Number(/[ &]se=(\d+)/.exec(String(token))?.[1]) * 1_000;
}

function takeFault<T>(faults: Countdown<T>[]): T | null {
  const next = faults[0];
  if (next === undefined) return null;
  next.left--;
  if (next.left <= 0) faults.shift();
  return next.fault;
}

function addressOf(terminus: unknown): string {
  const address = (terminus as { readonly address?: unknown } | undefined)?.address;
  return typeof address === 'string' ? address : '';
}

interface DecodedMessage {
  readonly body?: unknown;
  readonly content_type?: string;
  readonly message_id?: string;
  readonly application_properties?: Readonly<Record<string, unknown>>;
  readonly message_annotations?: Readonly<Record<string, unknown>>;
}

function bodiesOf(payload: Buffer): readonly Buffer[] {
  return dataSections(rhea.message.decode(payload) as DecodedMessage).map((bytes) =>
    Buffer.concat(dataSections(rhea.message.decode(bytes) as DecodedMessage)),
  );
}

function decodeBatch({ hub, payload, storedAt }: StoredBatch, batch: number): readonly StoredEvent[] {
  return dataSections(rhea.message.decode(payload) as DecodedMessage).map((bytes) => {
    const event = rhea.message.decode(bytes) as DecodedMessage;
    const key = event.message_annotations?.[PARTITION_KEY];
    return {
      hub,
      batch,
      body: Buffer.concat(dataSections(event)),
      properties: event.application_properties ?? {},
      contentType: event.content_type ?? null,
      messageId: event.message_id ?? null,
      partitionKey: typeof key === 'string' ? key : null,
      storedAt,
    };
  });
}

/** The contents of a message's AMQP data sections; fails on any other body, as no consumer here could read it. */
function dataSections(message: DecodedMessage): readonly Buffer[] {
  const section = message.body as
    { readonly typecode?: number; readonly content?: Buffer | Buffer[] } | undefined;
  if (section?.typecode !== DATA_SECTION || section.content === undefined) {
    throw new Error('decoding an event: its body is no AMQP data section');
  }
  return Array.isArray(section.content) ? section.content : [section.content];
}
