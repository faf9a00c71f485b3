import { generateKeyPairSync } from 'node:crypto';

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

/** The PEM of a key that exists in this process only. */
export const RSA_PRIVATE_KEY = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** The text of a key file as Google issues it, with `changes` put over its fields. */
export function aServiceAccountFile(changes: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    type: 'service_account',
    project_id: 'acme',
    private_key_id: '0123456789abcdef',
    private_key: RSA_PRIVATE_KEY,
    client_email: 'writer@acme.iam.gserviceaccount.com',
    client_id: '1234567890',
    auth_uri: 'https://accounts.google.com/o/oauth2/auth',
    token_uri: 'https://oauth2.googleapis.com/token',
    universe_domain: 'googleapis.com',
    ...changes,
  });
}
