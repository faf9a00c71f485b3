import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { connectionStringOf, parseConnectionString } from '../../../sinks/azure-event-hubs/credentials.ts';
import { parseServiceAccount } from '../../../sinks/google-pubsub/credentials.ts';
import { aServiceAccountFile } from '../../support/service-account.ts';

const KEY = 'c2VjcmV0LXNlY3JldC1zZWNyZXQ';
const part = fc.oneof(
  fc.constantFrom(
    'Endpoint=sb://acme-users.servicebus.windows.net/',
    'SharedAccessKeyName=send',
    `SharedAccessKey=${KEY}=`,
    'EntityPath=users',
    'UseDevelopmentEmulator=true',
    'Endpoint=sb://169.254.169.254/',
    'Endpoint=sb://acme-users.servicebus.windows.net@evil.example/',
    'Endpoint=sb://acme-users.servicebus.windows.net:5671/',
    'Endpoint=sb://evil.example/acme-users.servicebus.windows.net',
    'Endpoint=sb://acme-users.servicebus.windows.net.evil.example/',
    'TransportType=AmqpWebSockets',
    '__proto__=x',
    '',
  ),
  fc.string({ maxLength: 30 }),
  fc.string({ unit: 'binary', maxLength: 30 }).map((host) => `Endpoint=sb://${host}`),
);

test('whatever a connection string is, it leads to a host of Azure or is refused without a word of it', () => {
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
      const parsed = parseConnectionString(parts.join(';'), 'users', false);

      if ('problem' in parsed) {
        expect(parsed.problem.code).toMatch(/^[a-z_]+$/);
        expect(parsed.problem.message).not.toContain(KEY);
        return;
      }
      const { host, port, isEmulator } = parsed.credentials;
      expect(host).toMatch(
        /^[a-z0-9-]{6,50}\.servicebus\.(windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)$/,
      );
      expect([port, isEmulator]).toEqual([null, false]);
      // What the SDK is given says the same, and nothing more.
      expect(parseConnectionString(connectionStringOf(parsed.credentials), 'users', false)).toEqual(parsed);
    }),
    { numRuns: 2_000 },
  );
});

const value = fc.oneof(
  fc.anything({ maxDepth: 3 }),
  fc.constantFrom<unknown>(
    'service_account',
    'external_account',
    'authorized_user',
    'googleapis.com',
    'evil.example',
  ),
);

test('whatever a key file is, three fields of a service account are kept of it or it is refused', () => {
  const good = JSON.parse(aServiceAccountFile()) as Readonly<Record<string, unknown>>;
  const names = [...Object.keys(good), 'credential_source', 'token_url', '__proto__', 'constructor'];

  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 3 }), (changes) => {
      const text = JSON.stringify(Object.fromEntries([...Object.entries(good), ...Object.entries(changes)]));

      const parsed = parseServiceAccount(text);

      if ('problem' in parsed) expect(parsed.problem.code).toMatch(/^[a-z_]+$/);
      else expect(Object.keys(parsed.account).sort()).toEqual(['clientEmail', 'privateKey', 'projectId']);
      const { type = null, universe_domain: universe = null } = JSON.parse(text) as Record<string, unknown>;
      const isForeign = type !== 'service_account' || (universe ?? 'googleapis.com') !== 'googleapis.com';
      expect('problem' in parsed || !isForeign).toBe(true);
    }),
    { numRuns: 500 },
  );
});
