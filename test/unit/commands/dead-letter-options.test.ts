import { expect, test } from '@jest/globals';
import { pointInTime } from '../../../commands/dead-letter-options.ts';
import { safeText } from '../../../commands/safe-text.ts';

const NOW = Date.UTC(2026, 10, 24, 8);

test.each([
  ['2026-11-24T08:00:00Z', NOW],
  ['2026-11-24T08:00', NOW],
  ['2026-11-24 09:00:00+01:00', NOW],
  ['2026-11-24', NOW - 8 * 3_600_000],
  [String(NOW), NOW],
  ['90m', NOW - 90 * 60_000],
  ['7d', NOW - 7 * 86_400_000],
])('takes %s for a time', (text, expected) => {
  expect(pointInTime(text, NOW)).toBe(expected);
});

test.each(['', 'yesterday', '2026-13-01', '12', '-1h', '2026-11-24T', '1.5h'])(
  'refuses %j as a time',
  (text) => {
    expect(() => pointInTime(text, NOW)).toThrow('Allowed is a time');
  },
);

test('shows a header without what a terminal obeys, secrets, user points and e-mail addresses', () => {
  const text =
    'no \u001b[31m4700c85f-17e3-4304-aa7f-dc140173b08d\nof jane.doe@example.com, SharedAccessKey=abc; \u202egood';

  expect(safeText(text)).toBe('no  [31m<id> of <e-mail>, SharedAccessKey=[redacted];  good');
  expect(safeText('x'.repeat(1_000))).toHaveLength(301);
});
