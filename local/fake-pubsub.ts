import { protos } from '@google-cloud/pubsub';
import { Server, ServerCredentials, status, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { FakeTopic, type FakeMessage, type FakeTopicOptions } from './fake-pubsub-topic.ts';
import { IAM_SERVICE, PUBLISHER_SERVICE, SCHEMA_SERVICE } from './pubsub-services.ts';

const {
  PublishResponse,
  Topic,
  ListSchemaRevisionsResponse,
  ListTopicsResponse,
  Schema: SchemaResource,
} = protos.google.pubsub.v1;
type PublishRequest = protos.google.pubsub.v1.PublishRequest;
type PublishResponse = protos.google.pubsub.v1.PublishResponse;
type AcknowledgeRequest = protos.google.pubsub.v1.AcknowledgeRequest;
type GetTopicRequest = protos.google.pubsub.v1.GetTopicRequest;
type ListTopicsRequest = protos.google.pubsub.v1.ListTopicsRequest;
type GetSchemaRequest = protos.google.pubsub.v1.GetSchemaRequest;
type Topic = protos.google.pubsub.v1.Topic;
type ListTopicsResponse = protos.google.pubsub.v1.ListTopicsResponse;
type ListSchemaRevisionsRequest = protos.google.pubsub.v1.ListSchemaRevisionsRequest;
type ListSchemaRevisionsResponse = protos.google.pubsub.v1.ListSchemaRevisionsResponse;
type SchemaResource = protos.google.pubsub.v1.Schema;

/** One message as the fake stored it. */
export interface StoredMessage extends FakeMessage {
  readonly topic: string;
  readonly id: string;
  /** Index into `requests` of the request that brought it. */
  readonly requestIndex: number;
  /** When it was stored, in ms since 1970. */
  readonly storedAt: number;
}

/** How a topic answers every call about it; those that fail store nothing. */
export type TopicMood =
  | { readonly kind: 'slow'; readonly delayMs: number }
  | { readonly kind: 'hang' }
  /** With `acceptEvery` 5, four calls of five fail. */
  | { readonly kind: 'fail'; readonly code: status; readonly acceptEvery?: number }
  /** Stores, then breaks every connection in place of an answer. */
  | { readonly kind: 'lose_answers' };

/** One publish request, stored or not. */
export interface PublishAttempt {
  readonly topic: string;
  readonly messageCount: number;
  readonly byteLength: number;
  /** The header `x-goog-request-params`. */
  readonly routing: string | null;
}

/** What goes wrong; faults that count down hit the next calls of any method, in the order asked for. */
export interface PubSubFaults {
  /** Answers with this gRPC status and stores nothing. */
  failNext(count: number, code: status, details?: string): void;
  /** Stores, then breaks every connection in place of an answer. */
  loseAnswerNext(count: number): void;
  /** Stores, and never answers. */
  storeAndHangNext(count: number): void;
  /** Stores nothing and never answers. */
  hangNext(count: number): void;
  /** Delays every answer; 0 ends it. */
  delayAll(delayMs: number): void;
  /** Refuses requests that hold a message for which this is true; null ends it. */
  rejectMessages(isRejected: ((message: FakeMessage) => boolean) | null): void;
  /** Answers calls of this method with this gRPC status, until `clear`. */
  refuseMethod(method: string, code: status): void;
  /** The topic is in this mood from now on, whatever else is due; null ends it. */
  setMood(topic: string, mood: TopicMood | null): void;
  /** Breaks every connection now. */
  dropConnections(): void;
  /** Breaks every connection and refuses new ones, until `goOnline`. */
  goOffline(): Promise<void>;
  goOnline(): Promise<void>;
  /** Forgets all of these; it doesn't go online. */
  clear(): void;
}

/** A running fake of Google Pub/Sub, for publishers. */
export interface FakePubSub {
  /** `host:port`, plaintext, as an emulator's. */
  readonly address: string;
  readonly faults: PubSubFaults;
  /** In the order of arrival. */
  readonly messages: readonly StoredMessage[];
  readonly requests: readonly PublishAttempt[];
  /** `name` in full: `projects/<id>/topics/<id>`. Replaces a topic of that name. */
  createTopic(name: string, options?: FakeTopicOptions): void;
  deleteTopic(name: string): void;
  /** How many publish requests have arrived for the topic, whatever became of them. */
  publishCount(topic: string): number;
  connectionCount(): number;
  stop(): Promise<void>;
}

type Fault =
  | { readonly kind: 'fail'; readonly code: status; readonly details: string }
  | { readonly kind: 'lose_answer' | 'store_and_hang' | 'hang' };

type Answer<Response> = { readonly response: Response } | { readonly code: status; readonly details: string };

/** Starts it on a free port, unless told one. It holds everything in memory. */
export async function startFakePubSub(options: { readonly port?: number } = {}): Promise<FakePubSub> {
  const fake = new PubSubServer();
  await fake.listen(options.port ?? 0);
  return fake;
}

class PubSubServer implements FakePubSub, PubSubFaults {
  readonly faults: PubSubFaults = this;
  readonly messages: StoredMessage[] = [];
  readonly requests: PublishAttempt[] = [];
  readonly #topics = new Map<string, FakeTopic>();
  readonly #grpc = new Server({
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
  });
  readonly #sockets = new Set<Socket>();
  readonly #tcp = createServer();
  #faults: Fault[] = [];
  #delayMs = 0;
  #isRejected: ((message: FakeMessage) => boolean) | null = null;
  #port = 0;
  readonly #refusedMethods = new Map<string, status>();
  readonly #moods = new Map<string, TopicMood>();
  readonly #calls = new Map<string, number>();
  readonly #publishCalls = new Map<string, number>();

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async listen(port: number): Promise<void> {
    this.#addServices();
    // Its own sockets, not gRPC's, so that it can break them.
    const injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    this.#tcp.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.setNoDelay(true);
      injector.injectConnection(socket);
    });
    this.#tcp.listen(port, '127.0.0.1');
    await once(this.#tcp, 'listening');
    this.#port = (this.#tcp.address() as AddressInfo).port;
  }

  createTopic(name: string, options: FakeTopicOptions = {}): void {
    this.#topics.set(name, new FakeTopic(name, options));
  }

  deleteTopic(name: string): void {
    this.#topics.delete(name);
  }

  publishCount(topic: string): number {
    return this.#publishCalls.get(topic) ?? 0;
  }

  connectionCount(): number {
    return this.#sockets.size;
  }

  async stop(): Promise<void> {
    this.#grpc.forceShutdown();
    await this.goOffline();
  }

  failNext(count: number, code: status, details: string = status[code]): void {
    this.#addFaults(count, { kind: 'fail', code, details });
  }

  loseAnswerNext(count: number): void {
    this.#addFaults(count, { kind: 'lose_answer' });
  }

  storeAndHangNext(count: number): void {
    this.#addFaults(count, { kind: 'store_and_hang' });
  }

  hangNext(count: number): void {
    this.#addFaults(count, { kind: 'hang' });
  }

  delayAll(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  rejectMessages(isRejected: ((message: FakeMessage) => boolean) | null): void {
    this.#isRejected = isRejected;
  }

  refuseMethod(method: string, code: status): void {
    this.#refusedMethods.set(method, code);
  }

  setMood(topic: string, mood: TopicMood | null): void {
    if (mood) this.#moods.set(topic, mood);
    else this.#moods.delete(topic);
  }

  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async goOffline(): Promise<void> {
    const { promise: isClosed, resolve } = Promise.withResolvers<void>();
    this.#tcp.close(() => resolve());
    this.dropConnections();
    await isClosed;
  }

  async goOnline(): Promise<void> {
    this.#tcp.listen(this.#port, '127.0.0.1');
    await once(this.#tcp, 'listening');
  }

  clear(): void {
    this.#moods.clear();
    this.#refusedMethods.clear();
    this.#faults = [];
    this.#delayMs = 0;
    this.#isRejected = null;
  }

  #addFaults(count: number, fault: Fault): void {
    for (let i = 0; i < count; i++) this.#faults.push(fault);
  }

  #addServices(): void {
    this.#grpc.addService(PUBLISHER_SERVICE, {
      Publish: this.#handler(
        (request: PublishRequest, call) => this.#publish(request, call),
        ({ topic }) => {
          this.#publishCalls.set(topic, this.publishCount(topic) + 1);
          return topic;
        },
      ),
      GetTopic: this.#handler(
        (request: GetTopicRequest) => this.#getTopic(request.topic),
        ({ topic }) => topic,
      ),
      CreateTopic: this.#handler((request: Topic) => this.#createdTopic(request.name)),
      ListTopics: this.#handler((request: ListTopicsRequest) => this.#listTopics(request.project)),
    });
    this.#grpc.addService(SCHEMA_SERVICE, {
      GetSchema: this.#handler((request: GetSchemaRequest) => this.#getSchema(request.name)),
      ListSchemaRevisions: this.#handler((request: ListSchemaRevisionsRequest) =>
        this.#listRevisions(request.name),
      ),
    });
    this.#grpc.addService(IAM_SERVICE, {
      TestIamPermissions: this.#handler(
        (request: AcknowledgeRequest) => this.#testPermissions(request.subscription, request.ackIds),
        ({ subscription }) => subscription,
      ),
    });
  }

  /** Wraps what a method does in the faults, the mood of its topic and the delay that are due. */
  #handler<Request, Response>(
    answer: (request: Request, call: ServerUnaryCall<Request, Response>) => Answer<Response>,
    topicOf: (request: Request) => string = () => '',
  ): (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>) => void {
    return (call, callback) => {
      const topic = topicOf(call.request);
      const fault = this.#faults.shift() ?? this.#faultOfMethod(call.getPath()) ?? this.#faultOfMood(topic);
      if (fault?.kind === 'hang') return;
      if (fault?.kind === 'fail') {
        callback({ code: fault.code, details: fault.details });
        return;
      }
      const result = answer(call.request, call);
      if (fault?.kind === 'store_and_hang') return;
      if (fault?.kind === 'lose_answer') {
        this.dropConnections();
        return;
      }
      const reply = (): void => ('response' in result ? callback(null, result.response) : callback(result));
      const mood = this.#moods.get(topic);
      const delayMs = mood?.kind === 'slow' ? mood.delayMs : this.#delayMs;
      if (delayMs === 0) reply();
      else setTimeout(reply, delayMs);
    };
  }

  #faultOfMethod(path: string): Fault | null {
    const code = this.#refusedMethods.get(path.slice(path.lastIndexOf('/') + 1));
    return code === undefined ? null : { kind: 'fail', code, details: status[code] };
  }

  #faultOfMood(topic: string): Fault | null {
    const mood = this.#moods.get(topic);
    const calls = (this.#calls.get(topic) ?? 0) + 1;
    this.#calls.set(topic, calls);
    switch (mood?.kind) {
      case 'hang':
        return { kind: 'hang' };
      case 'lose_answers':
        return { kind: 'lose_answer' };
      case 'fail':
        if (mood.acceptEvery !== undefined && calls % mood.acceptEvery === 0) return null;
        return { kind: 'fail', code: mood.code, details: status[mood.code] };
      default:
        return null;
    }
  }

  #publish(
    request: PublishRequest,
    call: ServerUnaryCall<PublishRequest, PublishResponse>,
  ): Answer<PublishResponse> {
    const requestIndex = this.requests.length;
    const messages = (request.messages ?? []).map((message) => ({
      data: Buffer.from(message.data ?? []),
      attributes: { ...message.attributes },
      orderingKey: message.orderingKey ?? '',
    }));
    const byteLength = PUBLISHER_SERVICE.Publish.requestSerialize(request).length;
    const routing = call.metadata.get('x-goog-request-params')[0]?.toString() ?? null;
    this.requests.push({ topic: request.topic, messageCount: messages.length, byteLength, routing });
    const topic = this.#topics.get(request.topic);
    if (topic === undefined) return notFound(`Resource not found (resource=${request.topic}).`);
    if (!topic.mayPublish) return denied('User not authorized to perform this action.');
    const isRejected = this.#isRejected ?? (() => false);
    const refusal =
      topic.refusalOf(messages, byteLength) ?? (messages.some(isRejected) ? 'Invalid message.' : null);
    if (refusal !== null) return { code: status.INVALID_ARGUMENT, details: refusal };
    const firstId = this.messages.length;
    const stored = messages.map((message, i) => ({
      ...message,
      topic: topic.name,
      id: (firstId + i).toString(),
      requestIndex,
      storedAt: Date.now(),
    }));
    for (const message of stored) this.messages.push(message);
    return { response: PublishResponse.create({ messageIds: stored.map((message) => message.id) }) };
  }

  #getTopic(name: string): Answer<Topic> {
    const topic = this.#topics.get(name);
    if (topic === undefined) return notFound(`Resource not found (resource=${name}).`);
    if (!topic.isReadable) return denied('User not authorized to perform this action.');
    return { response: Topic.create(topic.toTopic()) };
  }

  #createdTopic(name: string): Answer<Topic> {
    if (this.#topics.has(name)) return { code: status.ALREADY_EXISTS, details: 'Resource already exists.' };
    this.createTopic(name);
    return this.#getTopic(name);
  }

  #listTopics(project: string): Answer<ListTopicsResponse> {
    const topics = [...this.#topics.values()].filter((topic) => topic.name.startsWith(`${project}/topics/`));
    return { response: ListTopicsResponse.create({ topics: topics.map((topic) => topic.toTopic()) }) };
  }

  #getSchema(name: string): Answer<SchemaResource> {
    const [schemaName, revisionId] = name.split('@');
    const topic = this.#topicWithSchema(schemaName);
    const revisions = topic?.toRevisions() ?? [];
    const schema =
      revisionId === undefined
        ? revisions.at(-1)
        : revisions.find((revision) => revision.revisionId === revisionId);
    if (topic === undefined || schema === undefined)
      return notFound(`Resource not found (resource=${name}).`);
    if (!topic.isReadable) return denied('User not authorized to perform this action.');
    return { response: SchemaResource.create(schema) };
  }

  #listRevisions(name: string): Answer<ListSchemaRevisionsResponse> {
    const topic = this.#topicWithSchema(name);
    if (topic === undefined) return notFound(`Resource not found (resource=${name}).`);
    if (!topic.isReadable) return denied('User not authorized to perform this action.');
    return { response: ListSchemaRevisionsResponse.create({ schemas: [...topic.toRevisions()] }) };
  }

  #topicWithSchema(name: string | undefined): FakeTopic | undefined {
    return [...this.#topics.values()].find(
      (topic) => topic.schemaName === name && topic.toRevisions().length > 0,
    );
  }

  /** Of a topic that isn't there nothing is granted: Google's IAM says no more than that. */
  #testPermissions(resource: string, permissions: readonly string[]): Answer<PublishResponse> {
    const topic = this.#topics.get(resource);
    const granted = permissions.filter(
      (name) => topic?.mayPublish === true && (topic.isReadable || name === 'pubsub.topics.publish'),
    );
    return { response: PublishResponse.create({ messageIds: granted }) };
  }
}

function notFound(details: string): { readonly code: status; readonly details: string } {
  return { code: status.NOT_FOUND, details };
}

function denied(details: string): { readonly code: status; readonly details: string } {
  return { code: status.PERMISSION_DENIED, details };
}
