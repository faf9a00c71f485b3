/**
 * What may be written to the control topic and what may not, as data: each rule of CONTRACT section 5, and each row of
 * RELIABILITY section 7 that can come as a record. The same records can be sent over HTTP, where `config_unparseable`
 * is `invalid_json` and the key is given by the path.
 */
import type { ConfigProblemCode } from '../../processors/config-problem.ts';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import { FILTER_NAMES } from '../../schemas/document-type.ts';
import { ALLOWED_BROKERS, OWN_TOPIC } from './config-rules.ts';

export type JsonRecord = Readonly<Record<string, unknown>>;

interface ConfigCase {
  /** What is written, as the subject of a sentence. */
  readonly what: string;
  /** Row of RELIABILITY section 7. */
  readonly row?: number;
  readonly record: JsonRecord;
  /** The record that is in force; it is valid. */
  readonly previous?: JsonRecord;
}

export interface AcceptedCase extends ConfigCase {
  readonly config: Partial<ReplicationConfig>;
}

interface Refusal {
  readonly code: ConfigProblemCode;
  readonly field: string | null;
  /** A part of the message. */
  readonly words: string;
}

export interface RefusedCase extends ConfigCase, Refusal {
  /** The record's key where it isn't its id. */
  readonly key?: string;
  /** Why the published JSON schema can't see it. */
  readonly beyondSchema?: string;
}

/** A value that is no JSON object of the allowed size and depth. */
export interface UnreadableCase extends Refusal {
  readonly what: string;
  readonly row?: number;
  readonly value: Buffer;
}

/** A valid record beside others that are in force. */
export interface NeighbourCase {
  readonly what: string;
  readonly others: readonly JsonRecord[];
  readonly record: JsonRecord;
  readonly maxPerDatamart: number;
  /** Null: accepted. */
  readonly refusal: Refusal | null;
}

export const PUBSUB: JsonRecord = {
  id: '80',
  datamart_id: '1649',
  type: 'GOOGLE_PUBSUB',
  project_id: 'acme',
  topic_id: 'users',
};
export const EVENT_HUBS: JsonRecord = {
  id: '81',
  datamart_id: '1649',
  type: 'AZURE_EVENT_HUBS',
  event_hub_name: 'users',
};
export const KAFKA_TOPIC: JsonRecord = {
  id: '91',
  datamart_id: '1649',
  type: 'KAFKA_TOPIC',
  topic: 'acme-operations',
};
export const FILE: JsonRecord = { id: '90', datamart_id: '1649', type: 'FILE', path: 'acme/90.jsonl' };

/** The key under which a record is written: its id, where that can be a key. */
export function keyOf({ id }: JsonRecord): string {
  return typeof id === 'string' || typeof id === 'number' ? String(id) : '';
}

/** The smallest record of each kind. */
export const SMALLEST_RECORDS = [PUBSUB, EVENT_HUBS, KAFKA_TOPIC, FILE] as const;

/** With every field that applies to its kind. */
export const FULL_PUBSUB: JsonRecord = {
  ...PUBSUB,
  name: 'to acme',
  version: 2,
  status: 'ACTIVE',
  replication_filters: [{ document: 'USER_SEGMENT', filter: null }],
  credentials_uri: 'file:google/acme.json',
  resume: 'WHERE_STOPPED',
  metadata: ['message_id'],
  user_point_parent: true,
  ordering: true,
  ordering_lanes: 256,
  endpoint: 'europe-west1-pubsub.googleapis.com',
  created: 1_763_900_000_000,
};

const DEFAULTS: Partial<ReplicationConfig> = {
  status: 'PAUSED',
  filter: null,
  credentialsUri: null,
  resume: null,
  messageId: false,
  userPointParent: false,
  orderingLanes: 16,
  created: null,
};

/** Every optional field of any kind as null. */
const ALL_NULL: JsonRecord = Object.fromEntries(
  [
    'name',
    'version',
    'status',
    'replication_filters',
    'credentials_uri',
    'resume',
    'metadata',
    'user_point_parent',
    'ordering',
    'ordering_lanes',
    'created',
    'endpoint',
    'brokers',
    'v',
  ].map((field) => [field, null]),
);

const filtersOf = (...documents: readonly unknown[]): JsonRecord[] =>
  documents.map((document) => ({ document, filter: null }));

const USER_POINT_BITS = (1 << 0) | (1 << 9);

