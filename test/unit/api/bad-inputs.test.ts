import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { API_ERROR_CODES, type ApiErrorCode } from '../../../api/api-error.ts';
import { CONFIG_PROBLEM_CODES } from '../../../processors/config-problem.ts';
import {
  ApiUnderTest,
  CONNECTION_STRING,
  EVENT_HUBS,
  formOf,
  PUBSUB,
  REPLICATIONS,
  type Answer,
  type Request,
} from '../../support/api-under-test.ts';
import { undocumentedRefusals } from '../../support/documented-codes.ts';
import { aServiceAccountFile, RSA_PRIVATE_KEY } from '../../support/service-account.ts';

/** One API for all rows: what is refused leaves nothing behind. */
const api = new ApiUnderTest();

beforeAll(() => {
  api.plane.given({ id: '80', datamart_id: '1649', ...PUBSUB, status: 'PAUSED' });
  api.plane.given({ id: '81', datamart_id: '1649', ...EVENT_HUBS, status: 'PAUSED' });
  api.plane.given({
    id: '82',
    datamart_id: '1649',
    ...PUBSUB,
    status: 'PAUSED',
    credentials_uri: 'sealed:82',
  });
  api.plane.given({
    id: '83',
    datamart_id: '1649',
    ...PUBSUB,
    status: 'ACTIVE',
    credentials_uri: 'sealed:83',
  });
  api.plane.given({ id: '90', datamart_id: '1649', name: 'file', type: 'FILE', path: 'a.jsonl' });
  api.plane.given({
    id: '91',
    datamart_id: '1649',
    name: 'k',
    type: 'KAFKA_TOPIC',
    topic: 'a',
    brokers: ['kafka-1:9092'],
  });
  api.plane.given({ id: '92', datamart_id: '1649', name: 'acme', type: 'ACME_QUEUE', queue: 'q' });
  const refusal = { code: 'permission_denied', message: 'no right to publish', remedy: 'grant the role' };
  api.destinations.refusals.set('82', refusal);
  api.destinations.refusals.set('83', refusal);
});

afterAll(() => api.close());

const create = (body: unknown, request: Request = {}) => api.call('POST', REPLICATIONS, { body, ...request });
const change = (body: unknown, id = '80', request: Request = {}) =>
  api.call('PUT', `${REPLICATIONS}/${id}`, { body, ...request });
const upload = (file: string | Buffer, id = '80') => api.upload(id, file);
const form = (parts: Parameters<typeof formOf>[0]) =>
  api.call('POST', `${REPLICATIONS}/80/credentials`, formOf(parts));
const keyFile = (changes: Record<string, unknown>) => upload(aServiceAccountFile(changes));
const connection = (text: string) => upload(text, '81');
const filters = (replication_filters: unknown) => create({ ...PUBSUB, replication_filters });

type Row = readonly [what: string, call: () => Promise<Answer>, status: number, code: string, field?: string];

