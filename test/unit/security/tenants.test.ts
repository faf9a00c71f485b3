import { afterEach, describe, expect, test } from '@jest/globals';
import {
  ApiUnderTest,
  CONNECTION_STRING,
  EVENT_HUBS,
  formOf,
  PUBSUB,
  REPLICATIONS,
  type Request,
} from '../../support/api-under-test.ts';

const FOREIGN = '82';
const opened: ApiUnderTest[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((api) => api.close()));
});

/** Replication 80 is of the token `acme`'s datamart 1649, replication 82 of the datamart 1700. */
function anApi(): ApiUnderTest {
  const api = new ApiUnderTest();
  opened.push(api);
  api.plane.given({ id: '80', datamart_id: '1649', ...EVENT_HUBS });
  api.plane.given({
    id: FOREIGN,
    datamart_id: '1700',
    ...EVENT_HUBS,
    name: 'a secret partner',
    credentials_uri: 'file:partner.txt',
  });
  return api;
}

interface DocumentedCall {
  readonly method: string;
  readonly path: string;
  readonly request: Request;
}

/** Every call that the document has, for this datamart and this replication or execution, with a good body. */
async function documentedCalls(
  api: ApiUnderTest,
  datamartId: string,
  id: string,
): Promise<readonly DocumentedCall[]> {
  const { body } = await api.call('GET', '/openapi.json', { token: null });
  const paths = body.paths as Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  return Object.entries(paths)
    .filter(([path]) => path.includes('{datamartId}'))
    .flatMap(([path, item]) =>
      Object.entries(item)
        .filter(([method]) => ['get', 'post', 'put', 'delete'].includes(method))
        .map(([method, operation]) => ({
          method: method.toUpperCase(),
          path: path.replace('{datamartId}', datamartId).replaceAll(/\{\w+\}/g, id),
          request: bodyOf(operation),
        })),
    );
}

function bodyOf(operation: unknown): Request {
  const text = JSON.stringify(operation);
  if (text.includes('multipart/form-data')) return formOf([{ name: 'file', file: CONNECTION_STRING }]);
  const { requestBody } = operation as {
    readonly requestBody?: { readonly content?: Readonly<Record<string, { readonly example?: unknown }>> };
  };
  const example = requestBody?.content?.['application/json']?.example;
  return example === undefined ? {} : { body: example };
}

const NOT_FOUND = { status: 404, code: 'not_found', error: 'Resource Not Found' };

describe('a token of one datamart', () => {
  test.each([
    ['another datamart', '1700', FOREIGN],
    ['another datamart with an id of its own', '1700', '80'],
    ['a datamart that doesn’t exist', '99', FOREIGN],
  ])('gets the same 404 from every call on %s, and changes nothing', async (_name, datamartId, id) => {
    const api = anApi();
    const calls = await documentedCalls(api, datamartId, id);
    const [written, sealed] = [api.plane.written.length, api.plane.sealed.size];

    for (const { method, path, request } of calls) {
      const { status, code, body } = await api.call(method, path, request);
      expect({ call: `${method} ${path}`, status, code, error: body.error }).toEqual({
        call: `${method} ${path}`,
        ...NOT_FOUND,
      });
    }

    expect(calls.length).toBeGreaterThanOrEqual(13);
    expect([api.plane.written.length, api.plane.sealed.size]).toEqual([written, sealed]);
    expect([api.deadLetters.listed, api.deadLetters.redriven, api.destinations.tried]).toEqual([[], [], []]);
  });

  test('gets the same 404 for another’s replication in its own datamart, and changes nothing', async () => {
    const api = anApi();
    const calls = (await documentedCalls(api, '1649', FOREIGN)).filter(({ path }) => path.includes('/82'));
    const written = api.plane.written.length;

    for (const { method, path, request } of calls.filter(({ path }) => !path.includes('executions'))) {
      const { status, code, body } = await api.call(method, path, request);
      expect({ call: `${method} ${path}`, status, code, error: body.error }).toEqual({
        call: `${method} ${path}`,
        ...NOT_FOUND,
      });
    }

    expect(api.plane.written).toHaveLength(written);
    expect(api.plane.sealed.size).toBe(0);
    expect([api.deadLetters.listed, api.deadLetters.redriven]).toEqual([[], []]);
  });

  test.each([
    ['its id', { id: FOREIGN }, 201],
    ['its datamart', { datamart_id: '1700' }, 400],
    ['its id and its sealed credentials', { id: FOREIGN, credentials_uri: `sealed:${FOREIGN}` }, 201],
    ['its sealed credentials', { credentials_uri: `sealed:${FOREIGN}` }, 403],
    ['its file of credentials', { credentials_uri: 'file:partner.txt' }, 403],
    ['its id and its file of credentials', { id: FOREIGN, credentials_uri: 'file:partner.txt' }, 403],
    ['credentials elsewhere', { credentials_uri: 'https://example.com/key' }, 403],
    ['a file of the machine', { type: 'FILE', path: 'acme/90.jsonl', event_hub_name: null }, 403],
    [
      'a topic of this program’s cluster',
      { type: 'KAFKA_TOPIC', topic: 'partner', event_hub_name: null },
      403,
    ],
    ['brokers', { type: 'KAFKA_TOPIC', topic: 'x', brokers: ['kafka-1:9092'], event_hub_name: null }, 403],
    ['a third party’s sink', { type: 'ACME_QUEUE', queue: 'x', event_hub_name: null }, 403],
    [
      'a filter’s replication',
      { replication_filters: [{ document: 'USER_SEGMENT', replication_id: FOREIGN }] },
      201,
    ],
    ['another incarnation', { created: 1 }, 400],
    ['an observed state', { observed: { state: 'ACTIVE' } }, 201],
    ['a prototype', JSON.parse('{"__proto__":{"datamart_id":"1700"}}') as object, 400],
    ['a constructor', { constructor: { datamart_id: '1700' } }, 400],
  ])('creates nothing that reaches another’s by %s', async (_name, fields, expected) => {
    const api = anApi();
    const foreign = JSON.stringify(api.plane.replications.get(FOREIGN));

    const body = JSON.stringify({ ...EVENT_HUBS, ...own(fields) });
    const { status, data } = await api.call('POST', REPLICATIONS, { body });

    expect(status).toBe(expected);
    expect(JSON.stringify(api.plane.replications.get(FOREIGN))).toBe(foreign);
    if (status !== 201) return;
    expect(data).toMatchObject({ datamart_id: '1649', credentials_uri: null });
    expect(data.id).not.toBe(FOREIGN);
  });

  test.each([
    ['its id', { id: FOREIGN }, 400],
    ['its datamart', { datamart_id: '1700' }, 400],
    ['its sealed credentials', { credentials_uri: `sealed:${FOREIGN}` }, 403],
    ['its file of credentials', { credentials_uri: 'file:partner.txt' }, 403],
    ['no credentials', { credentials_uri: 'file:/etc/passwd' }, 403],
    ['another destination', { event_hub_name: 'partner' }, 409],
    ['another type', { type: 'FILE', path: 'a' }, 400],
    ['another incarnation', { created: 1 }, 400],
    ['a prototype', JSON.parse('{"__proto__":{"datamart_id":"1700"}}') as object, 400],
  ])('changes nothing of another’s by %s', async (_name, fields, expected) => {
    const api = anApi();
    const before = JSON.stringify([...api.plane.replications.all()]);

    const { status } = await api.call('PUT', `${REPLICATIONS}/80`, { body: JSON.stringify(own(fields)) });

    expect(status).toBe(expected);
    expect(JSON.stringify([...api.plane.replications.all()])).toBe(before);
  });

  test('doesn’t wait for another’s replication to be tried at its destination', async () => {
    const trying = Promise.withResolvers<null>();
    const isTried = Promise.withResolvers<undefined>();
    const check = (): Promise<null> => {
      isTried.resolve(undefined);
      return trying.promise;
    };
    const api = new ApiUnderTest({ service: { checker: { check } } });
    opened.push(api);
    api.plane.given({ id: '80', datamart_id: '1649', ...EVENT_HUBS, credentials_uri: 'file:a' });
    const activating = api.call('PUT', `${REPLICATIONS}/80`, { body: { status: 'ACTIVE' } });
    await isTried.promise;

    const { status } = await api.call('DELETE', '/v1/datamarts/1700/replications/80', { token: 'other' });

    expect(status).toBe(404);
    trying.resolve(null);
    expect((await activating).status).toBe(200);
  });

  test('reads nothing of another in lists and searches', async () => {
    const api = anApi();

    for (const query of ['', '?keywords=partner', '?keywords=82', '?first_result=0&max_results=1000']) {
      const { body } = await api.call('GET', `${REPLICATIONS}${query}`);
      expect(JSON.stringify(body)).not.toMatch(/partner|"82"|1700/);
    }
  });
});

