import { describe, expect, test } from '@jest/globals';
import { generateKeyPairSync } from 'node:crypto';
import { checkServiceAccount, parseServiceAccount } from '../../../../sinks/google-pubsub/credentials.ts';
import { RSA_PRIVATE_KEY, aServiceAccountFile } from '../../../support/service-account.ts';

const EC_KEY = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString();

const EXTERNAL = {
  type: 'external_account',
  credential_source: { executable: { command: '/bin/sh -c evil' } },
  token_url: 'http://169.254.169.254/',
};

describe('checkServiceAccount', () => {
  test.each([
    ['not JSON', 'PRIVATE KEY', 'invalid_json'],
    ['cut short', aServiceAccountFile().slice(0, -5), 'invalid_json'],
    ['a list', '[]', 'invalid_json'],
    ['null', 'null', 'invalid_json'],
    [
      'an Azure connection string',
      'Endpoint=sb://acme.servicebus.windows.net/;SharedAccessKeyName=a;SharedAccessKey=b',
      'credential_kind_mismatch',
    ],
    ['external_account', aServiceAccountFile(EXTERNAL), 'credential_type_not_allowed'],
    ['authorized_user', aServiceAccountFile({ type: 'authorized_user' }), 'credential_type_not_allowed'],
    [
      'gdch_service_account',
      aServiceAccountFile({ type: 'gdch_service_account' }),
      'credential_type_not_allowed',
    ],
    ['no type', aServiceAccountFile({ type: undefined }), 'credential_type_not_allowed'],
    [
      'a type that is a list',
      aServiceAccountFile({ type: ['service_account'] }),
      'credential_type_not_allowed',
    ],
    ['another universe', aServiceAccountFile({ universe_domain: 'evil.example' }), 'untrusted_universe'],
    ['no project_id', aServiceAccountFile({ project_id: undefined }), 'missing_field'],
    ['an empty client_email', aServiceAccountFile({ client_email: ' ' }), 'missing_field'],
    ['no private_key', aServiceAccountFile({ private_key: undefined }), 'invalid_private_key'],
    [
      'a broken PEM',
      aServiceAccountFile({ private_key: RSA_PRIVATE_KEY.replace(/MII/, 'XXX') }),
      'invalid_private_key',
    ],
    ['a key that is a path', aServiceAccountFile({ private_key: '/etc/passwd' }), 'invalid_private_key'],
    ['a key of another kind', aServiceAccountFile({ private_key: EC_KEY }), 'invalid_private_key'],
  ])('refuses %s', (_, text, code) => {
    const problem = checkServiceAccount(text);

    expect(problem?.code).toBe(code);
    expect(problem?.field).toBe('credentials');
    expect(problem?.message).not.toMatch(/MII|PRIVATE KEY|SharedAccessKey|evil|passwd/);
  });

  test.each([
    ['as issued', aServiceAccountFile()],
    ['without universe_domain', aServiceAccountFile({ universe_domain: undefined })],
    ['with a byte order mark and line ends', `\uFEFF${aServiceAccountFile()}\r\n`],
  ])('takes a key file %s', (_, text) => {
    expect(checkServiceAccount(text)).toBeNull();
  });
});

describe('parseServiceAccount', () => {
  test('keeps three fields and drops the rest, wherever it would lead', () => {
    const parsed = parseServiceAccount(
      aServiceAccountFile({
        token_uri: 'http://evil.example/',
        subject: 'root@acme.com',
        ...{ scopes: ['x'] },
      }),
    );

    expect(parsed).toEqual({
      account: {
        projectId: 'acme',
        clientEmail: 'writer@acme.iam.gserviceaccount.com',
        privateKey: RSA_PRIVATE_KEY,
      },
    });
  });
});
