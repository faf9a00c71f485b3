import { afterEach, describe, expect, test } from '@jest/globals';
import {
  ApiUnderTest,
  EVENT_HUBS,
  PUBSUB,
  REPLICATIONS,
  type ApiUnderTestOptions,
} from '../../support/api-under-test.ts';

const opened: ApiUnderTest[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((api) => api.close()));
});

function anApi(options: ApiUnderTestOptions = {}): ApiUnderTest {
  const api = new ApiUnderTest(options);
  opened.push(api);
  return api;
}

/** A replication in force; its id. */
function given(api: ApiUnderTest, fields: Record<string, unknown> = {}): string {
  const id = typeof fields.id === 'string' ? fields.id : '80';
  return api.plane.given({ datamart_id: '1649', ...PUBSUB, status: 'PAUSED', ...fields, id });
}

describe('creating', () => {
  test('makes a PAUSED replication of version 2 with an id of 16 digits', async () => {
    const api = anApi();

    const { status, data, headers } = await api.call('POST', REPLICATIONS, { body: PUBSUB });

    expect(status).toBe(201);
    expect(data).toMatchObject({ ...PUBSUB, status: 'PAUSED', version: 2, datamart_id: '1649' });
    expect(data.id).toMatch(/^\d{16}$/);
    expect(headers.etag).toBe('"0"');
    expect(api.plane.written[0]?.record).toEqual({
      datamart_id: '1649',
      ...PUBSUB,
      id: data.id,
      created: 1_763_900_000_123,
      version: 2,
      status: 'PAUSED',
    });
  });

  test('takes the product page’s example, once it is named', async () => {
    const { status, data } = await anApi().call('POST', REPLICATIONS, {
      body: `{
	"status": "PAUSED",
	"name": "users",
	"project_id": "test",
	"topic_id": "test",
	"datamart_id": "1649",
	"type": "GOOGLE_PUBSUB",
	"replication_filters": [{
		"document": "USER_SEGMENT",
		"filter": null
	}, {
		"document": "USER_ACCOUNT",
		"filter": null
	}]
}`,
    });

    expect(status).toBe(201);
    expect(data.replication_filters).toEqual([
      { id: '1', replication_id: data.id, document: 'USER_SEGMENT', filter: null },
      { id: '2', replication_id: data.id, document: 'USER_ACCOUNT', filter: null },
    ]);
  });

  test('takes numbers for ids, and null for the default', async () => {
    const body = {
      ...EVENT_HUBS,
      datamart_id: 1649,
      version: null,
      replication_filters: null,
      ordering: null,
    };

    const { status, data } = await anApi().call('POST', REPLICATIONS, { body });

    expect(status).toBe(201);
    expect(data).toMatchObject({ version: 1, ordering: true, replication_filters: null });
  });

  test('copies a replication as it was answered, whatever its id and state', async () => {
    const api = anApi();
    given(api, { credentials_uri: 'sealed:80' });
    const { data: original } = await api.call('GET', `${REPLICATIONS}/80`);

    const copy = await api.call('POST', REPLICATIONS, { body: original });

    expect(copy.status).toBe(201);
    expect(copy.data.id).not.toBe('80');
    expect(copy.data.credentials_uri).toBeNull();
  });

  test('draws another id when the first is taken, or somebody else has just taken it', async () => {
    const api = anApi();
    const taken = given(api, { id: '1763900000123456' });
    api.plane.interloper = () => {
      api.plane.apply('1763900000124456', {
        id: '1763900000124456',
        datamart_id: '1700',
        ...EVENT_HUBS,
        created: 1_763_900_000_124,
      });
    };

    const { status, data } = await api.call('POST', REPLICATIONS, { body: PUBSUB });

    expect(status).toBe(201);
    expect([taken, '1763900000124456']).not.toContain(data.id);
    expect(api.plane.replications.get('1763900000124456')?.datamartId).toBe('1700');
  });

  test('counts creations that come at once against the limit', async () => {
    const api = anApi({ maxPerDatamart: 3 });

    const answers = await Promise.all(
      Array.from({ length: 8 }, () => api.call('POST', REPLICATIONS, { body: PUBSUB })),
    );

    expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 201, 409, 409, 409, 409, 409]);
    expect(answers.map(({ code }) => code)).toContain('too_many_replications');
  });

  test('lets operators use every type and set credentials_uri', async () => {
    const api = anApi();
    const file = { name: 'to a file', type: 'FILE', path: 'acme/1.jsonl' };

    const toFile = await api.call('POST', REPLICATIONS, { token: 'ops', body: file });
    const toPubSub = await api.call('POST', REPLICATIONS, {
      token: 'ops',
      body: { ...PUBSUB, credentials_uri: 'file:acme.json' },
    });

    expect(toFile).toMatchObject({ status: 201, data: { type: 'FILE', path: 'acme/1.jsonl', version: 1 } });
    expect(toFile.data).not.toHaveProperty('credentials_uri');
    expect(toFile.data).not.toHaveProperty('metadata');
    expect(toFile.data).not.toHaveProperty('user_point_parent');
    expect(toPubSub).toMatchObject({ status: 201, data: { credentials_uri: 'file:acme.json' } });
  });
});

