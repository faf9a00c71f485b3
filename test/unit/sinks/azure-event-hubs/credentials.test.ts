import { describe, expect, test } from '@jest/globals';
import { connectionStringOf, parseConnectionString } from '../../../../sinks/azure-event-hubs/credentials.ts';

const KEY = 'c2VjcmV0LWtleS1vZi1hY21l+/==';
const GOOD = `Endpoint=sb://acme-prod.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=${KEY}`;
const EMULATOR = `Endpoint=sb://localhost:5673;SharedAccessKeyName=local;SharedAccessKey=${KEY};UseDevelopmentEmulator=true`;

const parse = (text: string, allowEmulators = false): Record<string, unknown> => ({
  ...parseConnectionString(text, 'users', allowEmulators),
});

const codeOf = (text: string, allowEmulators = false): string | null => {
  const parsed = parseConnectionString(text, 'users', allowEmulators);
  return 'problem' in parsed ? parsed.problem.code : null;
};

describe('parseConnectionString', () => {
  test('reads the parts, in any order, the key with its equals signs', () => {
    const credentials = {
      host: 'acme-prod.servicebus.windows.net',
      port: null,
      keyName: 'send',
      key: KEY,
      isEmulator: false,
    };
    expect(parse(GOOD)).toEqual({ credentials });
    expect(parse(GOOD.split(';').reverse().join(';'))).toEqual({ credentials });
  });

  test.each([
    ['a byte order mark and CRLF around', `\ufeff${GOOD}\r\n`],
    ['a trailing semicolon', `${GOOD};`],
    ['the entity path of this hub', `${GOOD};EntityPath=users`],
    ['capitals in the host', GOOD.replace('acme-prod.servicebus', 'ACME-Prod.ServiceBus')],
    ['no slash after the host', GOOD.replace('.net/;', '.net;')],
    ['spaces around parts', GOOD.replaceAll(';', ' ; ')],
    ['the US government cloud', GOOD.replace('windows.net', 'usgovcloudapi.net')],
    ['the Chinese cloud', GOOD.replace('windows.net', 'chinacloudapi.cn')],
    ['the emulator flag set to false', `${GOOD};UseDevelopmentEmulator=false`],
  ])('takes %s', (_, text) => {
    expect(codeOf(text)).toBeNull();
  });

  test.each([
    ['credential_kind_mismatch', 'a Google key file', '{"type":"service_account","private_key":"x"}'],
    ['credential_kind_mismatch', 'a PEM file', '-----BEGIN PRIVATE KEY-----\nx'],
    ['invalid_characters', 'a line break inside', GOOD.replace(';Shared', ';\nShared')],
    ['invalid_characters', 'a NUL', `${GOOD}\0`],
    ['invalid_characters', 'letters beyond ASCII', GOOD.replace('send', 'sënd')],
    ['incomplete_connection_string', 'nothing', ''],
    ['incomplete_connection_string', 'no endpoint', GOOD.replace(/^[^;]+;/, '')],
    ['incomplete_connection_string', 'no key name', GOOD.replace('SharedAccessKeyName=send;', '')],
    ['incomplete_connection_string', 'no key', GOOD.replace(/;SharedAccessKey=.*/, '')],
    ['incomplete_connection_string', 'an empty key', GOOD.replace(KEY, '')],
    ['incomplete_connection_string', 'a part without equals sign', `${GOOD};what`],
    ['incomplete_connection_string', 'an unknown part', `${GOOD};TransportType=AmqpWebSockets`],
    ['incomplete_connection_string', 'a part twice', `${GOOD};SharedAccessKeyName=other`],
    [
      'incomplete_connection_string',
      'a signature in place of the key',
      'Endpoint=sb://acme-prod.servicebus.windows.net/;SharedAccessSignature=SharedAccessSignature sr=x&sig=y',
    ],
    ['untrusted_endpoint', 'another domain', GOOD.replace('servicebus.windows.net', 'example.com')],
    ['untrusted_endpoint', 'a domain that only ends alike', GOOD.replace('acme-prod.', 'x.evilservicebus.')],
    ['untrusted_endpoint', 'a domain that only begins alike', GOOD.replace('.net/', '.net.evil.com/')],
    ['untrusted_endpoint', 'an address', GOOD.replace('acme-prod.servicebus.windows.net', '169.254.169.254')],
    ['untrusted_endpoint', 'localhost', GOOD.replace('acme-prod.servicebus.windows.net', 'localhost')],
    ['untrusted_endpoint', 'a port', GOOD.replace('.net/', '.net:5671/')],
    ['untrusted_endpoint', 'user information', GOOD.replace('sb://', 'sb://evil.com@')],
    ['untrusted_endpoint', 'a path', GOOD.replace('.net/', '.net/x')],
    ['untrusted_endpoint', 'a query', GOOD.replace('.net/', '.net/?x')],
    ['untrusted_endpoint', 'another scheme', GOOD.replace('sb://', 'https://')],
    ['emulator_not_allowed', 'the emulator', EMULATOR],
    ['emulator_not_allowed', 'the emulator flag on an Azure host', `${GOOD};UseDevelopmentEmulator=True`],
    ['entity_path_mismatch', 'another hub', `${GOOD};EntityPath=orders`],
  ])('refuses with %s: %s', (code, _, text) => {
    expect(codeOf(text)).toBe(code);
  });

  test('names the missing part and never repeats a value', () => {
    const { problem } = parse(GOOD.replace('Endpoint=', 'Endpoint=sb://secret-host.example.com')) as {
      readonly problem: { readonly message: string };
    };
    expect(problem.message).not.toContain('secret-host');
    expect(parse('Endpoint=sb://acme-prod.servicebus.windows.net/')).toMatchObject({
      problem: { message: 'SharedAccessKeyName is missing' },
    });
  });

  test('takes other hosts, ports and the emulator where the operator allows them, but no user information', () => {
    expect(parse(EMULATOR, true)).toMatchObject({
      credentials: { host: 'localhost', port: 5673, isEmulator: true },
    });
    expect(codeOf(GOOD.replace('.net/', '.net:5671/'), true)).toBeNull();
    expect(codeOf(EMULATOR.replace('sb://', 'sb://a@'), true)).toBe('untrusted_endpoint');
    expect(codeOf(EMULATOR.replace(':5673', ':99999'), true)).toBe('untrusted_endpoint');
  });
});

describe('connectionStringOf', () => {
  test.each([GOOD, EMULATOR.replace(':5673', ':5673/')])('rebuilds the string of its parts alone', (text) => {
    const parsed = parseConnectionString(`${text};EntityPath=users`, 'users', true);

    expect('credentials' in parsed && connectionStringOf(parsed.credentials)).toBe(text);
  });
});
