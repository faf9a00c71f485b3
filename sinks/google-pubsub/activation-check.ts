import { protos } from '@google-cloud/pubsub';
import { SinkError } from '../sink.ts';
import { GRPC_STATUS, classifyPubSubError, grpcStatusOf } from './classify-error.ts';
import { frameOf } from './framed-request.ts';
import type { PublishTransport } from './publish-transport.ts';
import { judgeTopicSchema, type SentMessages, type TopicSchema } from './topic-schema.ts';

const { GetSchemaRequest, GetTopicRequest, Schema, SchemaView, Encoding, Topic } = protos.google.pubsub.v1;

const PUBLISH_PERMISSION = 'pubsub.topics.publish';

/** A deleted schema leaves its topic refusing every message. */
const DELETED_SCHEMA = '_deleted-schema_';

/**
 * Tries the right to publish, then, as far as it may be read, the topic's schema. Publishes nothing. Resolves with
 * warnings in words; rejects with a `SinkError`.
 */
export async function checkTopic(
  transport: PublishTransport,
  topicName: string,
  sent: SentMessages,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const warnings = await checkRight(transport, topicName, signal);
  const schema = await readTopicSchema(transport, topicName, signal);
  if (schema === 'unreadable') {
    return [...warnings, "the topic and its schema can't be read, so it wasn't checked that operations fit"];
  }
  const verdict = judgeTopicSchema(schema, sent);
  if (verdict.mismatch !== null) {
    throw new SinkError('fatal', 'schema_mismatch', `checking ${topicName}: ${verdict.mismatch}`, {
      remedy:
        'give the topic the published schema with binary encoding, or create the replication for another topic',
    });
  }
  return [...warnings, ...verdict.warnings];
}

async function checkRight(
  transport: PublishTransport,
  topicName: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const action = `testing the right to publish to ${topicName}`;
  const call = {
    path: '/google.iam.v1.IAMPolicy/TestIamPermissions',
    routing: `resource=${encodeURIComponent(topicName)}`,
    request: frameOf(Buffer.concat([stringField(1, topicName), stringField(2, PUBLISH_PERMISSION)])),
  };
  try {
    const response = await transport.call(call, signal);
    // TestIamPermissionsResponse { repeated string permissions = 1; }: the tested ones that are granted.
    if (response.includes(stringField(1, PUBLISH_PERMISSION))) return [];
  } catch (error) {
    if (grpcStatusOf(error) === GRPC_STATUS.UNIMPLEMENTED) {
      return ["the destination can't tell permissions, so the right to publish wasn't checked"];
    }
    throw failureOf(error, action, signal);
  }
  const message = `${action}: ${PUBLISH_PERMISSION} isn't granted, or the topic doesn't exist`;
  const remedy = 'grant roles/pubsub.publisher on the topic to the service account';
  throw new SinkError('fatal', 'permission_denied', message, { remedy });
}

async function readTopicSchema(
  transport: PublishTransport,
  topicName: string,
  signal: AbortSignal,
): Promise<TopicSchema | null | 'unreadable'> {
  const action = `reading ${topicName} and its schema`;
  try {
    const topic = Topic.decode(
      await transport.call(
        {
          path: '/google.pubsub.v1.Publisher/GetTopic',
          routing: `topic=${encodeURIComponent(topicName)}`,
          request: frameOf(GetTopicRequest.encode({ topic: topicName }).finish()),
        },
        signal,
      ),
    );
    const settings = topic.schemaSettings;
    const name = settings?.schema ?? '';
    if (settings === null || settings === undefined || name === '') return null;
    if (name === DELETED_SCHEMA) {
      throw new SinkError('fatal', 'schema_mismatch', `${action}: the topic's schema was deleted`, {
        remedy: 'give the topic another schema, or none',
      });
    }
    // Messages are tried against the topic's newest allowed revision first.
    const revision = settings.lastRevisionId ? `${name}@${settings.lastRevisionId}` : name;
    const schema = Schema.decode(
      await transport.call(
        {
          path: '/google.pubsub.v1.SchemaService/GetSchema',
          routing: `name=${encodeURIComponent(revision)}`,
          request: frameOf(GetSchemaRequest.encode({ name: revision, view: SchemaView.FULL }).finish()),
        },
        signal,
      ),
    );
    return {
      type: schemaTypeOf(schema.type),
      encoding: encodingOf(settings.encoding),
      definition: schema.definition,
    };
  } catch (error) {
    if (error instanceof SinkError) throw error;
    const status = grpcStatusOf(error);
    // Reading needs the viewer role, which publishing doesn't.
    if (status === GRPC_STATUS.PERMISSION_DENIED || status === GRPC_STATUS.UNIMPLEMENTED) return 'unreadable';
    throw failureOf(error, action, signal);
  }
}

function failureOf(error: unknown, action: string, signal: AbortSignal): SinkError {
  if (signal.aborted)
    return new SinkError('retriable', 'timeout', `${action}: no answer in time`, { cause: error });
  const failure = classifyPubSubError(error, action);
  if (failure.kind !== 'rejected') return failure;
  // Nothing was sent that could be at fault: the ids are.
  return new SinkError('fatal', 'not_found', failure.message, { cause: error, remedy: 'correct the ids' });
}

function schemaTypeOf(type: unknown): TopicSchema['type'] {
  if (type === Schema.Type.AVRO) return 'AVRO';
  return type === Schema.Type.PROTOCOL_BUFFER ? 'PROTOCOL_BUFFER' : 'UNKNOWN';
}

function encodingOf(encoding: unknown): TopicSchema['encoding'] {
  if (encoding === Encoding.BINARY) return 'BINARY';
  return encoding === Encoding.JSON ? 'JSON' : 'UNKNOWN';
}

/** A protobuf string field of at most 127 bytes times 128: topic names and permissions. */
function stringField(number: number, text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = bytes.length < 0x80 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >>> 7];
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes]);
}