/** The numbers are those of the list of bad inputs (RELIABILITY, section 7). */
const ROWS: readonly Row[] = [
  ['1: a body that is not JSON', () => create('{"name": tru}'), 400, 'invalid_json'],
  ['1: a body that is cut off', () => create('{"name": "a'), 400, 'invalid_json'],
  ['1: a body that is no object', () => create([PUBSUB]), 400, 'invalid_json'],
  ['1: an empty body', () => create(''), 400, 'invalid_json'],
  ['1: a body that is not UTF-8', () => create(Buffer.from('7b22ff227d', 'hex')), 400, 'invalid_json'],
  ['1: a body that nests too deep', () => create('['.repeat(40) + ']'.repeat(40)), 400, 'invalid_json'],
  ['2: a body over 64 KiB', () => create({ ...PUBSUB, name: 'x'.repeat(70_000) }), 413, 'payload_too_large'],
  ['3: an unknown field', () => create({ ...PUBSUB, projct_id: 'x' }), 400, 'unknown_field', 'projct_id'],
  ['3: an unknown field that is null', () => create({ ...PUBSUB, foo: null }), 400, 'unknown_field', 'foo'],
  ['3: an unknown field in a change', () => change({ nam: 'x' }), 400, 'unknown_field', 'nam'],
  ['3: a time of creation', () => change({ created: 1 }), 400, 'unknown_field', 'created'],
  ['3: the form of a record', () => create({ ...PUBSUB, v: 1 }), 400, 'unknown_field', 'v'],
  ['3: __proto__', () => create('{"__proto__":{"type":"FILE"},"name":"a"}'), 400, 'missing_field', 'type'],
  ['3: __proto__ in a change', () => change('{"__proto__":{"name":"x"}}'), 400, 'unknown_field', '__proto__'],
  ['3: constructor', () => change('{"constructor":{}}'), 400, 'unknown_field', 'constructor'],
  ['4: no type', () => create({ name: 'a' }), 400, 'missing_field', 'type'],
  ['4: no name', () => create({ ...PUBSUB, name: undefined }), 400, 'missing_field', 'name'],
  ['4: no project', () => create({ ...PUBSUB, project_id: undefined }), 400, 'missing_field', 'project_id'],
  ['4: a name that is taken away', () => change({ name: null }), 400, 'missing_field', 'name'],
  ['5: a type that is none', () => create({ ...PUBSUB, type: 'KAFKA' }), 400, 'unsupported_type', 'type'],
  ['5: a type of another kind', () => create({ ...PUBSUB, type: {} }), 400, 'unsupported_type', 'type'],
  [
    '6: ACTIVE at the creation',
    () => create({ ...PUBSUB, status: 'ACTIVE' }),
    400,
    'initial_status_must_be_paused',
    'status',
  ],
  [
    '6: ERROR at the creation',
    () => create({ ...PUBSUB, status: 'ERROR' }),
    400,
    'initial_status_must_be_paused',
    'status',
  ],
  [
    '6: a status that is none',
    () => create({ ...PUBSUB, status: 'RUNNING' }),
    400,
    'invalid_status',
    'status',
  ],
  [
    '7: another datamart',
    () => create({ ...PUBSUB, datamart_id: '1700' }),
    400,
    'datamart_mismatch',
    'datamart_id',
  ],
  [
    '7: another datamart in a change',
    () => change({ datamart_id: 1700 }),
    400,
    'datamart_mismatch',
    'datamart_id',
  ],
  [
    '8: a datamart that the token doesn’t cover',
    () => api.call('GET', REPLICATIONS, { token: 'other' }),
    404,
    'not_found',
  ],
  [
    '8: another datamart’s replication',
    () => api.call('GET', '/v1/datamarts/1700/replications/80', { token: 'other' }),
    404,
    'not_found',
  ],
  [
    '8: a datamart that is no id',
    () => api.call('GET', '/v1/datamarts/01649/replications', { token: 'ops' }),
    404,
    'not_found',
  ],
  ['9: no Authorization', () => api.call('GET', REPLICATIONS, { token: null }), 401, 'unauthorized'],
  [
    '9: a malformed Authorization',
    () => api.call('GET', REPLICATIONS, { token: null, headers: { authorization: 'Bearer x' } }),
    401,
    'unauthorized',
  ],
  [
    '9: an unknown token',
    () => api.call('GET', REPLICATIONS, { token: null, headers: { authorization: 'api:nobody' } }),
    401,
    'unauthorized',
  ],
  [
    '10: version 2 of Event Hubs',
    () => create({ ...EVENT_HUBS, version: 2 }),
    400,
    'version_not_supported_for_type',
    'version',
  ],
  [
    '11: version 1 of a new Pub/Sub',
    () => create({ ...PUBSUB, version: 1 }),
    400,
    'version_not_allowed',
    'version',
  ],
  ['12: version 3', () => create({ ...PUBSUB, version: 3 }), 400, 'invalid_version', 'version'],
  ['12: version "2"', () => create({ ...PUBSUB, version: '2' }), 400, 'invalid_version', 'version'],
  ['12: version 2.5', () => create({ ...PUBSUB, version: 2.5 }), 400, 'invalid_version', 'version'],
  [
    '13: a project’s name',
    () => create({ ...PUBSUB, project_id: 'My Project' }),
    400,
    'invalid_project_id',
    'project_id',
  ],
  [
    '14: a topic’s full name',
    () => create({ ...PUBSUB, topic_id: 'projects/x/topics/y' }),
    400,
    'invalid_topic_id',
    'topic_id',
  ],
  [
    '14: a topic that begins with goog',
    () => create({ ...PUBSUB, topic_id: 'google' }),
    400,
    'invalid_topic_id',
    'topic_id',
  ],
  [
    '14: a foreign endpoint',
    () => create({ ...PUBSUB, endpoint: 'evil.example' }),
    400,
    'invalid_endpoint',
    'endpoint',
  ],
  [
    '15: an empty event hub',
    () => create({ ...EVENT_HUBS, event_hub_name: '' }),
    400,
    'invalid_event_hub_name',
    'event_hub_name',
  ],
  [
    '15: a long event hub',
    () => create({ ...EVENT_HUBS, event_hub_name: 'x'.repeat(257) }),
    400,
    'invalid_event_hub_name',
    'event_hub_name',
  ],
  [
    '16: Pub/Sub fields on Azure',
    () => create({ ...EVENT_HUBS, topic_id: 'users' }),
    400,
    'field_not_applicable',
    'topic_id',
  ],
  [
    '17: an unknown document',
    () => filters([{ document: 'USER_FOO' }]),
    400,
    'unknown_document',
    'replication_filters',
  ],
  [
    '17: a filter',
    () => filters([{ document: 'USER_EMAIL', filter: 'x' }]),
    400,
    'filter_not_supported',
    'replication_filters',
  ],
  [
    '17: filters that are no list',
    () => filters('USER_EMAIL'),
    400,
    'invalid_replication_filters',
    'replication_filters',
  ],
  ['18: no filters', () => filters([]), 400, 'empty_filters', 'replication_filters'],
  [
    '19: changed filters',
    () => change({ replication_filters: [{ document: 'USER_EMAIL' }] }),
    409,
    'filters_immutable',
    'replication_filters',
  ],
  ['20: another version', () => change({ version: 1 }), 409, 'immutable_field', 'version'],
  [
    '20: another type',
    () => change({ ...EVENT_HUBS, project_id: null, topic_id: null }),
    409,
    'immutable_field',
    'type',
  ],
  ['20: another topic', () => change({ topic_id: 'others' }), 409, 'immutable_field'],
  ['21: no file', () => form([]), 400, 'missing_file', 'file'],
  [
    '21: a field of another name',
    () => form([{ name: 'credentials', file: 'x', filename: null }]),
    400,
    'missing_file',
    'file',
  ],
  [
    '21: no form at all',
    () => api.call('POST', `${REPLICATIONS}/80/credentials`),
    400,
    'missing_file',
    'file',
  ],
  ['21: an empty file', () => upload(' \r\n'), 400, 'missing_file', 'file'],
  [
    '21: two files',
    () =>
      form([
        { name: 'file', file: 'a' },
        { name: 'file', file: 'b' },
      ]),
    400,
    'too_many_files',
    'file',
  ],
  [
    '21: three files',
    () => form(['a', 'b', 'c'].map((file) => ({ name: 'file', file }))),
    400,
    'too_many_files',
    'file',
  ],
  [
    '21: a broken form',
    () =>
      api.call('POST', `${REPLICATIONS}/80/credentials`, {
        body: Buffer.from('nonsense'),
        headers: { 'content-type': 'multipart/form-data; boundary=x' },
      }),
    400,
    'missing_file',
    'file',
  ],
  [
    '21: a form without boundary',
    () =>
      api.call('POST', `${REPLICATIONS}/80/credentials`, {
        body: Buffer.from('nonsense'),
        headers: { 'content-type': 'multipart/form-data' },
      }),
    400,
    'missing_file',
    'file',
  ],
  ['22: a file over 16 KiB', () => upload('x'.repeat(16 * 1024 + 1)), 413, 'credentials_too_large', 'file'],
  [
    '22: a text over 16 KiB',
    () => form([{ name: 'file', file: 'x'.repeat(16 * 1024 + 1), filename: null }]),
    413,
    'credentials_too_large',
    'file',
  ],
  [
    '22: a form that goes on and on',
    () => upload('x'.repeat(2_000_000)),
    413,
    'credentials_too_large',
    'file',
  ],
  [
    '23: external_account',
    () => keyFile({ type: 'external_account' }),
    400,
    'credential_type_not_allowed',
    'credentials',
  ],
  [
    '23: authorized_user',
    () => keyFile({ type: 'authorized_user' }),
    400,
    'credential_type_not_allowed',
    'credentials',
  ],
  [
    '24: no private key',
    () => keyFile({ private_key: undefined }),
    400,
    'invalid_private_key',
    'credentials',
  ],
  [
    '24: a private key that is none',
    () => keyFile({ private_key: 'secret-text' }),
    400,
    'invalid_private_key',
    'credentials',
  ],
  ['24: no client e-mail', () => keyFile({ client_email: undefined }), 400, 'missing_field', 'credentials'],
  ['24: no JSON', () => upload('{secret'), 400, 'invalid_json', 'credentials'],
  [
    '26: another universe',
    () => keyFile({ universe_domain: 'evil.example' }),
    400,
    'untrusted_universe',
    'credentials',
  ],
  [
    '27: Google’s for Azure',
    () => connection(aServiceAccountFile()),
    400,
    'credential_kind_mismatch',
    'credentials',
  ],
  ['27: Azure’s for Google', () => upload(CONNECTION_STRING), 400, 'credential_kind_mismatch', 'credentials'],
  [
    '28: no SharedAccessKey',
    () => connection('Endpoint=sb://acme-users.servicebus.windows.net/;SharedAccessKeyName=a'),
    400,
    'incomplete_connection_string',
    'credentials',
  ],
  [
    '29: the metadata address',
    () => connection(CONNECTION_STRING.replace('acme-users.servicebus.windows.net', '169.254.169.254')),
    400,
    'untrusted_endpoint',
    'credentials',
  ],
  [
    '29: a port',
    () => connection(CONNECTION_STRING.replace('.net/', '.net:443/')),
    400,
    'untrusted_endpoint',
    'credentials',
  ],
  [
    '30: the emulator',
    () => connection(`${CONNECTION_STRING};UseDevelopmentEmulator=true`),
    400,
    'emulator_not_allowed',
    'credentials',
  ],
  [
    '31: another event hub',
    () => connection(`${CONNECTION_STRING};EntityPath=others`),
    400,
    'entity_path_mismatch',
    'credentials',
  ],
  [
    '32: a control character',
    () => connection(`${CONNECTION_STRING}\u0007;EntityPath=users`),
    400,
    'invalid_characters',
    'credentials',
  ],
  [
    '32: bytes that are no text',
    () => upload(Buffer.from([0xff, 0xfe, 0x00])),
    400,
    'invalid_characters',
    'credentials',
  ],
  ['32: credentials for what takes none', () => upload('x', '90'), 400, 'field_not_applicable'],
  [
    '33: activating without credentials',
    () => change({ status: 'ACTIVE' }),
    409,
    'credentials_missing',
    'credentials_uri',
  ],
  ['34: a destination that refuses', () => change({ status: 'ACTIVE' }, '82'), 422, 'activation_failed'],
  [
    '34: new credentials that the destination refuses',
    () => upload(aServiceAccountFile(), '83'),
    422,
    'activation_failed',
  ],
  ['39: another id in the body', () => change({ id: '81' }), 400, 'config_key_mismatch', 'id'],
  [
    'a name that is too long',
    () => create({ ...PUBSUB, name: 'x'.repeat(256) }),
    400,
    'invalid_name',
    'name',
  ],
  ['resume that is none', () => change({ resume: 'LATER' }), 400, 'invalid_resume', 'resume'],
  ['metadata that is none', () => change({ metadata: ['ts'] }), 400, 'invalid_metadata', 'metadata'],
  ['a flag that is a text', () => change({ ordering: 'yes' }), 400, 'invalid_ordering', 'ordering'],
  [
    'another flag that is a text',
    () => change({ user_point_parent: 'yes' }),
    400,
    'invalid_user_point_parent',
    'user_point_parent',
  ],
  ['too many lanes', () => change({ ordering_lanes: 257 }), 400, 'invalid_ordering_lanes', 'ordering_lanes'],
  [
    'a customer’s credentials_uri',
    () => create({ ...PUBSUB, credentials_uri: 'file:other.json' }),
    403,
    'forbidden',
    'credentials_uri',
  ],
  [
    'a customer’s change of credentials_uri',
    () => change({ credentials_uri: 'file:other.json' }),
    403,
    'forbidden',
    'credentials_uri',
  ],
  [
    'a customer who takes credentials_uri away',
    () => change({ credentials_uri: null }, '82'),
    403,
    'forbidden',
    'credentials_uri',
  ],
  ['a customer’s FILE', () => create({ name: 'f', type: 'FILE', path: 'a' }), 403, 'forbidden', 'type'],
  [
    'an operator’s foreign sealed:',
    () => change({ credentials_uri: 'sealed:82' }, '80', { token: 'ops' }),
    400,
    'invalid_credentials_uri',
    'credentials_uri',
  ],
  [
    'an operator’s path upwards',
    () => create({ name: 'f', type: 'FILE', path: '../a' }, { token: 'ops' }),
    400,
    'invalid_path',
    'path',
  ],
  [
    'a third party’s field',
    () => create({ name: 'q', type: 'ACME_QUEUE', queue: 5 }, { token: 'ops' }),
    400,
    'invalid_field',
    'queue',
  ],
  ['a third party’s credentials', () => upload('bad', '92'), 400, 'invalid_field', 'credentials'],
  ['an unknown replication', () => api.call('GET', `${REPLICATIONS}/84`), 404, 'not_found'],
  ['an id that can be none', () => api.call('GET', `${REPLICATIONS}/%00`), 404, 'not_found'],
  [
    'If-Match that is no version',
    () => change({ name: 'x' }, '80', { headers: { 'if-match': 'W/"1"' } }),
    412,
    'precondition_failed',
  ],
  [
    'an operator’s own topic',
    () => create({ name: 'k', type: 'KAFKA_TOPIC', topic: 'replication-config' }, { token: 'ops' }),
    400,
    'invalid_topic',
    'topic',
  ],
  [
    'an operator’s foreign brokers',
    () => create({ name: 'k', type: 'KAFKA_TOPIC', topic: 'a', brokers: ['evil:9092'] }, { token: 'ops' }),
    400,
    'invalid_brokers',
    'brokers',
  ],
  [
    'credentials of a Kafka topic',
    () => upload('{"user":"x"}', '91'),
    400,
    'invalid_credentials',
    'credentials',
  ],
  ['an unknown parameter', () => api.call('GET', `${REPLICATIONS}?page=2`), 400, 'invalid_parameter', 'page'],
  ['a method that isn’t there', () => api.call('PATCH', REPLICATIONS), 405, 'method_not_allowed'],
  [
    'another media type',
    () => create('name=x', { headers: { 'content-type': 'text/plain' } }),
    415,
    'unsupported_media_type',
  ],
  [
    'the plan of an initial synchronization of nothing',
    () => api.call('POST', '/v1/datamarts/1649/replication_job_executions/plan'),
    409,
    'no_active_replication',
  ],
  [
    'an operator’s file that another one writes',
    () => create({ name: 'f', type: 'FILE', path: 'a.jsonl' }, { token: 'ops' }),
    400,
    'invalid_path',
    'path',
  ],
];