describe('reading', () => {
  test('answers exactly the documented fields in their order', async () => {
    const api = anApi();
    const id = given(api, {
      id: '1763900000123456',
      status: 'ACTIVE',
      credentials_uri: 'sealed:1763900000123456',
      replication_filters: [{ document: 'USER_SEGMENT', filter: null }],
    });
    api.plane.observe(id, 'ACTIVE');
    api.plane.offsets = [
      { topic: 'datamart-mutations', partition: 3, committed: 123_456, end: 123_456, lagMs: 0 },
    ];

    const { body } = await api.call('GET', `${REPLICATIONS}/${id}`);

    expect(JSON.stringify(body)).toBe(
      '{"status":"ok","data":{"id":"1763900000123456","version":2,"status":"ACTIVE","name":"to acme","type":"GOOGLE_PUBSUB",' +
        '"datamart_id":"1649","project_id":"acme","topic_id":"users","credentials_uri":"sealed:1763900000123456",' +
        '"replication_filters":[{"id":"1","replication_id":"1763900000123456","document":"USER_SEGMENT","filter":null}],' +
        '"resume":null,"metadata":[],"user_point_parent":false,"ordering":false,"ordering_lanes":16,' +
        '"observed":{"state":"ACTIVE","reason":null,"code":null,"message":null,"remedy":null,"since":1763900000000,' +
        '"deferred_status":null,"needs_initial_sync":false,"lost_offsets":"0","lag_records":0,"lag_seconds":0,' +
        '"refused":null,"positions":[{"topic":"datamart-mutations","partition":3,"state":"ACTIVE","offset":"123456",' +
        '"lag_records":0,"gap":null}]}}}',
    );
  });

  test('says ERROR, and why, when the destination refuses', async () => {
    const api = anApi();
    const id = given(api, { status: 'ACTIVE' });
    api.plane.observe(id, 'ERROR', {
      reason: 'destination_failed',
      code: 'permission_denied',
      message: 'publishing: permission denied',
      remedy: 'grant roles/pubsub.publisher',
    });

    const { data } = await api.call('GET', `${REPLICATIONS}/${id}`);

    expect(data).toMatchObject({
      status: 'ERROR',
      observed: {
        state: 'ERROR',
        reason: 'destination_failed',
        code: 'permission_denied',
        message: 'publishing: permission denied',
        remedy: 'grant roles/pubsub.publisher',
        since: 1_763_900_000_000,
      },
    });
  });

  test('says ACTIVATING until a processor has found out more', async () => {
    const api = anApi();
    const id = given(api, { status: 'ACTIVE' });

    const { data } = await api.call('GET', `${REPLICATIONS}/${id}`);

    expect(data).toMatchObject({ status: 'ACTIVE', observed: { state: 'ACTIVATING', since: null } });
  });

  test('adds up the lag of the group and of the partitions that are apart', async () => {
    const api = anApi();
    const id = given(api, { status: 'ACTIVE' });
    api.plane.observe(id, 'DETACHED', null, 12);
    api.plane.offsets = [
      { topic: 't', partition: 0, committed: 90, end: 100, lagMs: 1_500 },
      { topic: 't', partition: 1, committed: 200, end: 200, lagMs: 0 },
    ];
    const report = { replicationId: id, topic: 't', lostOffsets: 12, gap: null };
    api.plane.report({ ...report, partition: 1, state: 'DETACHED', offset: 150 });
    api.plane.report({ ...report, partition: 0, state: 'ACTIVE', offset: 3, gap: { from: 1, to: 3 } });

    const { data } = await api.call('GET', `${REPLICATIONS}/${id}`);

    expect(data.observed).toMatchObject({
      state: 'DETACHED',
      lag_records: 60,
      lag_seconds: null,
      needs_initial_sync: true,
      lost_offsets: '12',
      positions: [
        { partition: 0, state: 'ACTIVE', offset: '90', lag_records: 10, gap: { from: '1', to: '3' } },
        { partition: 1, state: 'DETACHED', offset: '150', lag_records: 50, gap: null },
      ],
    });
  });

  test('says how long the oldest record of the group’s lag waits', async () => {
    const api = anApi();
    const id = given(api, { status: 'ACTIVE' });
    api.plane.offsets = [
      { topic: 't', partition: 0, committed: 90, end: 100, lagMs: 1_500 },
      { topic: 't', partition: 1, committed: 9, end: 10, lagMs: 200 },
    ];

    const { data } = await api.call('GET', `${REPLICATIONS}/${id}`);

    expect(data.observed).toMatchObject({ lag_records: 11, lag_seconds: 1.5 });
  });

  test('answers without lag while Kafka can’t be asked', async () => {
    const api = anApi();
    const id = given(api, { status: 'ACTIVE' });
    api.plane.offsets = null;
    api.plane.report({
      replicationId: id,
      topic: 't',
      partition: 0,
      state: 'DETACHED',
      offset: 5,
      gap: null,
      lostOffsets: 0,
    });

    const { status, data } = await api.call('GET', `${REPLICATIONS}/${id}`);

    expect(status).toBe(200);
    expect(data.observed).toMatchObject({
      lag_records: null,
      lag_seconds: null,
      positions: [{ partition: 0, state: 'DETACHED', offset: '5', lag_records: null }],
    });
  });

  test('says why the newest record on the control topic isn’t in force', async () => {
    const api = anApi();
    const id = given(api);
    api.plane.apply(id, { id, datamart_id: '1649', ...PUBSUB, topic_id: 'others' });

    const { data } = await api.call('GET', `${REPLICATIONS}/${id}`);

    expect(data).toMatchObject({
      topic_id: 'users',
      observed: { refused: { offset: '1', code: 'immutable_field', time: 1_763_900_000_000 } },
    });
  });

  test('answers HEAD like GET, without the body', async () => {
    const api = anApi();
    given(api);

    const { status, headers } = await api.call('HEAD', `${REPLICATIONS}/80`);

    expect({ status, etag: headers.etag }).toEqual({ status: 200, etag: '"0"' });
  });
});

