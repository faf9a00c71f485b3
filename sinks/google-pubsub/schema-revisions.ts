import { protos } from '@google-cloud/pubsub';
import { frameOf } from './framed-request.ts';
import type { PublishTransport } from './publish-transport.ts';
import type { TopicSchema } from './topic-schema.ts';

const {
  Encoding,
  GetSchemaRequest,
  ListSchemaRevisionsRequest,
  ListSchemaRevisionsResponse,
  Schema,
  SchemaView,
} = protos.google.pubsub.v1;
type ISchema = protos.google.pubsub.v1.ISchema;
type ISchemaSettings = protos.google.pubsub.v1.ISchemaSettings;

/** A schema has 20 revisions at most. */
const PAGE_SIZE = 100;

/** The revision that Pub/Sub tries a message against first. Rejects with what the transport threw. */
export async function readNewestRevision(
  transport: PublishTransport,
  settings: ISchemaSettings,
  signal: AbortSignal,
): Promise<TopicSchema> {
  const schema = settings.schema ?? '';
  const name = settings.lastRevisionId ? `${schema}@${settings.lastRevisionId}` : schema;
  const call = {
    path: '/google.pubsub.v1.SchemaService/GetSchema',
    routing: `name=${encodeURIComponent(name)}`,
    request: frameOf(GetSchemaRequest.encode({ name, view: SchemaView.FULL }).finish()),
  };
  return topicSchemaOf(Schema.decode(await transport.call(call, signal)), settings);
}

/**
 * All revisions that the topic allows (`first_revision_id` to `last_revision_id`, both included; without them no bound),
 * in the order in which Pub/Sub tries a message against them: the newest first. Rejects with what the transport threw.
 */
export async function readRevisions(
  transport: PublishTransport,
  settings: ISchemaSettings,
  signal: AbortSignal,
): Promise<readonly TopicSchema[]> {
  const name = settings.schema ?? '';
  const call = {
    path: '/google.pubsub.v1.SchemaService/ListSchemaRevisions',
    routing: `name=${encodeURIComponent(name)}`,
    request: frameOf(
      ListSchemaRevisionsRequest.encode({ name, view: SchemaView.FULL, pageSize: PAGE_SIZE }).finish(),
    ),
  };
  const { schemas } = ListSchemaRevisionsResponse.decode(await transport.call(call, signal));
  const newestFirst = schemas.toSorted((a, b) => createdMs(b) - createdMs(a));
  const at = (id: string | null | undefined, otherwise: number): number => {
    const found = id ? newestFirst.findIndex(({ revisionId }) => revisionId === id) : -1;
    return found < 0 ? otherwise : found;
  };
  const from = at(settings.lastRevisionId, 0);
  const to = at(settings.firstRevisionId, newestFirst.length - 1);
  return newestFirst.slice(from, to + 1).map((schema) => topicSchemaOf(schema, settings));
}

function createdMs({ revisionCreateTime }: ISchema): number {
  return Number(revisionCreateTime?.seconds ?? 0) * 1_000 + (revisionCreateTime?.nanos ?? 0) / 1e6;
}

function topicSchemaOf({ type, definition, revisionId }: ISchema, settings: ISchemaSettings): TopicSchema {
  return {
    type: schemaTypeOf(type),
    encoding: encodingOf(settings.encoding),
    definition: definition ?? '',
    revisionId: revisionId ?? '',
  };
}

function schemaTypeOf(type: unknown): TopicSchema['type'] {
  if (type === Schema.Type.AVRO) return 'AVRO';
  return type === Schema.Type.PROTOCOL_BUFFER ? 'PROTOCOL_BUFFER' : 'UNKNOWN';
}

function encodingOf(encoding: unknown): TopicSchema['encoding'] {
  if (encoding === Encoding.BINARY) return 'BINARY';
  return encoding === Encoding.JSON ? 'JSON' : 'UNKNOWN';
}
