import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HttpRegistryInspector } from '../../../schemas/registry-inspector.ts';
import { schemaText } from './mutation-builder.ts';

const SCHEMA = schemaText('datamart-mutation');
const LATEST = 'GET /subjects/m-value/versions/latest';
const BY_ID = 'GET /schemas/ids/7';
const COMPATIBILITY = 'POST /compatibility/subjects/m-value/versions/latest';

let answers: Record<string, { readonly status: number; readonly body: unknown }>;
let server: Server;
let url: string;

beforeEach(async () => {
  answers = {
    [LATEST]: { status: 200, body: { subject: 'm-value', version: 2, id: 7, schema: SCHEMA } },
    [BY_ID]: { status: 200, body: { schema: SCHEMA } },
    [COMPATIBILITY]: { status: 200, body: { is_compatible: true } },
  };
  server = createServer((request, response) => {
    request.resume();
    const { status, body } = answers[`${request.method} ${request.url}`] ?? { status: 404, body: 'no page' };
    response.writeHead(status, { date: 'Sun, 23 Nov 2025 12:13:20 GMT' });
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const inspect = () =>
  new HttpRegistryInspector({ url, username: null, password: null, timeoutMs: 2_000 }).inspect(
    'm-value',
    SCHEMA,
    new AbortController().signal,
  );

test('tells what is registered, that it can be read and fits, and the time', async () => {
  expect(await inspect()).toEqual({
    registered: { id: 7, version: 2, problem: '', takes: true },
    dateMs: 1_763_900_000_000,
  });
});

test('a schema that mutations can’t be read from has a problem', async () => {
  answers[BY_ID] = { status: 200, body: { schema: '{"type":"record","name":"R","fields":[]}' } };

  expect((await inspect()).registered?.problem).toContain('has no field datamart_id');
});

test('references are followed', async () => {
  const text = SCHEMA.replace('"DatamartMutation"', '"Other"');
  answers[BY_ID] = {
    status: 200,
    body: { schema: text, references: [{ name: 'r', subject: 'r', version: 1 }] },
  };
  answers['GET /subjects/r/versions/1'] = {
    status: 200,
    body: { schema: '{"type":"enum","name":"R","symbols":["A"]}' },
  };

  expect((await inspect()).registered?.problem).toBe('');
});

test('a registry that can’t compare tells nothing about it', async () => {
  answers[COMPATIBILITY] = { status: 405, body: {} };

  expect((await inspect()).registered?.takes).toBeNull();
});

test('a subject that isn’t registered is no failure', async () => {
  answers[LATEST] = { status: 404, body: { error_code: 40401, message: 'Subject not found' } };

  expect((await inspect()).registered).toBeNull();
});

test.each([
  [404, 'a page', 'not as a schema registry does'],
  [200, 'a page', 'not as a schema registry does'],
  [401, {}, 'user or password'],
  [403, {}, 'user or password'],
  [500, {}, 'answered 500'],
])('status %d with %j rejects with words', async (status, body, words) => {
  answers[LATEST] = { status, body };

  await expect(inspect()).rejects.toThrow(words);
});