export const ACCEPTED_CASES: readonly AcceptedCase[] = [
  {
    what: 'a Pub/Sub record with nothing but what it needs',
    record: PUBSUB,
    config: { ...DEFAULTS, id: '80', datamart: 1649, name: '80', version: 2, ordering: false },
  },
  {
    what: 'an Event Hubs record with nothing but what it needs',
    record: EVENT_HUBS,
    config: { ...DEFAULTS, id: '81', name: '81', version: 1, ordering: true },
  },
  {
    what: 'a Kafka record with nothing but what it needs',
    record: KAFKA_TOPIC,
    config: {
      ...DEFAULTS,
      version: 1,
      ordering: false,
      destination: { topic: 'acme-operations', brokers: null },
    },
  },
  {
    what: 'a file record with nothing but what it needs',
    record: FILE,
    config: { ...DEFAULTS, version: 1, ordering: false, destination: { path: 'acme/90.jsonl' } },
  },
  {
    what: 'a record with every field',
    record: FULL_PUBSUB,
    config: {
      name: 'to acme',
      version: 2,
      status: 'ACTIVE',
      filter: 1 << 3,
      credentialsUri: 'file:google/acme.json',
      resume: 'WHERE_STOPPED',
      messageId: true,
      userPointParent: true,
      ordering: true,
      orderingLanes: 256,
      created: 1_763_900_000_000,
      destination: {
        projectId: 'acme',
        topicId: 'users',
        endpoint: 'europe-west1-pubsub.googleapis.com',
      },
    },
  },
  ...SMALLEST_RECORDS.map((record) => ({
    what: `null for every optional field of ${String(record.type)}`,
    record: { ...ALL_NULL, ...record },
    config: { ...DEFAULTS, name: String(record.id) },
  })),
  {
    what: 'fields of other kinds as null',
    record: { ...PUBSUB, event_hub_name: null, topic: null, path: null },
    config: { type: 'GOOGLE_PUBSUB' },
  },
  {
    what: 'ids as JSON integers',
    record: { ...PUBSUB, id: 80, datamart_id: 1649 },
    config: { id: '80', datamartId: '1649' },
  },
  { what: 'an id of 64 characters', record: { ...PUBSUB, id: 'aZ0_.-'.padEnd(64, 'x') }, config: {} },
  {
    what: 'a datamart id of 19 digits',
    record: { ...PUBSUB, datamart_id: '9223372036854775807' },
    config: { datamart: '9223372036854775807' },
  },
  { what: "a form's version", record: { v: 1, ...PUBSUB }, config: { id: '80' } },
  {
    what: 'an explicit version 1 on Pub/Sub, a legacy replication,',
    row: 11,
    record: { ...PUBSUB, version: 1 },
    config: { version: 1 },
  },
  { what: 'version 2 on Kafka', record: { ...KAFKA_TOPIC, version: 2 }, config: { version: 2 } },
  { what: 'a name of one character', record: { ...PUBSUB, name: ' ' }, config: { name: ' ' } },
  {
    what: 'a name of 255 characters outside the basic plane',
    record: { ...PUBSUB, name: '🚚'.repeat(255) },
    config: { name: '🚚'.repeat(255) },
  },
  {
    what: 'a first record that says ACTIVE',
    record: { ...PUBSUB, status: 'ACTIVE' },
    config: { status: 'ACTIVE' },
  },
  {
    what: 'ERROR, an echo of what was read, of an ACTIVE replication',
    record: { ...PUBSUB, status: 'ERROR' },
    previous: { ...PUBSUB, status: 'ACTIVE' },
    config: { status: 'ACTIVE', record: { ...PUBSUB, status: 'ACTIVE' } },
  },
  {
    what: 'ERROR without a replication in force',
    record: { ...PUBSUB, status: 'ERROR' },
    config: { status: 'PAUSED', record: { ...PUBSUB, status: 'PAUSED' } },
  },
  {
    what: 'ERROR of another incarnation',
    record: { ...PUBSUB, status: 'ERROR', created: 2 },
    previous: { ...PUBSUB, status: 'ACTIVE', created: 1 },
    config: { status: 'PAUSED' },
  },
  {
    what: 'filters as the API answers with them',
    record: {
      ...PUBSUB,
      replication_filters: [{ id: '1', replication_id: '80', document: 'USER_SEGMENT', filter: null }],
    },
    config: { filter: 1 << 3 },
  },
  {
    what: 'a filter without its field filter',
    record: { ...PUBSUB, replication_filters: [{ document: 'USER_EMAIL' }] },
    config: { filter: 1 << 8 },
  },
  {
    what: 'duplicate filters, which collapse,',
    record: { ...PUBSUB, replication_filters: filtersOf('USER_POINT', 'USER_SEGMENT', 'USER_SEGMENT') },
    config: { filter: USER_POINT_BITS | (1 << 3) },
  },
  {
    what: 'all nine documents',
    record: { ...PUBSUB, replication_filters: filtersOf(...FILTER_NAMES) },
    config: { filter: 1023 },
  },
  { what: 'resume NOW', record: { ...PUBSUB, resume: 'NOW' }, config: { resume: 'NOW' } },
  { what: 'no metadata', record: { ...PUBSUB, metadata: [] }, config: { messageId: false } },
  {
    what: 'duplicate metadata, which collapse,',
    record: { ...PUBSUB, metadata: ['message_id', 'message_id'] },
    config: { messageId: true },
  },
  {
    what: 'user_point_parent false on version 1',
    record: { ...EVENT_HUBS, user_point_parent: false },
    config: { userPointParent: false },
  },
  {
    what: 'user_point_parent on Kafka in version 2',
    record: { ...KAFKA_TOPIC, version: 2, user_point_parent: true },
    config: { userPointParent: true },
  },
  {
    what: 'Event Hubs without ordering',
    record: { ...EVENT_HUBS, ordering: false, ordering_lanes: 1 },
    config: { ordering: false, orderingLanes: 1 },
  },
  { what: 'lanes on Kafka', record: { ...KAFKA_TOPIC, ordering_lanes: 4 }, config: { orderingLanes: 4 } },
  {
    what: 'sealed credentials of its own',
    record: { ...PUBSUB, credentials_uri: 'sealed:80' },
    config: { credentialsUri: 'sealed:80' },
  },
  {
    what: 'credentials as a file URL',
    record: { ...EVENT_HUBS, credentials_uri: 'file:///secrets/acme.txt' },
    config: { credentialsUri: 'file:///secrets/acme.txt' },
  },
  {
    what: 'the odd characters of a project',
    record: { ...PUBSUB, project_id: 'acme.com:my-project-1' },
    config: {},
  },
  { what: "the product page's ids", record: { ...PUBSUB, project_id: 'test', topic_id: 'test' }, config: {} },
  {
    what: 'a topic of 255 characters',
    record: { ...PUBSUB, topic_id: 'T._~%+-0'.padEnd(255, 'x') },
    config: {},
  },
  { what: 'a hub of 256 characters', record: { ...EVENT_HUBS, event_hub_name: 'x'.repeat(256) }, config: {} },
  {
    what: 'brokers of the list, whatever their case,',
    record: { ...KAFKA_TOPIC, brokers: ['KAFKA.acme.example:9092'], credentials_uri: 'file:acme.json' },
    config: { destination: { topic: 'acme-operations', brokers: [ALLOWED_BROKERS[0]] } },
  },
  {
    what: 'a path with dots and double slashes, which is normalized,',
    record: { ...FILE, path: './acme//./90..jsonl' },
    config: {
      destination: { path: 'acme/90..jsonl' },
      exclusive: { field: 'path', value: 'acme/90..jsonl' },
    },
  },
  {
    what: 'another name, status, credentials and options',
    record: { ...PUBSUB, created: 7 },
    previous: { ...FULL_PUBSUB, version: 2, endpoint: null, replication_filters: null, created: 7 },
    config: { name: '80', status: 'PAUSED', ordering: false, orderingLanes: 16, messageId: false },
  },
  {
    what: 'filters in another order',
    record: { ...PUBSUB, replication_filters: filtersOf('USER_EMAIL', 'USER_SEGMENT') },
    previous: { ...PUBSUB, replication_filters: filtersOf('USER_SEGMENT', 'USER_EMAIL') },
    config: {},
  },
  {
    what: 'all nine documents in place of no filter',
    record: { ...PUBSUB, replication_filters: filtersOf(...FILTER_NAMES) },
    previous: PUBSUB,
    config: {},
  },
  {
    what: 'a default that is written out',
    record: { ...PUBSUB, version: 2, endpoint: null, datamart_id: 1649 },
    previous: PUBSUB,
    config: {},
  },
  {
    what: 'everything else under another `created`: deleted and created,',
    record: { ...EVENT_HUBS, id: '80', datamart_id: '7', created: 2 },
    previous: { ...PUBSUB, created: 1 },
    config: { type: 'AZURE_EVENT_HUBS', datamart: 7 },
  },
];

