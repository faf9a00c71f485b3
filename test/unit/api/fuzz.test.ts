import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { FILTER_NAMES } from '../../../schemas/document-type.ts';
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
import { aServiceAccountFile } from '../../support/service-account.ts';

const token = fc.constantFrom('acme', 'acme', 'acme', 'ops', 'other', null);
const datamart = fc.oneof(
  { weight: 8, arbitrary: fc.constant('1649') },
  fc.constantFrom('1700', '01649', '*', '..', '%00', '__proto__'),
);
const id = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('80', '81', '82', '90') },
  fc.constantFrom('99', 'constructor', '%2e%2e', '%ff', 'x'.repeat(150)),
  fc.string({ maxLength: 20 }).map(encodeURIComponent),
);

const anything = fc.anything({ withNullPrototype: true, maxDepth: 4, maxKeys: 6 });
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.constantFrom('', ' ', '\0', '__proto__'),
);

/** Fields of a replication with values that are right, nearly right, or anything. */
const fields = fc.record(
  {
    id: fc.oneof(fc.constantFrom('80', 80), anything),
    datamart_id: fc.oneof(fc.constantFrom('1649', 1649), anything),
    name: fc.oneof(text, anything),
    type: fc.constantFrom<unknown>(
      'GOOGLE_PUBSUB',
      'AZURE_EVENT_HUBS',
      'FILE',
      'ACME_QUEUE',
      'KAFKA',
      null,
      {},
    ),
    status: fc.constantFrom<unknown>('ACTIVE', 'PAUSED', 'ERROR', 'active', null, 1),
    version: fc.constantFrom<unknown>(1, 2, 3, '2', null, 2.5, -0, 1e400),
    project_id: fc.oneof(fc.constant('acme'), text),
    topic_id: fc.oneof(fc.constantFrom('users', 'google'), text),
    event_hub_name: fc.oneof(fc.constant('users'), text),
    path: fc.oneof(fc.constantFrom('a', '../a', '/etc/passwd', 'a/../../b'), text),
    queue: anything,
    credentials_uri: fc.oneof(
      fc.constantFrom('sealed:80', 'sealed:82', 'file:a', 'file:///etc/passwd', null),
      text,
    ),
    replication_filters: fc.oneof(
      fc.array(fc.record({ document: fc.constantFrom(...FILTER_NAMES), filter: fc.constant(null) })),
      fc.array(anything, { maxLength: 3 }),
      anything,
    ),
    resume: fc.constantFrom<unknown>(null, 'NOW', 'WHERE_STOPPED', 'LATER'),
    metadata: fc.oneof(fc.constantFrom<unknown>([], ['message_id']), anything),
    ordering: fc.oneof(fc.boolean(), anything),
    ordering_lanes: fc.oneof(fc.integer(), fc.double(), anything),
    observed: anything,
    created: anything,
  },
  { requiredKeys: [] },
);
/** A replication with a few fields that are somehow. */
const likely = fc
  .tuple(fc.constantFrom({}, PUBSUB, EVENT_HUBS), fields, fc.array(fc.nat(17), { maxLength: 3 }))
  .map(([base, changes, picked]) => {
    const few = Object.entries(changes).filter((_entry, i) => picked.includes(i));
    return { ...base, ...Object.fromEntries(few) };
  });

/** Replications that can be created, with every option that applies. */
const valid = fc
  .tuple(
    fc.constantFrom(PUBSUB, EVENT_HUBS),
    fc.record(
      {
        name: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
        replication_filters: fc
          .subarray([...FILTER_NAMES], { minLength: 1 })
          .map((names) => names.map((document) => ({ document, filter: null }))),
        resume: fc.constantFrom(null, 'NOW', 'WHERE_STOPPED'),
        metadata: fc.constantFrom([], ['message_id']),
        ordering: fc.boolean(),
        ordering_lanes: fc.integer({ min: 1, max: 256 }),
        credentials_uri: fc.constantFrom(null, 'file:acme.json'),
      },
      { requiredKeys: [] },
    ),
  )
  .map(([base, options]) => ({ ...base, ...options }));

