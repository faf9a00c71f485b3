import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { API_ERROR_CODES, API_ERRORS, ApiError } from '../../../api/api-error.ts';
import { ApiReplications } from '../../../commands/api-client.ts';
import { ApiConnection, ApiConnectionError } from '../../../commands/api-connection.ts';

const CALLER = { name: 'test', role: 'customer' } as const;
const RESOURCE = {
  id: '80',
  version: 2,
  status: 'PAUSED',
  name: 'x',
  type: 'GOOGLE_PUBSUB',
  datamart_id: '1649',
  observed: { state: 'PAUSED' },
};

interface Request {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

let server: Server;
let baseUrl: string;
let requests: Request[];
let answer: (request: Request, response: ServerResponse) => void;
let slept: number[];
let stop: AbortController;

beforeAll(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const seen = { method, url, headers, body: Buffer.concat(chunks).toString('latin1') };
      requests.push(seen);
      // A later test would get a connection that the end of this one cuts.
      response.setHeader('connection', 'close');
      answer(seen, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

beforeEach(() => {
  requests = [];
  slept = [];
  stop = new AbortController();
});

afterEach(() => {
  server.closeAllConnections();
});

afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
});

function client({ url = baseUrl, timeoutMs = 10_000 } = {}): ApiReplications {
  const sleep = async (ms: number): Promise<void> => {
    slept.push(ms);
  };
  return new ApiReplications(
    new ApiConnection({ baseUrl: url, token: 'TOKEN', signal: stop.signal, timeoutMs, sleep }),
  );
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): typeof answer {
  return (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  };
}

async function failureOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => null,
    (error: unknown) => error,
  );
}

describe('calls', () => {
  test('each goes to its path with the token, and hands on version and body', async () => {
    answer = json(200, { status: 'ok', data: RESOURCE }, { etag: '"41"' });
    const api = client();

    expect(await api.get('1649', '80')).toEqual({ value: RESOURCE, etag: '"41"' });
    await api.create('1649', { name: 'x' });
    await api.update('1649', '80', { status: 'ACTIVE' }, CALLER, '"41"');
    await api.delete('1649', '80', CALLER, null);
    await api.explain('1649', '80', { offset: '1' });

    const base = '/v1/datamarts/1649/replications';
    expect(requests.map(({ method, url, body }) => `${method} ${url} ${body}`.trim())).toEqual([
      `GET ${base}/80`,
      `POST ${base} {"name":"x"}`,
      `PUT ${base}/80 {"status":"ACTIVE"}`,
      `DELETE ${base}/80`,
      `POST ${base}/80/explain {"offset":"1"}`,
    ]);
    expect(requests.map(({ headers }) => headers.authorization)).toEqual(Array(5).fill('api:TOKEN'));
    expect(requests.flatMap(({ headers }) => headers['if-match'] ?? [])).toEqual(['"41"']);
  });

  test('a list asks for its page and keywords', async () => {
    answer = json(200, { status: 'ok', data: [RESOURCE], count: 1, total: 7 });

    const page = await client().list('1649', { firstResult: 5, maxResults: 2, keywords: 'to acme' });

    expect(page).toEqual({ items: [RESOURCE], total: 7 });
    expect(requests[0]?.url).toBe(
      '/v1/datamarts/1649/replications?first_result=5&max_results=2&keywords=to+acme',
    );
  });

  test('credentials go as the one part of a form, byte for byte', async () => {
    answer = json(200, { status: 'ok', data: RESOURCE });

    await client().uploadCredentials('1649', '80', Buffer.from([0x00, 0xff, 0x0d, 0x0a]));

    expect(requests[0]?.headers['content-type']).toMatch(/^multipart\/form-data; boundary=/);
    expect(requests[0]?.body).toMatch(/name="file"; filename="credentials"/);
    expect(requests[0]?.body).toContain('\r\n\r\n\u0000\u00ff\r\n\r\n--');
  });

  test.each(['.', '..'])('an id that would lead to another path is refused: %s', async (id) => {
    expect(await failureOf(client().get('1649', id))).toMatchObject({ code: 'not_found' });
    expect(requests).toEqual([]);
  });

  test('all datamarts at once can’t be asked for', async () => {
    const page = { firstResult: 0, maxResults: 1, keywords: null };

    await expect(client().list(null, page)).rejects.toThrow('--datamart-id');
  });
});