describe('listing', () => {
  test('pages through the newest first, without positions', async () => {
    const api = anApi();
    for (const [id, created] of [
      ['a', 3],
      ['b', 1],
      ['c', 2],
      ['10', undefined],
      ['9', undefined],
    ] as const)
      given(api, { id, ...(created === undefined ? {} : { created }) });

    const first = await api.call('GET', `${REPLICATIONS}?max_results=2`);
    const rest = await api.call('GET', `${REPLICATIONS}?first_result=2`);

    expect(idsOf(first.body)).toEqual(['a', 'c']);
    expect(first.body).toMatchObject({ status: 'ok', count: 2, total: 5, first_result: 0, max_results: 2 });
    expect(idsOf(rest.body)).toEqual(['b', '10', '9']);
    expect(rest.body).toMatchObject({ count: 3, total: 5, first_result: 2, max_results: 50 });
    expect(JSON.stringify(first.body)).not.toContain('positions');
  });

  test('finds those with every word in name or id, without case', async () => {
    const api = anApi();
    given(api, { id: '80', name: 'To ACME, live' });
    given(api, { id: '81', name: 'to acme, test' });

    const both = await api.call('GET', `${REPLICATIONS}?keywords=acme`);
    const one = await api.call('GET', `${REPLICATIONS}?keywords=acme%20LIVE`);
    const byId = await api.call('GET', `${REPLICATIONS}?keywords=81+acme`);

    expect([both, one, byId].map(({ body }) => idsOf(body))).toEqual([['81', '80'], ['80'], ['81']]);
  });

  test('shows a token only its own datamart', async () => {
    const api = anApi();
    given(api, { id: '80' });
    given(api, { id: '81', datamart_id: '1700' });

    const { body } = await api.call('GET', REPLICATIONS);

    expect(idsOf(body)).toEqual(['80']);
  });
});

