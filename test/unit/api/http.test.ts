import { afterEach, describe, expect, test } from '@jest/globals';
import { openApiServer } from '../../../api/api-server.ts';
import { CallSlots } from '../../../api/call-slots.ts';
import { ListenError } from '../../../api/listen.ts';
import {
  ApiUnderTest,
  formOf,
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
  api.plane.given({ id: '80', datamart_id: '1649', ...PUBSUB });
  return api;
}

describe('what is not served', () => {
  test.each([
    ['GET', '/'],
    ['GET', '/v1/datamarts'],
    ['GET', '/v1/datamarts/1649/replication'],
    ['POST', '/v1/datamarts/1649/replications/80/activate'],
    ['GET', '/healthz'],
    ['GET', '/%zz'],
    ['GET', `${REPLICATIONS}/${'x'.repeat(200)}`],
  ])('%s %s is 404, whatever comes with it', async (method, path) => {
    const { status, body } = await anApi().call(method, path, {
      token: null,
      ...(method === 'POST' ? { body: 'text', headers: { 'content-type': 'text/plain' } } : {}),
    });

    expect(status).toBe(404);
    expect(body).toMatchObject({ status: 'error', error: 'Resource Not Found', error_code: 'not_found' });
  });

  test.each([
    ['PATCH', REPLICATIONS, 'GET, HEAD, POST'],
    ['OPTIONS', `${REPLICATIONS}/80`, 'GET, HEAD, PUT, DELETE'],
    ['GET', `${REPLICATIONS}/80/credentials`, 'POST'],
    ['POST', '/openapi.json', 'GET, HEAD'],
  ])('%s %s is 405, with the methods that are', async (method, path, allowed) => {
    const { status, code, headers } = await anApi().call(method, path, { token: null });

    expect({ status, code, allow: headers.allow }).toEqual({
      status: 405,
      code: 'method_not_allowed',
      allow: allowed,
    });
  });
});

describe('media types', () => {
  test.each(['application/x-www-form-urlencoded', 'text/plain', 'application/xml', 'nonsense'])(
    'a body of %s is 415',
    async (type) => {
      const { status, code } = await anApi().call('POST', REPLICATIONS, {
        body: 'name=x',
        headers: { 'content-type': type },
      });

      expect({ status, code }).toEqual({ status: 415, code: 'unsupported_media_type' });
    },
  );

  test('a form is 415 where JSON is expected, and JSON where a form is', async () => {
    const api = anApi();

    const form = await api.call('POST', REPLICATIONS, formOf([{ name: 'file', file: 'x' }]));
    const json = await api.call('POST', `${REPLICATIONS}/80/credentials`, { body: {} });

    expect([form.status, json.status]).toEqual([415, 415]);
  });

  test('a charset and a byte order mark are taken', async () => {
    const { status } = await anApi().call('POST', REPLICATIONS, {
      body: `\uFEFF${JSON.stringify(PUBSUB)}`,
      headers: { 'content-type': 'application/json; charset=utf-8' },
    });

    expect(status).toBe(201);
  });
});

describe('parameters', () => {
  test.each([
    ['first_result=-1', 'first_result'],
    ['max_results=0', 'max_results'],
    ['max_results=1001', 'max_results'],
    ['max_results=ten', 'max_results'],
    ['max_results=1&max_results=2', 'max_results'],
    ['max_result=1', 'max_result'],
    [`keywords=${'x'.repeat(256)}`, 'keywords'],
    ['__proto__=1', '__proto__'],
  ])('?%s is 400, and names it', async (query, field) => {
    const { status, code, body } = await anApi().call('GET', `${REPLICATIONS}?${query}`);

    expect({ status, code, field: body.field }).toEqual({ status: 400, code: 'invalid_parameter', field });
  });

  test('a mistyped one gets a hint', async () => {
    const { body } = await anApi().call('GET', `${REPLICATIONS}?max_result=1`);

    expect(body.hint).toBe('did you mean max_results?');
  });
});

describe('the rate of a token', () => {
  test('is 20 a second with a burst of 50, and others have their own', async () => {
    const api = anApi({ server: { rateLimit: 20 } });
    const callAll = (count: number) =>
      Promise.all(Array.from({ length: count }, () => api.call('GET', `${REPLICATIONS}/80`)));

    const burst = await callAll(51);
    const other = await api.call('GET', `${REPLICATIONS}/80`, { token: 'ops' });
    api.nowMs += 1_000;
    const later = await callAll(21);

    expect(burst.filter(({ status }) => status === 200)).toHaveLength(50);
    expect(burst.find(({ status }) => status === 429)).toMatchObject({
      code: 'rate_limited',
      headers: { 'retry-after': '1' },
    });
    expect(other.status).toBe(200);
    expect(later.filter(({ status }) => status === 200)).toHaveLength(20);
  });
});