const jsonBody = fc.oneof(
  valid.map((body) => JSON.stringify(body)),
  fc.constantFrom('{"name":"renamed"}', '{"status":"PAUSED"}', '{"status":"ACTIVE"}'),
  likely.map((body) => JSON.stringify(body)),
  fc.json({ maxDepth: 5 }),
  anything.map((body) => JSON.stringify(body) ?? 'undefined'),
  fc.constantFrom(
    '{"__proto__":{"status":"ACTIVE"}}',
    '{"constructor":{"prototype":{"x":1}}}',
    '[[[['.repeat(20),
  ),
  text,
);
const rawBody = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
const body = fc.oneof({ weight: 6, arbitrary: jsonBody }, rawBody);

const credentials = fc.oneof(
  fc.constantFrom(aServiceAccountFile(), CONNECTION_STRING, ''),
  fc
    .tuple(fc.constantFrom(aServiceAccountFile(), CONNECTION_STRING), fc.nat(400), text)
    .map(([good, at, inserted]) => `${good.slice(0, at)}${inserted}${good.slice(at)}`),
  fc
    .dictionary(fc.constantFrom('type', 'project_id', 'private_key', '__proto__'), anything)
    .map((file) => JSON.stringify(file)),
  fc
    .array(
      fc.constantFrom(
        'Endpoint=sb://',
        'SharedAccessKey=',
        ';',
        'a.servicebus.windows.net',
        '/',
        '=',
        '@',
        '169.254.169.254',
      ),
    )
    .map((parts) => parts.join('')),
  rawBody,
);
const form = fc.oneof(
  fc
    .array(
      fc.record({
        name: fc.constantFrom('file', 'other', '__proto__', 'toString', ''),
        file: credentials,
        filename: fc.constantFrom('a.json', '../../a', null),
      }),
      { maxLength: 4 },
    )
    .map((parts) => formOf(parts)),
  rawBody.map((bytes) => ({ body: bytes, headers: { 'content-type': 'multipart/form-data; boundary=x' } })),
);

const query = fc.oneof(
  fc.constant(''),
  fc
    .array(
      fc.tuple(
        fc.constantFrom(
          'first_result',
          'max_results',
          'keywords',
          'reason',
          'since',
          'until',
          '__proto__',
          'x',
        ),
        fc.oneof(
          fc.constantFrom('0', '1', '50', '-1', '1e3', 'rejected', '%', '2026-11-24T08:00:00Z'),
          text.map(tryEncode),
        ),
      ),
      { maxLength: 3 },
    )
    .map((pairs) => `?${pairs.map((pair) => pair.join('=')).join('&')}`),
);
const headers = fc.dictionary(
  fc.constantFrom('if-match', 'accept', 'expect', 'x-forwarded-for', 'content-encoding', 'range'),
  fc.oneof(
    fc.constantFrom('*', '"0"', 'gzip', 'bytes=0-1'),
    fc.string({ unit: 'grapheme-ascii', maxLength: 30 }),
  ),
  { maxKeys: 2 },
);

/** Lone surrogates can't be encoded. */
function tryEncode(raw: string): string {
  return encodeURIComponent(raw.toWellFormed());
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly request: Request;
}

const collection = fc
  .tuple(datamart, query)
  .map(([of, search]) => `/v1/datamarts/${of}/replications${search}`);
const below = (suffix: string): fc.Arbitrary<string> =>
  fc
    .tuple(datamart, id, query)
    .map(([of, one, search]) => `/v1/datamarts/${of}/replications/${one}${suffix}${search}`);