describe('changing', () => {
  test('leaves what is left out, and takes null for the default', async () => {
    const api = anApi();
    given(api, { metadata: ['message_id'], ordering: true, resume: 'NOW' });

    const { status, data, headers } = await api.call('PUT', `${REPLICATIONS}/80`, {
      body: { name: 'renamed', ordering: null, resume: null },
    });

    expect(status).toBe(200);
    expect(data).toMatchObject({ name: 'renamed', ordering: false, resume: null, metadata: ['message_id'] });
    expect(headers.etag).toBe('"1"');
    expect(api.plane.written[1]?.record).not.toHaveProperty('ordering');
  });

  test('takes a replication as it was answered, with something changed', async () => {
    const api = anApi();
    given(api, { credentials_uri: 'file:acme.json', replication_filters: [{ document: 'USER_EMAIL' }] });
    const { data: before } = await api.call('GET', `${REPLICATIONS}/80`);

    const { status, data } = await api.call('PUT', `${REPLICATIONS}/80`, {
      body: { ...before, ordering_lanes: 4 },
    });

    expect(status).toBe(200);
    expect(data).toMatchObject({ ordering_lanes: 4, credentials_uri: 'file:acme.json' });
    expect(data.replication_filters).toEqual(before.replication_filters);
  });

  test('takes the ERROR that it answered for what is desired, and changes other things', async () => {
    const api = anApi();
    const id = given(api, { status: 'ACTIVE', credentials_uri: 'sealed:80' });
    const failure = {
      reason: 'destination_failed',
      code: 'not_found',
      message: 'no topic',
      remedy: null,
    } as const;
    api.plane.observe(id, 'ERROR', failure);

    const { status, data } = await api.call('PUT', `${REPLICATIONS}/80`, {
      body: { status: 'ERROR', name: 'renamed' },
    });

    expect(status).toBe(200);
    expect(data).toMatchObject({ name: 'renamed', status: 'ACTIVE', observed: { state: 'ACTIVATING' } });
    expect(api.destinations.tried).toEqual([]);
  });

  test('tries the destination before it activates, and when it is activated anew after an ERROR', async () => {
    const api = anApi();
    const id = given(api, { credentials_uri: 'sealed:80' });

    const first = await api.call('PUT', `${REPLICATIONS}/80`, { body: { status: 'ACTIVE' } });
    const again = await api.call('PUT', `${REPLICATIONS}/80`, { body: { status: 'ACTIVE' } });
    const triedWhileActive = api.destinations.tried.length;
    const failure = {
      reason: 'destination_failed',
      code: 'not_found',
      message: 'no topic',
      remedy: null,
    } as const;
    api.plane.observe(id, 'ERROR', failure);
    const repaired = await api.call('PUT', `${REPLICATIONS}/80`, { body: { status: 'ACTIVE' } });

    expect([first, again, repaired].map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(triedWhileActive).toBe(1);
    expect(api.destinations.tried).toEqual([
      { id: '80', credentials: null },
      { id: '80', credentials: null },
    ]);
  });

  test('activates what needs no credentials', async () => {
    const api = anApi();
    api.plane.given({ id: '90', datamart_id: '1649', name: 'file', type: 'FILE', path: 'a.jsonl' });

    const { status, data } = await api.call('PUT', `${REPLICATIONS}/90`, { body: { status: 'ACTIVE' } });

    expect({ status, desired: data.status }).toEqual({ status: 200, desired: 'ACTIVE' });
  });

  test('writes only over the version that the caller has seen', async () => {
    const api = anApi();
    given(api);
    const { headers } = await api.call('GET', `${REPLICATIONS}/80`);
    const ifMatch = { 'if-match': String(headers.etag) };

    const first = await api.call('PUT', `${REPLICATIONS}/80`, { body: { name: 'a' }, headers: ifMatch });
    const second = await api.call('PUT', `${REPLICATIONS}/80`, { body: { name: 'b' }, headers: ifMatch });
    const deletion = await api.call('DELETE', `${REPLICATIONS}/80`, { headers: ifMatch });
    const whatever = await api.call('DELETE', `${REPLICATIONS}/80`, { headers: { 'if-match': '*' } });

    expect([first, second, deletion, whatever].map(({ status }) => status)).toEqual([200, 412, 412, 200]);
  });

  test('lets one of two writers win who have seen the same version', async () => {
    const api = anApi();
    given(api);
    const write = (name: string) =>
      api.call('PUT', `${REPLICATIONS}/80`, { body: { name }, headers: { 'if-match': '"0"' } });

    const answers = await Promise.all([write('a'), write('b'), write('c')]);

    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412, 412]);
  });

  test('answers the refusal when somebody else’s record came between', async () => {
    const api = anApi();
    given(api);
    api.plane.interloper = () => {
      api.plane.apply('80', null);
      api.plane.apply('80', { id: '80', datamart_id: '1649', ...PUBSUB, topic_id: 'elsewhere' });
    };

    const { status, code } = await api.call('PUT', `${REPLICATIONS}/80`, { body: { name: 'renamed' } });

    expect({ status, code }).toEqual({ status: 409, code: 'immutable_field' });
  });

  test('serialises the writes of one replication: none is lost', async () => {
    const api = anApi();
    given(api);
    const bodies = [{ name: 'renamed' }, { ordering: true }, { resume: 'NOW' }, { metadata: ['message_id'] }];

    await Promise.all(bodies.map((body) => api.call('PUT', `${REPLICATIONS}/80`, { body })));
    const { data } = await api.call('GET', `${REPLICATIONS}/80`);

    expect(data).toMatchObject({ name: 'renamed', ordering: true, resume: 'NOW', metadata: ['message_id'] });
  });
});