const refuse = (
  what: string,
  record: JsonRecord,
  code: ConfigProblemCode,
  field: string | null,
  words: string,
  further: Partial<RefusedCase> = {},
): RefusedCase => ({ what, record, code, field, words, ...further });

const BY_SETTINGS = 'it depends on settings';

/** Refused whatever is in force. */
export const REFUSED_CASES: readonly RefusedCase[] = [
  refuse('a missing id', { ...PUBSUB, id: undefined }, 'missing_field', 'id', 'id is missing', { key: '80' }),
  refuse('an id that is not the key', PUBSUB, 'config_key_mismatch', 'id', "must equal the record's key", {
    row: 39,
    key: '79',
    beyondSchema: 'the key is no part of the record',
  }),
  refuse('an empty id', { ...PUBSUB, id: '' }, 'invalid_id', 'id', 'id must match'),
  refuse('an id of 65 characters', { ...PUBSUB, id: 'x'.repeat(65) }, 'invalid_id', 'id', '{1,64}'),
  refuse('an id with a slash', { ...PUBSUB, id: 'a/b' }, 'invalid_id', 'id', '[A-Za-z0-9_.-]'),
  refuse('an id with a line break', { ...PUBSUB, id: '80\n' }, 'invalid_id', 'id', '[A-Za-z0-9_.-]'),
  refuse('an id that no number can hold', { ...PUBSUB, id: 2 ** 53 }, 'invalid_id', 'id', 'in quotes'),
  refuse('a fraction as id', { ...PUBSUB, id: 80.5 }, 'invalid_id', 'id', 'in quotes', { key: '80.5' }),
  refuse('a list as id', { ...PUBSUB, id: ['80'] }, 'invalid_id', 'id', 'id must be a text', { key: '80' }),
  refuse(
    'a missing datamart',
    { ...PUBSUB, datamart_id: null },
    'missing_field',
    'datamart_id',
    'is missing',
  ),
  ...['01', '0', '-1', 'acme', '1649 ', '1'.repeat(20)].map((datamartId) =>
    refuse(
      `the datamart ${JSON.stringify(datamartId)}`,
      { ...PUBSUB, datamart_id: datamartId },
      'invalid_datamart_id',
      'datamart_id',
      'positive integer of at most 19 digits',
    ),
  ),
  refuse(
    'a flag as datamart',
    { ...PUBSUB, datamart_id: true },
    'invalid_datamart_id',
    'datamart_id',
    'a text',
  ),
  refuse('a missing type', { ...PUBSUB, type: undefined }, 'missing_field', 'type', 'one of GOOGLE_PUBSUB', {
    row: 4,
  }),
  refuse('the type KAFKA', { ...PUBSUB, type: 'KAFKA' }, 'unsupported_type', 'type', 'must be one of', {
    row: 5,
  }),
  refuse(
    'a misspelt type',
    { ...PUBSUB, type: 'google-pubsub' },
    'unsupported_type',
    'type',
    'did you mean GOOGLE_PUBSUB?',
  ),
  ...['__proto__', 'constructor', 7, ['FILE']].map((type) =>
    refuse(
      `the type ${JSON.stringify(type)}`,
      { ...PUBSUB, type },
      'unsupported_type',
      'type',
      'must be one of',
    ),
  ),
  refuse(
    'an unknown field',
    { ...PUBSUB, projct_id: 'x' },
    'unknown_field',
    'projct_id',
    'did you mean project_id?',
    { row: 3 },
  ),
  refuse(
    'an unknown field that is null',
    { ...PUBSUB, colour: null },
    'unknown_field',
    'colour',
    'leave it out',
  ),
  refuse('a field without name', { ...PUBSUB, '': 1 }, 'unknown_field', '', '"" is not a field'),
  ...['__proto__', 'constructor', 'toString'].map((field) =>
    refuse(
      `the field ${field}`,
      { ...PUBSUB, [field]: { status: 'ACTIVE' } },
      'unknown_field',
      field,
      `"${field}" is not a field of a GOOGLE_PUBSUB replication`,
    ),
  ),
  refuse(
    'a long field that would steer a terminal',
    { ...PUBSUB, [`\u001b[2J${'x'.repeat(100)}`]: 1 },
    'unknown_field',
    `\ufffd[2J${'x'.repeat(60)}`,
    'is not a field',
  ),
  refuse(
    'a field of Event Hubs on Pub/Sub',
    { ...PUBSUB, event_hub_name: 'users' },
    'field_not_applicable',
    'event_hub_name',
    'applies to AZURE_EVENT_HUBS, not to GOOGLE_PUBSUB',
  ),
  ...['project_id', 'topic_id', 'endpoint'].map((field) =>
    refuse(
      `${field} on Event Hubs`,
      { ...EVENT_HUBS, [field]: 'acme' },
      'field_not_applicable',
      field,
      'applies to GOOGLE_PUBSUB, not to AZURE_EVENT_HUBS',
      { row: 16 },
    ),
  ),
  ...['metadata', 'ordering', 'ordering_lanes', 'credentials_uri'].map((field) =>
    refuse(
      `${field} on a file`,
      { ...FILE, [field]: { metadata: [], ordering: true, ordering_lanes: 16 }[field] ?? 'file:acme.txt' },
      'field_not_applicable',
      field,
      'not to FILE; leave it out',
    ),
  ),
  refuse(
    'ordering on Kafka',
    { ...KAFKA_TOPIC, ordering: true },
    'field_not_applicable',
    'ordering',
    'applies to GOOGLE_PUBSUB and AZURE_EVENT_HUBS, not to KAFKA_TOPIC',
  ),
  refuse(
    'an empty name',
    { ...PUBSUB, name: '' },
    'invalid_name',
    'name',
    '1 to 255 characters (Unicode code points)',
  ),
  refuse(
    'a name of 256 characters',
    { ...PUBSUB, name: 'é'.repeat(256) },
    'invalid_name',
    'name',
    '1 to 255',
  ),
  refuse('a number as name', { ...PUBSUB, name: 80 }, 'invalid_name', 'name', 'must be a text'),
  ...['a\nb', 'a\u0000', '\u007f', '\u0085', 'a\u2028b', '\u001b[31m'].map((name) =>
    refuse(
      `the name ${JSON.stringify(name)} with a control character`,
      { ...PUBSUB, name },
      'invalid_name',
      'name',
      'no line break, no other control character',
    ),
  ),
  refuse(
    'a name with half a character',
    { ...PUBSUB, name: 'a\ud83d' },
    'invalid_name',
    'name',
    'lone surrogate',
  ),
  ...[3, 0, 2.5, true, [2], '3'].map((version) =>
    refuse(
      `version ${JSON.stringify(version)}`,
      { ...PUBSUB, version },
      'invalid_version',
      'version',
      'the number 1 or 2',
      { row: 12 },
    ),
  ),
  refuse(
    'version "2"',
    { ...PUBSUB, version: '2' },
    'invalid_version',
    'version',
    'did you mean 2, without quotes?',
    { row: 12 },
  ),
  refuse(
    'version 2 on Event Hubs',
    { ...EVENT_HUBS, version: 2 },
    'version_not_supported_for_type',
    'version',
    'version of AZURE_EVENT_HUBS must be 1; leave it out for 1',
    { row: 10 },
  ),
  refuse(
    'version 2 on a file',
    { ...FILE, version: 2 },
    'version_not_supported_for_type',
    'version',
    'version of FILE must be 1',
  ),
  refuse(
    'a status in lower case',
    { ...PUBSUB, status: 'active' },
    'invalid_status',
    'status',
    'did you mean ACTIVE?',
  ),
  ...['RUNNING', 'DETACHED', true, 1].map((status) =>
    refuse(
      `the status ${JSON.stringify(status)}`,
      { ...PUBSUB, status },
      'invalid_status',
      'status',
      'status must be ACTIVE or PAUSED',
    ),
  ),
  ...['USER_SEGMENT', {}, true].map((filters) =>
    refuse(
      `filters that are ${JSON.stringify(filters)}`,
      { ...PUBSUB, replication_filters: filters },
      'invalid_replication_filters',
      'replication_filters',
      'must be a list such as [{"document":"USER_SEGMENT","filter":null}]',
    ),
  ),
  refuse(
    'an empty list of filters',
    { ...PUBSUB, replication_filters: [] },
    'empty_filters',
    'replication_filters',
    'leave it out to replicate all documents',
    { row: 18 },
  ),
  ...['USER_SEGMENT', null, ['USER_SEGMENT']].map((entry) =>
    refuse(
      `${JSON.stringify(entry)} as a filter`,
      { ...PUBSUB, replication_filters: [...filtersOf('USER_POINT'), entry] },
      'invalid_replication_filters',
      'replication_filters',
      'replication_filters[1] must be an object',
    ),
  ),
  refuse(
    'an unknown document',
    { ...PUBSUB, replication_filters: filtersOf('USER_FOO') },
    'unknown_document',
    'replication_filters',
    `replication_filters[0].document must be one of ${FILTER_NAMES.join(', ')}`,
    { row: 17 },
  ),
  refuse(
    'USER_POINT_PARENT in a filter',
    { ...PUBSUB, replication_filters: filtersOf('USER_POINT_PARENT') },
    'unknown_document',
    'replication_filters',
    `must be one of ${FILTER_NAMES.join(', ')}`,
    { row: 17 },
  ),
  refuse(
    "a document type's own name in a filter",
    { ...PUBSUB, replication_filters: filtersOf('USER_EMAIL', 'UserSegment') },
    'unknown_document',
    'replication_filters',
    'did you mean USER_SEGMENT?',
    { row: 17 },
  ),
  ...['__proto__', 7, {}].map((document) =>
    refuse(
      `the document ${JSON.stringify(document)}`,
      { ...PUBSUB, replication_filters: filtersOf(document) },
      'unknown_document',
      'replication_filters',
      'must be one of USER_POINT',
    ),
  ),
  refuse(
    'a filter without document',
    { ...PUBSUB, replication_filters: [{ filter: null }] },
    'missing_field',
    'replication_filters',
    'replication_filters[0] has no document; give one of USER_POINT',
  ),
  refuse(
    'an unknown field in a filter',
    { ...PUBSUB, replication_filters: [{ documnt: 'USER_EMAIL' }] },
    'unknown_field',
    'replication_filters',
    'did you mean document?',
  ),
  refuse(
    '__proto__ in a filter',
    { ...PUBSUB, replication_filters: [{ ['__proto__']: { document: 'USER_EMAIL' } }] },
    'unknown_field',
    'replication_filters',
    '"__proto__" is not a field of replication_filters[0]',
  ),
  ...['', 'age > 18', false].map((filter) =>
    refuse(
      `${JSON.stringify(filter)} as a condition`,
      { ...PUBSUB, replication_filters: [{ document: 'USER_POINT', filter }] },
      'filter_not_supported',
      'replication_filters',
      'replication_filters[0].filter is not used at the moment and must be null',
    ),
  ),
  refuse(
    'credentials in the record itself',
    { ...PUBSUB, credentials_uri: { type: 'service_account' } },
    'invalid_credentials_uri',
    'credentials_uri',
    'must be a text, file:<path>',
  ),
  ...['', 'acme.json', 'https://acme.example/key', 'file:', 'file:keys/', 'file:a\nb', 'file:a\ud800'].map(
    (uri) =>
      refuse(
        `the credentials ${JSON.stringify(uri)}`,
        { ...PUBSUB, credentials_uri: uri },
        'invalid_credentials_uri',
        'credentials_uri',
        'credentials_uri must',
      ),
  ),
  refuse(
    "another replication's credentials",
    { ...PUBSUB, credentials_uri: 'sealed:81' },
    'invalid_credentials_uri',
    'credentials_uri',
    'own id',
    { beyondSchema: 'it compares two fields' },
  ),
  refuse('resume at once', { ...PUBSUB, resume: 'now' }, 'invalid_resume', 'resume', 'did you mean NOW?'),
  refuse(
    'a flag as resume',
    { ...PUBSUB, resume: true },
    'invalid_resume',
    'resume',
    '"WHERE_STOPPED" or "NOW"',
  ),
  refuse(
    'misspelt metadata',
    { ...PUBSUB, metadata: ['messageId'] },
    'invalid_metadata',
    'metadata',
    'did you mean message_id?',
  ),
  refuse(
    'metadata as a text',
    { ...PUBSUB, metadata: 'message_id' },
    'invalid_metadata',
    'metadata',
    'must be [] or ["message_id"]',
  ),
  refuse(
    'null among metadata',
    { ...PUBSUB, metadata: [null] },
    'invalid_metadata',
    'metadata',
    'must be []',
  ),
  refuse(
    'user_point_parent in version 1',
    { ...PUBSUB, version: 1, user_point_parent: true },
    'field_not_applicable',
    'user_point_parent',
    'applies to version 2 only',
  ),
  refuse(
    "user_point_parent in Kafka's default version",
    { ...KAFKA_TOPIC, user_point_parent: true },
    'field_not_applicable',
    'user_point_parent',
    'applies to version 2 only',
  ),
  ...(['user_point_parent', 'ordering'] as const).flatMap((field) =>
    ['true', 1, []].map((value) =>
      refuse(
        `${JSON.stringify(value)} as ${field}`,
        { ...PUBSUB, [field]: value },
        `invalid_${field}`,
        field,
        `${field} must be true or false`,
      ),
    ),
  ),
  ...[0, 257, 1.5, '16', -1].map((lanes) =>
    refuse(
      `${JSON.stringify(lanes)} lanes`,
      { ...PUBSUB, ordering_lanes: lanes },
      'invalid_ordering_lanes',
      'ordering_lanes',
      'an integer from 1 to 256',
    ),
  ),
  ...[0, -1, 1.5, '1763900000000', '2025-11-23T12:13:20Z', 1e16].map((created) =>
    refuse(
      `${JSON.stringify(created)} as created`,
      { ...PUBSUB, created },
      'invalid_created',
      'created',
      'a time in ms since 1970',
    ),
  ),
  refuse(
    'no project',
    { ...PUBSUB, project_id: null },
    'missing_field',
    'project_id',
    'project_id is missing',
  ),
  ...['My Project', '', 'x'.repeat(101), 'acme/x', 7].map((project) =>
    refuse(
      `the project ${JSON.stringify(project)}`,
      { ...PUBSUB, project_id: project },
      'invalid_project_id',
      'project_id',
      'project_id must match ^[a-z0-9.:-]{1,100}$',
      { row: 13 },
    ),
  ),
  refuse('no topic', { ...PUBSUB, topic_id: undefined }, 'missing_field', 'topic_id', 'topic_id is missing'),
  ...['projects/acme/topics/users', 'google-users', 'ab', '1users', 'x'.repeat(256), 'üsers', ['users']].map(
    (topic) =>
      refuse(
        `the topic ${JSON.stringify(topic)}`,
        { ...PUBSUB, topic_id: topic },
        'invalid_topic_id',
        'topic_id',
        'topic_id must be the short id',
        { row: 14 },
      ),
  ),
  ...[
    'pubsub.googleapis.com',
    'x-pubsub.googleapis.com.evil.example',
    'https://a-pubsub.googleapis.com',
    7,
  ].map((endpoint) =>
    refuse(
      `the endpoint ${JSON.stringify(endpoint)}`,
      { ...PUBSUB, endpoint },
      'invalid_endpoint',
      'endpoint',
      'such as europe-west1-pubsub.googleapis.com',
    ),
  ),
  refuse(
    'no hub',
    { ...EVENT_HUBS, event_hub_name: null },
    'missing_field',
    'event_hub_name',
    'event_hub_name is missing',
  ),
  ...['', 'x'.repeat(257), '-users', 'a b', 'a/b', 7].map((hub) =>
    refuse(
      `the hub ${JSON.stringify(hub)}`,
      { ...EVENT_HUBS, event_hub_name: hub },
      'invalid_event_hub_name',
      'event_hub_name',
      'event_hub_name must match ^[A-Za-z0-9][A-Za-z0-9._-]{0,255}$',
      { row: 15 },
    ),
  ),
  refuse('no Kafka topic', { ...KAFKA_TOPIC, topic: null }, 'missing_field', 'topic', 'topic is missing'),
  ...['', '..', 'a b', 'x'.repeat(250), '__consumer_offsets', 7].map((topic) =>
    refuse(
      `the Kafka topic ${JSON.stringify(topic)}`,
      { ...KAFKA_TOPIC, topic },
      'invalid_topic',
      'topic',
      'topic must',
    ),
  ),
  refuse(
    "a topic of the program's own",
    { ...KAFKA_TOPIC, topic: OWN_TOPIC },
    'invalid_topic',
    'topic',
    "must not be one of this program's own",
    { beyondSchema: BY_SETTINGS },
  ),
  ...[[], 'kafka.acme.example:9092', [9092]].map((brokers) =>
    refuse(
      `the brokers ${JSON.stringify(brokers)}`,
      { ...KAFKA_TOPIC, brokers },
      'invalid_brokers',
      'brokers',
      'must be a list like ["host:9092"]',
    ),
  ),
  refuse(
    'a broker that is not listed',
    { ...KAFKA_TOPIC, brokers: [ALLOWED_BROKERS[0], '169.254.169.254:9092'] },
    'invalid_brokers',
    'brokers',
    'SINKS_KAFKA_BROKERS',
    { beyondSchema: BY_SETTINGS },
  ),
  refuse(
    'credentials for the own cluster',
    { ...KAFKA_TOPIC, credentials_uri: 'file:acme.json' },
    'field_not_applicable',
    'credentials_uri',
    'credentials_uri needs brokers',
  ),
  refuse('no path', { ...FILE, path: undefined }, 'missing_field', 'path', 'path is missing'),
  ...[
    '',
    '/etc/passwd',
    '..',
    '../x',
    'a/../../x',
    'a/..',
    '.',
    './',
    'a/',
    'a\\b',
    'a\u0000',
    'a\ud800',
    7,
  ].map((path) =>
    refuse(`the path ${JSON.stringify(path)}`, { ...FILE, path }, 'invalid_path', 'path', 'path must'),
  ),
  refuse('a path with a long name', { ...FILE, path: 'é'.repeat(128) }, 'invalid_path', 'path', '255 bytes', {
    beyondSchema: 'it counts bytes',
  }),
];