describe('refuses', () => {
  test.each(ROWS)('%s', async (...[, call, status, code, field]: Row) => {
    const before = api.plane.written.length;

    const answer = await call();

    expect({ status: answer.status, code: answer.code }).toEqual({ status, code });
    if (field !== undefined) expect(answer.body.field).toBe(field);
    expect(answer.body).toMatchObject({ status: 'error', error: expect.stringMatching(/\w/), details: {} });
    expect(answer.body.error_id).toMatch(/^[0-9a-f-]{36}$/);
    expect(api.log.lines.some(({ fields }) => fields.error_id === answer.body.error_id)).toBe(true);
    expect(api.plane.written).toHaveLength(before);
    expect(api.plane.sealed.size).toBe(0);
  });
});

/** Codes that need more than one request, and the test that has them. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  invalid_request: 'connections.test.ts',
  request_timeout: 'connections.test.ts',
  headers_too_large: 'connections.test.ts',
  rate_limited: 'http.test.ts',
  internal_error: 'http.test.ts',
  not_ready: 'http.test.ts',
  write_not_confirmed: 'http.test.ts',
  too_many_replications: 'replications.test.ts',
  credentials_key_missing: 'credentials-upload.test.ts',
  invalid_id: 'executions.test.ts',
  invalid_replication_ids: '../../support/sync-cases.ts',
  replication_not_active: '../../support/sync-cases.ts',
  sync_too_soon: '../../support/sync-cases.ts',
  no_active_replication: 'executions.test.ts',
  sync_in_progress: 'executions.test.ts',
  sync_already_running: 'executions.test.ts',
  execution_ended: 'executions.test.ts',
  snapshot_stale: 'executions.test.ts',
};
/** The explainer's own. */
const OF_PORTS: readonly ApiErrorCode[] = ['invalid_mutation'];
/** HTTP never asks for these: the path decides the fields. */
const NOT_OVER_HTTP: readonly ApiErrorCode[] = ['invalid_datamart_id', 'invalid_created'];

