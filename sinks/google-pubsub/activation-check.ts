import { protos } from '@google-cloud/pubsub';
import { SinkError } from '../sink.ts';
import { GRPC_STATUS, classifyPubSubError, grpcStatusOf } from './classify-error.ts';
import { frameOf } from './framed-request.ts';
import type { PublishTransport } from './publish-transport.ts';
import { createTopic, fitSchema, grantPublisher, grantViewer } from './remedies.ts';
import { readNewestRevision, readRevisions } from './schema-revisions.ts';
import { judgeRevisions, type SchemaVerdict, type SentMessages, type TopicSchema } from './topic-schema.ts';

const { GetTopicRequest, Topic } = protos.google.pubsub.v1;
type Topic = protos.google.pubsub.v1.Topic;

const PUBLISH_PERMISSION = 'pubsub.topics.publish';

/** A deleted schema leaves its topic refusing every message. */
const DELETED_SCHEMA = '_deleted-schema_';

/** What a check needs to ask. */
interface TopicCheck {
  readonly transport: PublishTransport;
  /** In full. */
  readonly topicName: string;
  readonly signal: AbortSignal;
}

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
  const check: TopicCheck = { transport, topicName, signal };
  const warnings = await checkRight(check);
  const topic = await readTopic(check);
  const schemas = topic === null ? null : await readSchemas(check, topic, sent);
  if (schemas === null) {
    const why = "the topic and its schema can't be read, so it wasn't checked that operations fit";
    return [...warnings, `${why}; ${grantViewer(topicName)}`];
  }
  const { mismatch, warnings: notes }: SchemaVerdict = judgeRevisions(schemas, sent);
  if (mismatch !== null) throw schemaMismatch(check, mismatch);
  return [...warnings, ...notes];
}

async function checkRight(check: TopicCheck): Promise<readonly string[]> {
  const { transport, topicName, signal } = check;
  const doing = 'testing the right to publish to';
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
    throw failureOf(error, doing, check);
  }
  // Of a topic that isn't there nothing is granted either: who may read topics is told which it is.
  const isThere = (await readTopic(check)) !== null;
  const reason = `${PUBLISH_PERMISSION} isn't granted${isThere ? '' : ", or the topic doesn't exist"}`;
  throw new SinkError('fatal', 'permission_denied', `${doing} ${topicName}: ${reason}`, {
    remedy: isThere
      ? grantPublisher(topicName)
      : `${grantPublisher(topicName)}; if it doesn't exist, ${createTopic(topicName)}`,
  });
}

/** Null when it may not be read: that takes the viewer role, which publishing doesn't. */
async function readTopic(check: TopicCheck): Promise<Topic | null> {
  const { transport, topicName, signal } = check;
  const call = {
    path: '/google.pubsub.v1.Publisher/GetTopic',
    routing: `topic=${encodeURIComponent(topicName)}`,
    request: frameOf(GetTopicRequest.encode({ topic: topicName }).finish()),
  };
  try {
    return Topic.decode(await transport.call(call, signal));
  } catch (error) {
    if (isUnreadable(error)) return null;
    throw failureOf(error, 'reading', check);
  }
}

/**
 * The topic's schema, in the revisions that matter for what is sent, the newest first; empty without one, null when it
 * may not be read.
 */
async function readSchemas(
  check: TopicCheck,
  topic: Topic,
  sent: SentMessages,
): Promise<readonly TopicSchema[] | null> {
  const settings = topic.schemaSettings;
  const name = settings?.schema ?? '';
  if (settings === null || settings === undefined || name === '') return [];
  if (name === DELETED_SCHEMA) throw schemaMismatch(check, "the topic's schema was deleted");
  try {
    const newest = await readNewestRevision(check.transport, settings, check.signal);
    if (judgeRevisions([newest], sent).mismatch === null) return [newest];
    return await olderToo(check, settings, newest);
  } catch (error) {
    if (isUnreadable(error)) return null;
    if (grpcStatusOf(error) === GRPC_STATUS.NOT_FOUND)
      throw schemaMismatch(check, "the topic's schema, or the revision that it names, doesn't exist");
    throw failureOf(error, 'reading the schema of', check);
  }
}

async function olderToo(
  { transport, signal }: TopicCheck,
  settings: protos.google.pubsub.v1.ISchemaSettings,
  newest: TopicSchema,
): Promise<readonly TopicSchema[]> {
  try {
    return await readRevisions(transport, settings, signal);
  } catch (error) {
    // The newest alone decides then.
    if (isUnreadable(error)) return [newest];
    throw error;
  }
}

function isUnreadable(error: unknown): boolean {
  const status = grpcStatusOf(error);
  return status === GRPC_STATUS.PERMISSION_DENIED || status === GRPC_STATUS.UNIMPLEMENTED;
}

function schemaMismatch({ topicName }: TopicCheck, why: string): SinkError {
  const remedy = fitSchema(topicName);
  return new SinkError('fatal', 'schema_mismatch', `checking ${topicName}: ${why}`, { remedy });
}

function failureOf(error: unknown, doing: string, { topicName, signal }: TopicCheck): SinkError {
  if (signal.aborted) {
    const message = `${doing} ${topicName}: no answer in time`;
    return new SinkError('retriable', 'timeout', message, { cause: error });
  }
  const failure = classifyPubSubError(error, doing, topicName);
  if (failure.kind !== 'rejected') return failure;
  // Nothing was sent that could be at fault: the ids are.
  const remedy = createTopic(topicName);
  const message = `${doing} ${topicName}: Pub/Sub takes no such project or topic id`;
  return new SinkError('fatal', 'not_found', message, { cause: error, remedy });
}

/** A protobuf string field of at most 127 bytes times 128: topic names and permissions. */
function stringField(number: number, text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = bytes.length < 0x80 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >>> 7];
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes]);
}