const call: fc.Arbitrary<Call> = fc.oneof(
  callOf('GET', fc.oneof(collection, below(''), below('/dead_letters')), fc.constant({})),
  callOf('POST', collection, fc.record({ body })),
  callOf('PUT', below(''), fc.record({ body })),
  callOf('DELETE', below(''), fc.constant({})),
  callOf('POST', below('/credentials'), form),
  callOf('POST', fc.oneof(below('/explain'), below('/dead_letters/redrive')), fc.record({ body })),
  callOf('POST', fc.constant('/v1/datamarts/1649/replication_job_executions'), fc.record({ body })),
);

function callOf(
  method: string,
  paths: fc.Arbitrary<string>,
  bodies: fc.Arbitrary<Request>,
): fc.Arbitrary<Call> {
  return fc.record({ path: paths, given: bodies, token, headers }).map(({ path, given, ...rest }) => ({
    method,
    path,
    request: { ...rest, ...given, headers: { ...rest.headers, ...given.headers } },
  }));
}

/** Everything that a change could have left behind. */
function stateOf(api: ApiUnderTest): string {
  return JSON.stringify([[...api.plane.replications.all()], [...api.plane.sealed], api.plane.written.length]);
}

function assertWellAnswered({ status, body: envelope, code }: Answer, method: string): void {
  const isRefused = status >= 400 && (status < 500 || status === 501);
  expect(isRefused || status === 200 || status === 201).toBe(true);
  if (method === 'HEAD') return;
  expect(envelope.status).toBe(isRefused ? 'error' : 'ok');
  if (isRefused) expect(code).toMatch(/^[a-z_]+$/);
}

test('whatever comes is done or refused with a documented code, never half done', async () => {
  const api = new ApiUnderTest();
  api.plane.given({ id: '80', datamart_id: '1649', ...PUBSUB });
  api.plane.given({
    id: '81',
    datamart_id: '1649',
    ...EVENT_HUBS,
    status: 'ACTIVE',
    credentials_uri: 'sealed:81',
  });
  api.plane.given({ id: '82', datamart_id: '1700', ...PUBSUB });
  api.plane.given({ id: '90', datamart_id: '1649', name: 'file', type: 'FILE', path: 'a.jsonl' });
  const statuses = new Set<number>();

  await fc.assert(
    fc.asyncProperty(call, async ({ method, path, request }) => {
      const foreign = JSON.stringify(api.plane.replications.get('82'));
      const before = stateOf(api);

      const answer = await api.call(method, path, request);

      assertWellAnswered(answer, method);
      statuses.add(answer.status);
      if (answer.status >= 400) expect(stateOf(api)).toBe(before);
      if (request.token !== 'other' && request.token !== 'ops')
        expect(JSON.stringify(api.plane.replications.get('82'))).toBe(foreign);
    }),
    { numRuns: 800 },
  );

  // Both kinds came.
  expect(statuses).toEqual(new Set([...statuses, 200, 201, 400, 401, 404]));
  expect(api.plane.written.every(({ key, record }) => record === null || record.id === key)).toBe(true);
  expect(({} as Record<string, unknown>).status).toBeUndefined();
  expect(await undocumentedRefusals(api)).toEqual([]);
  await api.close();
});

test('a replication that was answered is taken back, unchanged, and copied', async () => {
  const api = new ApiUnderTest();

  await fc.assert(
    fc.asyncProperty(valid, async (given) => {
      const created = await api.call('POST', REPLICATIONS, { body: given, token: 'ops' });
      const path = `${REPLICATIONS}/${String(created.data.id)}`;
      const { data: before } = await api.call('GET', path);

      const put = await api.call('PUT', path, { body: before });
      const copy = await api.call('POST', REPLICATIONS, { body: before });

      expect([created.status, put.status, copy.status]).toEqual([201, 200, 201]);
      expect(put.data).toEqual(before);
      await api.call('DELETE', path);
      await api.call('DELETE', `${REPLICATIONS}/${String(copy.data.id)}`);
    }),
    { numRuns: 50 },
  );
  await api.close();
});