test('every code of the control topic is one of the API', () => {
  const ofTopicOnly = ['config_unparseable'];

  expect(CONFIG_PROBLEM_CODES.filter((code) => !API_ERROR_CODES.some((each) => each === code))).toEqual(
    ofTopicOnly,
  );
});

test('every code that can be answered is among these, and documented for the call that answers it', async () => {
  const folder = new URL('.', import.meta.url);
  for (const [, call] of ROWS) await call();
  const answered = new Set(ROWS.map(([, , , code]) => code));
  const elsewhere = Object.entries(ELSEWHERE).map(([code, file]) => {
    expect(`${file}: ${readFileSync(new URL(file, folder), 'utf8')}`).toContain(`'${code}'`);
    return code;
  });

  const covered = new Set([...answered, ...elsewhere, ...OF_PORTS, ...NOT_OVER_HTTP]);

  expect([...covered].sort()).toEqual([...API_ERROR_CODES].sort());
  expect(await undocumentedRefusals(api)).toEqual([]);
});

test('no answer and no log line repeats what was uploaded', async () => {
  await keyFile({ private_key: 'secret-text' });
  await upload('{secret-text');
  await connection(`${CONNECTION_STRING};EntityPath=secret-text`);

  const told = JSON.stringify(api.log.lines);

  expect(told).not.toContain('secret-text');
  expect(told).not.toContain(RSA_PRIVATE_KEY.slice(40, 80));
  expect(told).not.toContain('c2VjcmV0');
});

test('says where a body breaks, and not what it holds', async () => {
  const { body } = await create('{\n  "name": "secret",\n  "type": GOOGLE\n}');
  const trailing = await create('{"replication_filters":[{"document":"USER_SEGMENT","filter":null,}]}');

  expect(body.error).toBe('body is not valid JSON (line 3, column 11)');
  expect(trailing.body).toMatchObject({
    error: 'body is not valid JSON (line 1, column 66)',
    hint: 'JSON has no comma before } or ]',
  });
});

test('says the destination’s code, its words and what helps', async () => {
  const { body } = await change({ status: 'ACTIVE' }, '82');

  expect(body).toMatchObject({
    error: "the destination can't be used: no right to publish",
    hint: 'grant the role',
    details: { code: 'permission_denied', message: 'no right to publish', remedy: 'grant the role' },
  });
});