const UNCHANGEABLE = "can't be changed; create a new replication";

const change = (
  field: string,
  previous: JsonRecord,
  changes: JsonRecord,
  code: ConfigProblemCode = 'immutable_field',
): RefusedCase => ({
  what: `another ${field} of ${String(previous.type)}`,
  row: code === 'filters_immutable' ? 19 : 20,
  previous,
  record: { ...previous, ...changes },
  code,
  field,
  words: `${field} ${UNCHANGEABLE}`,
});

/** Valid by themselves, and refused as changes of what is in force. */
export const CHANGE_CASES: readonly RefusedCase[] = [
  change('datamart_id', PUBSUB, { datamart_id: '7' }),
  change('type', PUBSUB, { ...EVENT_HUBS, id: '80', project_id: null, topic_id: null }),
  change('version', PUBSUB, { version: 1 }),
  change('version', { ...PUBSUB, version: 1 }, { version: null }),
  change('version', KAFKA_TOPIC, { version: 2 }),
  change('project_id', PUBSUB, { project_id: 'other' }),
  change('topic_id', PUBSUB, { topic_id: 'other' }),
  change('endpoint', PUBSUB, { endpoint: 'europe-west1-pubsub.googleapis.com' }),
  change('event_hub_name', EVENT_HUBS, { event_hub_name: 'other' }),
  change('topic', KAFKA_TOPIC, { topic: 'other' }),
  change('brokers', KAFKA_TOPIC, { brokers: [ALLOWED_BROKERS[0]] }),
  change('path', FILE, { path: 'acme/91.jsonl' }),
  ...[FULL_PUBSUB, { ...FULL_PUBSUB, created: null }].map((previous) =>
    change('topic_id', previous, { topic_id: 'other', status: 'PAUSED' }),
  ),
  change(
    'replication_filters',
    PUBSUB,
    { replication_filters: filtersOf('USER_POINT') },
    'filters_immutable',
  ),
  change('replication_filters', FULL_PUBSUB, { replication_filters: null }, 'filters_immutable'),
  change(
    'replication_filters',
    FULL_PUBSUB,
    { replication_filters: filtersOf('USER_SEGMENT', 'USER_EMAIL') },
    'filters_immutable',
  ),
];

