import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HttpSchemaRegistry } from '../../../schemas/schema-registry.ts';
import { schemaText } from './mutation-builder.ts';

const SCHEMA = schemaText('datamart-mutation');
const never = new AbortController().signal;

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** A registry that answers by path, and keeps what it was asked. */
let answers: Record<string, Answer | 'silence'> = {};
let requests: string[] = [];
let server: Server;
let url = '';

beforeEach(async () => {
  answers = {};
  requests = [];
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const line = `${request.method} ${request.url}`;
      requests.push(`${line} ${request.headers.authorization ?? ''}`.trim());
      const answer = answers[line] ?? { status: 404, body: { error_code: 40403, message: 'not found' } };
      if (answer === 'silence') return;
      response.writeHead(answer.status, { 'content-type': 'application/vnd.schemaregistry.v1+json' });
      response.end(JSON.stringify(answer.body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const aRegistry = (
  options: { readonly username?: string; readonly timeoutMs?: number } = {},
): HttpSchemaRegistry =>
  new HttpSchemaRegistry({
    url: `${url}/`,
    username: options.username ?? null,
    password: 'secret',
    timeoutMs: options.timeoutMs ?? 5000,
  });

test('reads a schema, with credentials where there are some', async () => {
  answers['GET /schemas/ids/7'] = { status: 200, body: { schema: SCHEMA } };
  expect(await aRegistry({ username: 'me' }).fetchSchema(7, never)).toEqual({
    kind: 'schema',
    schema: { text: SCHEMA, references: [] },
  });
  expect(requests).toEqual([`GET /schemas/ids/7 Basic ${Buffer.from('me:secret').toString('base64')}`]);
});

test('reads the schemas that a schema refers to, the innermost first', async () => {
  const reference = (subject: string) => ({ name: subject, subject, version: 1 });
  answers['GET /schemas/ids/7'] = {
    status: 200,
    body: { schema: 'outer', references: [reference('a/b'), reference('c')] },
  };
  answers['GET /subjects/a%2Fb/versions/1'] = {
    status: 200,
    body: { schema: 'middle', references: [reference('c')] },
  };
  answers['GET /subjects/c/versions/1'] = { status: 200, body: { schema: 'inner' } };
  expect(await aRegistry().fetchSchema(7, never)).toEqual({
    kind: 'schema',
    schema: { text: 'outer', references: ['inner', 'middle'] },
  });
});

test('a 404 that no registry gave is no unknown schema', async () => {
  answers['GET /schemas/ids/8'] = { status: 404, body: 'no such page' };
  const registry = new HttpSchemaRegistry({ url, username: null, password: null, timeoutMs: 1_000 });
  expect(await registry.fetchSchema(8, never)).toEqual({
    kind: 'unavailable',
    detail: expect.stringContaining('is KAFKA_SCHEMA_REGISTRY_URL right?') as unknown,
  });
});

test('knows an unknown id from a registry that can’t be relied on', async () => {
  const registry = aRegistry({ timeoutMs: 1_000 });
  expect(await registry.fetchSchema(8, never)).toEqual({ kind: 'unknown' });
  for (const status of [401, 403, 429, 500, 503]) {
    answers['GET /schemas/ids/7'] = { status, body: {} };
    expect(await registry.fetchSchema(7, never)).toEqual({
      kind: 'unavailable',
      detail: `asking for schema 7: the registry answered ${status}`,
    });
  }
  answers['GET /schemas/ids/7'] = { status: 200, body: [] };
  expect(await registry.fetchSchema(7, never)).toMatchObject({ kind: 'unavailable' });
  answers['GET /schemas/ids/7'] = 'silence';
  expect(await registry.fetchSchema(7, never)).toMatchObject({
    kind: 'unavailable',
    detail: expect.stringMatching(/timeout/) as unknown,
  });
  const closed = new HttpSchemaRegistry({
    url: 'http://127.0.0.1:1',
    username: null,
    password: null,
    timeoutMs: 5000,
  });
  expect(await closed.fetchSchema(7, never)).toMatchObject({ kind: 'unavailable' });
});

test('rejects when its signal aborts', async () => {
  answers['GET /schemas/ids/7'] = 'silence';
  await expect(aRegistry().fetchSchema(7, AbortSignal.abort(new Error('revoked')))).rejects.toThrow(
    'revoked',
  );
});

test.each([['BACKWARD'], ['NONE'], [null]])(
  'registers a schema and leaves the compatibility %s as it is',
  async (compatibility) => {
    if (compatibility !== null)
      answers['GET /config/mutations-value'] = { status: 200, body: { compatibilityLevel: compatibility } };
    answers['POST /subjects/mutations-value/versions'] = { status: 200, body: { id: 42 } };
    expect(await aRegistry().registerSchema('mutations-value', SCHEMA, never)).toBe(42);
    expect(requests.filter((line) => !line.startsWith('GET'))).toEqual([
      'POST /subjects/mutations-value/versions',
    ]);
  },
);

test('rejects when the registry refuses a schema', async () => {
  answers['POST /subjects/mutations-value/versions'] = { status: 409, body: { message: 'incompatible' } };
  await expect(aRegistry().registerSchema('mutations-value', SCHEMA, never)).rejects.toThrow('incompatible');
});
