import { protos } from '@google-cloud/pubsub';
import avsc, { type Schema, type Type } from 'avsc';

const { Encoding, Schema: SchemaMessage } = protos.google.pubsub.v1;

/** What a topic of the fake is like; by default it has no schema and allows everything. */
export interface FakeTopicOptions {
  readonly schema?: {
    /** Avro, in JSON: the newest revision. */
    readonly definition: string;
    readonly encoding: 'BINARY' | 'JSON';
    /** Earlier revisions, the newest first. */
    readonly older?: readonly string[];
    /** Which revisions the topic allows, counted from the newest one, 0; all without. */
    readonly allowed?: { readonly first: number; readonly last: number };
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
  /** Of the revisions that are allowed, in the order in which messages are tried against them. */
  readonly #types: readonly Type[];

  constructor(name: string, options: FakeTopicOptions = {}) {
    this.name = name;
    this.isReadable = options.isReadable ?? true;
    this.mayPublish = options.mayPublish ?? true;
    this.#schema = options.schema ?? null;
    const { first, last } = this.#allowed;
    this.#types = this.#definitions
      .slice(last, first + 1)
      .map((definition) => avsc.Type.forSchema(JSON.parse(definition) as Schema));
  }

  get schemaName(): string {
    return `${this.name.replace('/topics/', '/schemas/')}-schema`;
  }

  /** The topic's resource. */
  toTopic(): protos.google.pubsub.v1.ITopic {
    if (this.#schema === null) return { name: this.name };
    const { first, last } = this.#allowed;
    const bounds = this.#schema.allowed
      ? { firstRevisionId: revisionIdOf(first), lastRevisionId: revisionIdOf(last) }
      : {};
    return {
      name: this.name,
      schemaSettings: { schema: this.schemaName, encoding: Encoding[this.#schema.encoding], ...bounds },
    };
  }

  /** The schema's revisions as resources, the oldest first; none when the topic has no schema. */
  toRevisions(): readonly protos.google.pubsub.v1.ISchema[] {
    return this.#definitions
      .map((definition, i) => ({
        name: this.schemaName,
        type: SchemaMessage.Type.AVRO,
        definition,
        revisionId: revisionIdOf(i),
        revisionCreateTime: { seconds: 1_700_000_000 - i },
      }))
      .reverse();
  }

  get #definitions(): readonly string[] {
    return this.#schema === null ? [] : [this.#schema.definition, ...(this.#schema.older ?? [])];
  }

  get #allowed(): { readonly first: number; readonly last: number } {
    return this.#schema?.allowed ?? { first: this.#definitions.length - 1, last: 0 };
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
    const { encoding } = this.#schema ?? {};
    if (encoding === undefined) return null;
    const isTaken = this.#types.some((type) => {
      try {
        if (encoding === 'BINARY') type.fromBuffer(message.data);
        else type.fromString(message.data.toString());
        return true;
      } catch {
        return false;
      }
    });
    return isTaken ? null : 'Invalid data in message: Message failed schema validation.';
  }
}

/** As Pub/Sub names them: eight hexadecimal digits. */
function revisionIdOf(index: number): string {
  return (0x4f3a1c2b + index).toString(16);
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