/** As a body has it: a field `__proto__` is a field like any other. */
function own(fields: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields));
}

describe('a replication that is deleted on another instance', () => {
  test.each([
    ['deleted', null],
    ['made anew for another datamart', { id: '80', datamart_id: '1700', ...EVENT_HUBS, created: 5 }],
  ])('while its activation is tried is not brought back: %s', async (_name, record) => {
    const api: ApiUnderTest = new ApiUnderTest({
      service: {
        checker: {
          check: async () => {
            api.plane.apply('80', null);
            if (record) api.plane.apply('80', record);
            return null;
          },
        },
      },
    });
    opened.push(api);
    api.plane.given({ id: '80', datamart_id: '1649', ...EVENT_HUBS, credentials_uri: 'file:a' });

    const { status, code } = await api.call('PUT', `${REPLICATIONS}/80`, { body: { status: 'ACTIVE' } });

    expect({ status, code }).toEqual({ status: 404, code: 'not_found' });
    expect(api.plane.replications.get('80')?.datamartId).toBe(record?.datamart_id);
  });

  test('while its credentials are stored is not brought back', async () => {
    const api: ApiUnderTest = new ApiUnderTest({
      service: {
        log: {
          writeConfig: (id, record) => api.plane.writeConfig(id, record),
          writeCredentials: async (id, record) => {
            api.plane.apply('80', null);
            return api.plane.writeCredentials(id, record);
          },
          writeSyncRequest: (id, record) => api.plane.writeSyncRequest(id, record),
        },
      },
    });
    opened.push(api);
    api.plane.given({ id: '80', datamart_id: '1649', ...EVENT_HUBS });

    const { status } = await api.upload('80', CONNECTION_STRING);

    expect(status).toBe(404);
    expect(api.plane.replications.get('80')).toBeUndefined();
  });
});

test('a name that a request makes up steers no terminal that shows the log', async () => {
  const api = anApi();
  const name = '\u001b[2J\r\nlevel=error\u202e';

  await api.call('GET', `${REPLICATIONS}?${encodeURIComponent(name)}=1`);
  await api.call('POST', REPLICATIONS, { body: { ...PUBSUB, [name]: 1 } });
  await api.call('POST', `${REPLICATIONS}/80/dead_letters/redrive`, { body: { [name]: 1 } });

  const refused = api.log.lines.filter(({ msg }) => msg.startsWith('refused'));
  expect(refused).toHaveLength(3);
  for (const { msg } of refused) expect(msg).not.toMatch(/[\p{Cc}\p{Cf}]/u);
});
