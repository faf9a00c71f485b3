import { expect, test } from '@jest/globals';
import { apiAccess } from '../../../commands/api-access.ts';

const readFile = (path: string): string => {
  if (path === '/token') return 'api:FROM_FILE\n';
  throw Object.assign(new Error('read'), { code: 'ENOENT' });
};

test.each([
  ['https://api.example.com', 'https://api.example.com'],
  ['https://api.example.com/', 'https://api.example.com'],
  ['https://api.example.com/replication/v1/', 'https://api.example.com/replication'],
  ['http://127.0.0.1:8080/v1', 'http://127.0.0.1:8080'],
])('%s is the API at %s', (url, baseUrl) => {
  expect(apiAccess(url, { env: { API_TOKEN: 'api:T' }, readFile })).toEqual({
    baseUrl,
    token: 'T',
    warning: null,
  });
});

test.each([
  [{ API_TOKEN: 'T' }, 'T'],
  [{ API_TOKEN: 'api:T' }, 'T'],
  [{ API_TOKEN_FILE: '/token', API_TOKEN: '' }, 'FROM_FILE'],
])('takes the token from %j', (env, token) => {
  expect(apiAccess('https://a', { env, readFile }).token).toBe(token);
});

test.each([
  ['http://api.example.com', true],
  ['http://10.0.0.1', true],
  ['http://localhost.example.com', true],
  ['http://localhost:1', false],
  ['http://[::1]:1', false],
  ['http://127.1.2.3', false],
  ['https://api.example.com', false],
])('%s: warns that the token travels in clear: %s', (url, warns) => {
  const { warning } = apiAccess(url, { env: { API_TOKEN: 'T' }, readFile });

  expect(warning !== null).toBe(warns);
});

test.each([
  ['nonsense', { API_TOKEN: 'T' }, "--api: isn't an address"],
  ['ftp://a', { API_TOKEN: 'T' }, "--api: isn't an address"],
  ['https://SECRET@a', { API_TOKEN: 'T' }, 'holds a user or a password'],
  ['https://a?x=1', { API_TOKEN: 'T' }, 'only host, port and path'],
  ['https://a', {}, 'API_TOKEN: not set'],
  ['https://a', { API_TOKEN: 'SECRET', API_TOKEN_FILE: '/token' }, 'are both set'],
  ['https://a', { API_TOKEN_FILE: '/none' }, 'API_TOKEN_FILE: reading /none: no such file'],
  ['https://a', { API_TOKEN: 'SECRET WITH SPACES' }, "API_TOKEN: isn't a token"],
  ['https://a', { API_TOKEN: 'SECRET\r\nx: y' }, "API_TOKEN: isn't a token"],
])('%s with %j is told, without a secret', (url, env, expected) => {
  let message = '';
  try {
    apiAccess(url, { env, readFile });
  } catch (error) {
    ({ message } = error as Error);
  }

  expect(message).toContain(expected);
  expect(message).not.toContain('SECRET');
});