describe('deleting', () => {
  test('answers the replication as it was, and it is gone', async () => {
    const api = anApi();
    const id = given(api, { status: 'ACTIVE' });
    api.plane.observe(id, 'ACTIVE');

    const { status, data } = await api.call('DELETE', `${REPLICATIONS}/80`);
    const { status: after } = await api.call('GET', `${REPLICATIONS}/80`);

    expect({ status, data, after }).toMatchObject({
      status: 200,
      data: { id: '80', status: 'ACTIVE', observed: { state: 'ACTIVE' } },
      after: 404,
    });
    expect(api.plane.written.at(-1)).toEqual({ key: '80', record: null });
  });

  test('takes a Content-Type without a body', async () => {
    const api = anApi();
    given(api);

    const { status } = await api.call('DELETE', `${REPLICATIONS}/80`, {
      headers: { 'content-type': 'application/json' },
    });

    expect(status).toBe(200);
  });
});

describe('the audit log', () => {
  test('has one line for each change: who, what, which, from where, no values', async () => {
    const api = anApi();

    const { data } = await api.call('POST', REPLICATIONS, { body: PUBSUB });
    await api.call('PUT', `${REPLICATIONS}/${String(data.id)}`, { body: { name: 'secret plan' } });
    await api.call('GET', `${REPLICATIONS}/${String(data.id)}`);
    await api.call('PUT', `${REPLICATIONS}/${String(data.id)}`, { body: { name: '' } });
    const audited = api.log.lines.filter(({ fields }) => 'audit' in fields);

    expect(audited.map(({ fields }) => fields)).toEqual([
      {
        audit: 'created a replication',
        caller: 'acme',
        role: 'customer',
        datamart_id: '1649',
        replication_id: data.id,
        address: '127.0.0.1',
        fields: ['name', 'type', 'project_id', 'topic_id'],
      },
      {
        audit: 'changed a replication',
        caller: 'acme',
        role: 'customer',
        datamart_id: '1649',
        replication_id: data.id,
        address: '127.0.0.1',
        fields: ['name'],
      },
    ]);
    expect(JSON.stringify(api.log.lines)).not.toContain('secret plan');
  });
});

function idsOf(body: Readonly<Record<string, unknown>>): readonly string[] {
  return (body.data as readonly { readonly id: string }[]).map(({ id }) => id);
}
