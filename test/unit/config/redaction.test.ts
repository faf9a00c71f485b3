import { expect, test } from '@jest/globals';
import { redact, redactText } from '../../../config/redaction.ts';
import { aSealed, aSealedRecord, KEY, keyRing, OTHER_KEY } from '../../support/sealed-credentials.ts';
import { aServiceAccountFile, RSA_PRIVATE_KEY } from '../../support/service-account.ts';

const PEM = '-----BEGIN PRIVATE KEY-----\nMIIhunter2\nhunter2==\n-----END PRIVATE KEY-----\n';

test.each([
  ['Endpoint=sb://x/;SharedAccessKeyName=send;SharedAccessKey=hunter2+/=;EntityPath=e'],
  ['SharedAccessSignature=hunter2'],
  [`the key ${PEM} is bad`],
  [JSON.stringify({ private_key: PEM })],
  ['-----BEGIN RSA PRIVATE KEY-----\nhunter2'],
  ['Authorization: api:hunter2'],
  ['{"authorization":"Bearer hunter2hunter2"}'],
  ['sent Bearer hunter2.hunter2-x'],
  ['http://user:hunter2@registry/subjects'],
  ['{"password":"hunter2"}'],
  ['token api:hunter2hunter2hunter2'],
  ['jwt eyJhbGciOi.hunter2hunter2.hunter2'],
  [JSON.stringify({ sasl: { username: 'u', password: 'a, "b" hunter2;} hunter2' } })],
  [JSON.stringify({ text: JSON.stringify({ password: 'a, "b" \\ hunter2;} hunter2' }) })],
  ['{"password":"cut off, hunter2'],
])('takes the secret out of %j', (text) => {
  expect(redactText(text)).not.toContain('hunter2');
});

const SEALED_SECRETS = ['wrapped_key', 'wrap_iv', 'wrap_tag', 'iv', 'tag', 'ciphertext'] as const;

test('nothing of a sealed record is left but whose it is, whatever it is logged as', () => {
  const json = aSealedRecord().toString();
  const record = JSON.parse(json) as Readonly<Record<string, string>>;
  const shown = [
    redactText(`the record ${json} doesn't open`),
    redactText(`the record ${JSON.stringify(json)} doesn't open`),
    JSON.stringify(redact({ record })),
    JSON.stringify(redact({ error: new Error(`reading ${json}`, { cause: new Error(json) }) })),
    JSON.stringify(redact({ record: aSealed(), bytes: Buffer.from(json), keys: keyRing() })),
  ];

  for (const text of shown)
    for (const name of SEALED_SECRETS) expect(text).not.toContain(record[name]?.slice(0, 12));
  for (const text of shown.slice(0, 4)) expect(text).toContain('3eb1bd439947eb76');
});

test('takes the key-encryption keys out of a text, also several', () => {
  const [key, other] = [KEY.toString('base64'), OTHER_KEY.toString('base64')];
  const text = redactText(
    `CREDENTIALS_KEY=${key} CREDENTIALS_OLD_KEYS="${other},${key}"; set CREDENTIALS_KEY`,
  );

  expect(text).toBe('CREDENTIALS_KEY=[redacted] CREDENTIALS_OLD_KEYS="[redacted]"; set CREDENTIALS_KEY');
  expect(redactText('CREDENTIALS_KEY: not set; allowed is 32 bytes')).toContain(
    'not set; allowed is 32 bytes',
  );
});

test('the plaintext of credentials loses its secret, as JSON within JSON too', () => {
  const file = aServiceAccountFile();
  const lines = RSA_PRIVATE_KEY.split('\n').slice(1, -2);
  const shown = [file, JSON.stringify(file), JSON.stringify({ text: file, nested: [{ file }] })];

  for (const text of shown) for (const line of lines) expect(redactText(text)).not.toContain(line);
});

test('leaves ordinary text as it is', () => {
  const text =
    'publishing to projects/acme/topics/users: permission denied; broker kafka-1:9092, key=abc, partition 3';

  expect(redactText(text)).toBe(text);
});

test('keeps type, message, code and the chain of causes of an error, and none of its other fields', () => {
  const root = Object.assign(new Error('SharedAccessKey=hunter2'), { code: 'EAUTH' });
  const error = Object.assign(new Error('sending', { cause: root }), {
    config: { headers: { x: 'hunter2' } },
  });

  const redacted = redact({ error });

  expect(redacted).toMatchObject({
    error: {
      type: 'Error',
      message: 'sending',
      cause: { message: 'SharedAccessKey=[redacted]', code: 'EAUTH' },
    },
  });
  expect(JSON.stringify(redacted)).not.toContain('hunter2');
});

test('goes into the errors of an AggregateError', () => {
  const error = new AggregateError([new Error(PEM)], 'two tries');

  expect(JSON.stringify(redact(error))).not.toContain('hunter2');
  expect(redact(error)).toMatchObject({ errors: [{ message: expect.stringContaining('[redacted]') }] });
});

test('hides the values of secret fields at every depth', () => {
  const value = {
    a: [{ Authorization: 'x', nested: { privateKey: 'hunter2', password: 'hunter2', token: 'hunter2' } }],
  };

  expect(JSON.stringify(redact(value))).not.toContain('hunter2');
});

test('never throws: cycles, getters that throw, bytes and big integers', () => {
  const cyclic: Record<string, unknown> = { bytes: Buffer.from('payload'), big: 2n ** 64n };
  cyclic.self = cyclic;
  Object.defineProperty(cyclic, 'bad', { enumerable: true, get: () => assertNeverRead() });

  expect(redact(cyclic)).toMatchObject({ bytes: '<7 bytes>', big: '18446744073709551616' });
});

function assertNeverRead(): never {
  throw new Error('must not be read');
}

test('cuts long text, so that no line costs much', () => {
  expect(redactText('a'.repeat(1_000_000)).length).toBeLessThan(10_000);
});