const nested = (levels: number): Buffer =>
  Buffer.from(
    `${JSON.stringify(PUBSUB).slice(0, -1)},"metadata":${'['.repeat(levels)}${']'.repeat(levels)}}`,
  );

export const UNREADABLE_CASES: readonly UnreadableCase[] = [
  ...[
    ['an empty value', '', 'line 1, column 1'],
    ['a cut off object', '{"id":', 'line 1, column 7'],
    [
      "the product page's own example, which has no name,",
      '{\n\t"status": "PAUSED",\n\t"name": ,\n}',
      'line 3, column 10',
    ],
    ['a comma too many', '{"id":"80",}', 'line 1, column 12'],
    ['two objects', '{} {}', 'line 1, column 4'],
    ['a text without quotes', 'acme', 'line 1, column 1'],
  ].map(([what = '', text = '', place = '']) => ({
    what,
    row: 40,
    value: Buffer.from(text),
    code: 'config_unparseable' as const,
    field: null,
    words: `the record is not valid JSON (${place})`,
  })),
  ...['[]', 'null', '"80"', '80'].map((text) => ({
    what: `${text} instead of an object`,
    row: 40,
    value: Buffer.from(text),
    code: 'config_unparseable' as const,
    field: null,
    words: 'the record is not a JSON object',
  })),
  {
    what: 'what is not UTF-8',
    row: 40,
    value: Buffer.from([0x7b, 0xff, 0x7d]),
    code: 'config_unparseable',
    field: null,
    words: 'the record is not UTF-8',
  },
  ...[2, 0, '1'].map((v) => ({
    what: `the form's version ${JSON.stringify(v)}`,
    row: 40,
    value: Buffer.from(JSON.stringify({ v, ...PUBSUB })),
    code: 'config_unparseable' as const,
    field: 'v',
    words: 'must be 1 or left out',
  })),
  ...[32, 30_000].map((levels) => ({
    what: `a list ${levels} deep in the record`,
    row: 40,
    value: nested(levels),
    code: 'config_unparseable' as const,
    field: null,
    words: 'the record nests deeper than 32 levels',
  })),
  {
    what: 'a list 31 deep in the record, which is read,',
    value: nested(31),
    code: 'invalid_metadata',
    field: 'metadata',
    words: 'metadata must be',
  },
  {
    what: 'a record of 64 KiB and a byte',
    row: 2,
    value: Buffer.from(JSON.stringify(PUBSUB).padEnd(65_537)),
    code: 'payload_too_large',
    field: null,
    words: 'the record is 65537 bytes long; at most 65536 are allowed',
  },
];