describe('refusals', () => {
  test.each(API_ERROR_CODES)('%s comes as the server made it', async (code) => {
    const { status } = API_ERRORS[code];
    const body = {
      status: 'error',
      error: 'words',
      error_code: code,
      error_id: 'e-1',
      field: 'f',
      hint: 'h',
    };
    answer = json(status, { ...body, details: { next_date: 5 } });

    const error = await failureOf(client().get('1649', '80'));

    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({
      code,
      status,
      message: 'words',
      field: 'f',
      hint: 'h',
      details: { next_date: 5 },
    });
  });

  test('a code that this release doesn’t know is told all the same', async () => {
    answer = json(409, { status: 'error', error: 'words', error_code: 'moon_is_full', error_id: 'e' });

    expect(await failureOf(client().get('1649', '80'))).toMatchObject({ message: 'moon_is_full: words' });
  });

  test('a wrong token gets a hint', async () => {
    answer = json(401, { status: 'error', error: 'expected api:TOKEN', error_code: 'unauthorized' });

    expect(await failureOf(client().get('1649', '80'))).toMatchObject({
      code: 'unauthorized',
      hint: expect.stringContaining('API_TOKEN'),
    });
  });

  test('the rate limit is waited for, as long as it says', async () => {
    const limited = { status: 'error', error: 'too many', error_code: 'rate_limited', error_id: 'e' };
    answer = (request, response) => {
      const answers = requests.length < 3 ? json(429, limited, { 'retry-after': '2' }) : undefined;
      (answers ?? json(200, { status: 'ok', data: RESOURCE }))(request, response);
    };

    await client().get('1649', '80');

    expect(slept).toEqual([2_000, 2_000]);
  });

  test.each([
    ['rate_limited', '3600'],
    ['sync_too_soon', '1'],
  ])('%s with Retry-After %s is no reason to wait', async (code, seconds) => {
    answer = json(429, { status: 'error', error: 'no', error_code: code }, { 'retry-after': seconds });

    expect(await failureOf(client().get('1649', '80'))).toMatchObject({ code });
    expect(slept).toEqual([]);
  });
});

describe('what is no answer of this API', () => {
  test.each([
    ['HTML', 200, '<html>', 'text/html', "is that the API's address"],
    ['nothing', 200, '', '', "is that the API's address"],
    ['another JSON', 200, '{"hello":1}', 'application/json', "is that the API's address"],
    ['a list', 200, '[1]', 'application/json', "is that the API's address"],
    ['cut JSON', 500, '{"status":"err', 'application/json', "is that the API's address"],
    ['a proxy’s page', 502, 'Bad Gateway', 'text/plain', 'a proxy answers in its place'],
    [
      'an ok answer that is no replication',
      200,
      '{"status":"ok","data":{"id":5}}',
      'application/json',
      'releases',
    ],
  ])('%s', async (_, status, text, type, hint) => {
    answer = (_request, response) => void response.writeHead(status, { 'content-type': type }).end(text);

    const error = await failureOf(client().get('1649', '80'));

    expect(error).toBeInstanceOf(ApiConnectionError);
    expect(error).toMatchObject({ code: 'unexpected_answer', hint: expect.stringContaining(hint) });
  });

  test('a redirection isn’t followed: the token goes nowhere else', async () => {
    answer = (_, response) => void response.writeHead(308, { location: `${baseUrl}/elsewhere` }).end();

    expect(await failureOf(client().get('1649', '80'))).toMatchObject({
      code: 'unexpected_answer',
      message: expect.stringContaining('redirects to'),
    });
    expect(requests).toHaveLength(1);
  });
});

describe('no answer at all', () => {
  test('nothing listens: says so, and that nothing was sent', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(closed.address() as AddressInfo).port}`;
    await new Promise((resolve) => closed.close(resolve));

    expect(await failureOf(client({ url }).create('1649', {}))).toMatchObject({
      code: 'unreachable',
      message: `${url} can't be reached: nothing listens there`,
      hint: expect.stringContaining('is the address right'),
    });
  });

  test('a write whose connection is cut may have happened', async () => {
    answer = (_, response) => void response.destroy();

    expect(await failureOf(client().create('1649', {}))).toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('the connection was cut'),
      hint: expect.stringContaining("isn't known whether it was done"),
    });
  });

  test('one that doesn’t come in time', async () => {
    answer = () => undefined;

    expect(await failureOf(client({ timeoutMs: 50 }).get('1649', '80'))).toMatchObject({
      code: 'timeout',
      message: `${baseUrl} didn't answer within 0.05 s`,
      hint: null,
    });
  });

  test('one that stops in the middle', async () => {
    answer = (_, response) => void response.writeHead(200).write('{"status":');

    expect(await failureOf(client({ timeoutMs: 50 }).get('1649', '80'))).toMatchObject({ code: 'timeout' });
  });

  test('no TLS where https:// is asked for', async () => {
    answer = json(200, {});

    expect(
      await failureOf(client({ url: baseUrl.replace('http', 'https') }).get('1649', '80')),
    ).toMatchObject({
      code: 'tls_failed',
      hint: expect.stringContaining('http://'),
    });
  });

  test('Ctrl-C ends what is in flight', async () => {
    answer = () => {
      stop.abort();
    };

    expect(await failureOf(client().get('1649', '80'))).toMatchObject({ code: 'stopped' });
  });
});