describe('calls that read the log', () => {
  const explained = { topic: 'datamart-mutations', partition: 0, offset: '7' };

  test('are answered two at a time for a token, and eight for all', async () => {
    const slots = new CallSlots();
    const ended = Promise.withResolvers<string>();
    const held = ['acme', 'other', 'ops', 'a'].flatMap((token) => [
      slots.run(token, () => ended.promise),
      slots.run(token, () => ended.promise),
    ]);
    const one = (token: string) => slots.run(token, async () => token);

    await expect(one('acme')).rejects.toMatchObject({ code: 'rate_limited' });
    await expect(one('b')).rejects.toMatchObject({ code: 'not_ready' });
    ended.resolve('answered');
    expect(await Promise.all(held)).toEqual(Array(8).fill('answered'));
    expect(await Promise.all(['acme', 'acme', 'b'].map(one))).toEqual(['acme', 'acme', 'b']);
  });

  test('wait for nobody: a token’s third is refused while two are at work, whatever becomes of them', async () => {
    const reading = Promise.withResolvers<Readonly<object>>();
    const bothAtWork = Promise.withResolvers<void>();
    let asked = 0;
    const explain = (): Promise<Readonly<object>> => {
      asked += 1;
      if (asked === 2) bothAtWork.resolve();
      return reading.promise;
    };
    const api = anApi({ service: { explainer: { explain } } });
    const ask = () => api.call('POST', `${REPLICATIONS}/80/explain`, { body: explained });
    const held = [ask(), ask()];
    await bothAtWork.promise;

    expect(await ask()).toMatchObject({
      status: 429,
      code: 'rate_limited',
      headers: { 'retry-after': '5' },
    });
    expect(await api.call('POST', `${REPLICATIONS}/80/dead_letters/redrive`)).toMatchObject({ status: 429 });
    expect(await api.call('GET', `${REPLICATIONS}/80/dead_letters`, { token: 'ops' })).toMatchObject({
      status: 200,
    });
    expect(await api.call('GET', `${REPLICATIONS}/80`)).toMatchObject({ status: 200 });
    reading.reject(new Error('Kafka is away'));
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([500, 500]);
    expect(await api.call('GET', `${REPLICATIONS}/80/dead_letters`)).toMatchObject({ status: 200 });
  });
});

describe('an instance', () => {
  test('that reads its tables answers 503 to everything about replications', async () => {
    const api = anApi();
    api.plane.isCaughtUp = false;

    const answers = await Promise.all([
      api.call('GET', REPLICATIONS),
      api.call('GET', `${REPLICATIONS}/80`),
      api.call('POST', REPLICATIONS, { body: PUBSUB }),
      api.call('PUT', `${REPLICATIONS}/80`, { body: { name: 'x' } }),
      api.call('DELETE', `${REPLICATIONS}/80`),
      api.upload('80', 'x'),
    ]);

    expect(answers.map(({ status, code }) => ({ status, code }))).toEqual(
      Array.from({ length: 6 }, () => ({ status: 503, code: 'not_ready' })),
    );
  });

  test('whose table doesn’t show a write in time says that it may still happen', async () => {
    const api = anApi();
    api.plane.isUnconfirmed = true;

    const answers = [
      await api.call('POST', REPLICATIONS, { body: PUBSUB }),
      await api.call('PUT', `${REPLICATIONS}/80`, { body: { name: 'x' } }),
      await api.call('DELETE', `${REPLICATIONS}/80`),
    ];

    expect(answers.map(({ status, code }) => ({ status, code }))).toEqual(
      Array.from({ length: 3 }, () => ({ status: 504, code: 'write_not_confirmed' })),
    );
  });

  test('that fails where nobody expected it tells the log why, and the caller only the id', async () => {
    const explainer = { explain: () => Promise.reject(new Error('secret detail')) };
    const api = anApi({ service: { explainer } });

    const { status, body } = await api.call('POST', `${REPLICATIONS}/80/explain`, { body: {} });

    expect({ status, body }).toMatchObject({
      status: 500,
      body: { error_code: 'internal_error', error: 'an unexpected error; give error_id to the operator' },
    });
    expect(JSON.stringify(body)).not.toContain('secret');
    const line = api.log.lines.find(({ fields }) => fields.error_id === body.error_id);
    expect(line).toMatchObject({ level: 'error', fields: { error: { message: 'secret detail' } } });
  });

  test('serves health and metrics too, when that is asked for', async () => {
    const ops = {
      isHealthy: () => true,
      readiness: () => ({ ready: true, state: 'RUNNING', missing: [] }),
      metrics: () => Promise.resolve('up 1\n'),
      contentType: 'text/plain',
    };
    const api = anApi({ server: { ops } });

    const health = await api.call('GET', '/healthz', { token: null });
    const wrong = await api.call('POST', '/readyz', { token: null });

    expect(health).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(wrong).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } });
  });

  test('answers what is explained for the replication', async () => {
    const { status, data } = await anApi().call('POST', `${REPLICATIONS}/80/explain`, {
      body: { mutation: {} },
    });

    expect({ status, data }).toEqual({ status: 200, data: { datamartId: '1649', replicationId: '80' } });
  });
});

test('says which settings to change when the port is taken, and closes once for all', async () => {
  const api = anApi();
  const where = { host: '127.0.0.1', namedBy: 'HTTP_HOST and HTTP_PORT' };
  const first = await openApiServer({ ...(await api.options), ...where, port: 0 });

  const second = openApiServer({ ...(await api.options), ...where, port: first.port });

  await expect(second).rejects.toThrow(ListenError);
  await expect(second).rejects.toThrow('change HTTP_HOST and HTTP_PORT');
  await Promise.all([first.close(), first.close()]);
  await first.close();
});