const idsFrom = (first: number, count: number, record: JsonRecord): JsonRecord[] =>
  Array.from({ length: count }, (_, i) => ({ ...record, id: String(first + i) }));

export const NEIGHBOUR_CASES: readonly NeighbourCase[] = [
  {
    what: 'the last replication that a datamart may have',
    others: idsFrom(1, 2, PUBSUB),
    record: PUBSUB,
    maxPerDatamart: 3,
    refusal: null,
  },
  {
    what: 'one replication too many',
    others: idsFrom(1, 3, PUBSUB),
    record: PUBSUB,
    maxPerDatamart: 3,
    refusal: { code: 'too_many_replications', field: 'datamart_id', words: 'at most 3 replications' },
  },
  {
    what: 'a change of one that is in force where the limit was lowered',
    others: idsFrom(80, 3, PUBSUB),
    record: PUBSUB,
    maxPerDatamart: 2,
    refusal: null,
  },
  {
    what: 'the first replication of another datamart',
    others: idsFrom(1, 3, PUBSUB),
    record: { ...PUBSUB, datamart_id: '7' },
    maxPerDatamart: 3,
    refusal: null,
  },
  {
    what: 'an id of another datamart that is created anew in a full one',
    others: [...idsFrom(1, 3, PUBSUB), { ...PUBSUB, datamart_id: '7' }],
    record: { ...PUBSUB, created: 2 },
    maxPerDatamart: 3,
    refusal: { code: 'too_many_replications', field: 'datamart_id', words: 'delete one first' },
  },
  {
    what: 'a second replication to a file',
    others: [{ ...FILE, id: '89', path: 'acme/./90.jsonl' }],
    record: FILE,
    maxPerDatamart: 100,
    refusal: {
      code: 'invalid_path',
      field: 'path',
      words: 'path is in use by replication 89; choose another one',
    },
  },
  {
    what: "a file of another customer's replication, which isn't named,",
    others: [{ ...FILE, id: '89', datamart_id: '7' }],
    record: FILE,
    maxPerDatamart: 100,
    refusal: { code: 'invalid_path', field: 'path', words: 'path is in use by another replication' },
  },
  {
    what: 'a file of its own',
    others: [FILE, { ...FILE, id: '89', path: 'acme/89.jsonl' }],
    record: { ...FILE, name: 'renamed' },
    maxPerDatamart: 100,
    refusal: null,
  },
  {
    what: 'a topic that others publish to',
    others: idsFrom(1, 3, PUBSUB),
    record: PUBSUB,
    maxPerDatamart: 100,
    refusal: null,
  },
];
