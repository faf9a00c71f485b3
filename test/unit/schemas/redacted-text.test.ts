import { describe, expect, test } from '@jest/globals';
import { redact } from '../../../config/redaction.ts';
import { redactText, redactWords } from '../../../schemas/redacted-text.ts';
import { SinkError } from '../../../sinks/sink.ts';

const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';
const WORDS = `${USER.toUpperCase()} of some.body+tag@mail.example.com has no right, SharedAccessKey=c2VjcmV0`;
const SAFE = '<id> of <e-mail> has no right, SharedAccessKey=[redacted]';

describe('the words of others', () => {
  test.each([
    [WORDS, SAFE],
    [`user=${USER},x`, 'user=<id>,x'],
    ['to somebody%40example.com', 'to <e-mail>'],
    ['sig SharedAccessKey%3Dc2VjcmV0', 'sig SharedAccessKey%3D[redacted]'],
    // What helps, and is no person's.
    ['writer@acme.iam.gserviceaccount.com lacks it', 'writer@acme.iam.gserviceaccount.com lacks it'],
    [`TrackingId:${USER}_B12, SystemTracker:x`, `TrackingId:${USER}_B12, SystemTracker:x`],
    [
      'publishing to projects/acme/topics/users: not found',
      'publishing to projects/acme/topics/users: not found',
    ],
  ])('%s', (words, safe) => {
    expect(redactWords(words)).toBe(safe);
  });

  test.each([
    'a'.repeat(8_000),
    '\\'.repeat(8_000),
    'a://'.repeat(2_000),
    '@a'.repeat(4_000),
    '"iv"'.repeat(2_000),
  ])('cost little, whatever they are', (words) => {
    const startedAt = process.cpuUsage();

    redactWords(words);

    expect(process.cpuUsage(startedAt).user).toBeLessThan(500_000);
  });
});

test('this program’s own texts keep their ids', () => {
  expect(redactText(`error_id ${USER}`)).toBe(`error_id ${USER}`);
});

test('a failure of a destination is safe wherever its message goes, and its causes are in the log', () => {
  const inner = new Error(WORDS);
  const failure = new SinkError('fatal', 'permission_denied', WORDS, {
    cause: new AggregateError([inner], 'several', { cause: inner }),
  });

  expect(failure.message).toBe(SAFE);
  expect(JSON.stringify(redact({ error: failure }))).not.toMatch(/4700c85f|example\.com|c2VjcmV0/i);
});
