import { expect, test } from '@jest/globals';
import { redact, redactText } from '../../../config/redaction.ts';

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
])('takes the secret out of %j', (text) => {
  expect(redactText(text)).not.toContain('hunter2');
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
