import { protos } from '@google-cloud/pubsub';
import avsc, { type Schema, type Type } from 'avsc';

const { Encoding, Schema: SchemaMessage } = protos.google.pubsub.v1;

/** What a topic of the fake is like; by default it has no schema and allows everything. */
export interface FakeTopicOptions {
  readonly schema?: {
    /** Avro, in JSON. */
    readonly definition: string;
    readonly encoding: 'BINARY' | 'JSON';
  };
  /** Whether the caller may read the topic and its schema, which takes the viewer role. */
  readonly isReadable?: boolean;
  readonly mayPublish?: boolean;
}

/** A published message, as the official protos decode it. */
export interface FakeMessage {
  readonly data: Buffer;
  readonly attributes: Readonly<Record<string, string>>;
  readonly orderingKey: string;
}

/** https://cloud.google.com/pubsub/quotas#resource_limits */
const MAX_MESSAGES = 1_000;
const MAX_REQUEST_BYTES = 10_000_000;
const MAX_ATTRIBUTES = 100;
const MAX_ATTRIBUTE_KEY_BYTES = 256;
const MAX_ATTRIBUTE_VALUE_BYTES = 1_024;
const MAX_ORDERING_KEY_BYTES = 1_024;

/** One topic of the fake: its settings and its opinion of messages. */
export class FakeTopic {
  readonly name: string;
  readonly isReadable: boolean;
  readonly mayPublish: boolean;
  readonly #schema: NonNullable<FakeTopicOptions['schema']> | null;
  readonly #type: Type | null;

  constructor(name: string, options: FakeTopicOptions = {}) {
    this.name = name;
    this.isReadable = options.isReadable ?? true;
    this.mayPublish = options.mayPublish ?? true;
    this.#schema = options.schema ?? null;
    this.#type =
      this.#schema === null ? null : avsc.Type.forSchema(JSON.parse(this.#schema.definition) as Schema);
  }

  get schemaName(): string {
    return `${this.name.replace('/topics/', '/schemas/')}-schema`;
  }

  /** The topic's resource. */
  toTopic(): protos.google.pubsub.v1.ITopic {
    if (this.#schema === null) return { name: this.name };
    return {
      name: this.name,
      schemaSettings: { schema: this.schemaName, encoding: Encoding[this.#schema.encoding] },
    };
  }

  /** The schema's resource; null when the topic has none. */
  toSchema(): protos.google.pubsub.v1.ISchema | null {
    if (this.#schema === null) return null;
    return {
      name: this.schemaName,
      type: SchemaMessage.Type.AVRO,
      definition: this.#schema.definition,
      revisionId: '4f3a1c2b',
    };
  }

  /** Why Pub/Sub would refuse the whole request; null when it wouldn't. */
  refusalOf(messages: readonly FakeMessage[], requestBytes: number): string | null {
    if (messages.length === 0) return 'The value for message_count is too small.';
    if (messages.length > MAX_MESSAGES) return 'The value for message_count is too large.';
    if (requestBytes > MAX_REQUEST_BYTES) return 'The value for request_size is too large.';
    if (new Set(messages.map((message) => message.orderingKey)).size > 1) {
      return 'All messages of a request must have the same ordering key.';
    }
    for (const message of messages) {
      const refusal = refusalOfMessage(message) ?? this.#refusalBySchema(message);
      if (refusal !== null) return refusal;
    }
    return null;
  }

  #refusalBySchema(message: FakeMessage): string | null {
    if (this.#type === null) return null;
    try {
      if (this.#schema?.encoding === 'BINARY') this.#type.fromBuffer(message.data);
      else this.#type.fromString(message.data.toString());
      return null;
    } catch {
      return 'Invalid data in message: Message failed schema validation.';
    }
  }
}

function refusalOfMessage(message: FakeMessage): string | null {
  const attributes = Object.entries(message.attributes);
  if (message.data.length === 0 && attributes.length === 0) return 'A message must have data or attributes.';
  if (attributes.length > MAX_ATTRIBUTES) return 'A message has too many attributes.';
  const isTooLong = attributes.some(
    ([key, value]) =>
      Buffer.byteLength(key) > MAX_ATTRIBUTE_KEY_BYTES ||
      Buffer.byteLength(value) > MAX_ATTRIBUTE_VALUE_BYTES,
  );
  if (isTooLong) return "A message's attribute is too long.";
  return Buffer.byteLength(message.orderingKey) > MAX_ORDERING_KEY_BYTES
    ? 'An ordering key is too long.'
    : null;
}
