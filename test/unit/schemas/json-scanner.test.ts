import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isJsonInteger, JsonScanner, MAX_JSON_DEPTH } from '../../../schemas/json-scanner.ts';

const scanner = new JsonScanner();

/** Where the text ends, or breaks (negative), with other bytes around it that must not matter. */
function scan(text: string | Buffer, around = '"]}'): number {
  const bytes = Buffer.from(text);
  const memory = Buffer.concat([Buffer.from(around), bytes, Buffer.from(around)]);
  scanner.begin(memory.subarray(around.length), bytes.length);
  const start = scanner.skipSpace(0);
  const end = scanner.skipValue(start);
  if (end < 0) return end;
  const rest = scanner.skipSpace(end);
  return rest === bytes.length ? end : ~rest;
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(SyntaxError);
    return false;
  }
}

test.each([
  '{}',
  '[]',
  '[[]]',
  '{"":{}}',
  '0',
  '-0',
  '-1.5e-7',
  '1E+2',
  '1e400',
  '12345678901234567890',
  'true',
  'false',
  'null',
  '""',
  '"\\ud800"',
  '"\\u00e9\\n\\"\\\\\\/"',
  '"\u007f"',
  '[1,2, 3 ]',
  '\t\r\n {"a" : [ null ] , "a":1}\n',
  '{"__proto__":1}',
])('takes %j', (text) => {
  expect(scan(text)).toBeGreaterThanOrEqual(0);
  expect(parses(text)).toBe(true);
});

test.each([
  '',
  ' ',
  '{',
  '[',
  '"',
  '"\\',
  '"\\u12',
  '"\\u12g4"',
  '"\\x"',
  '"a\nb"',
  '"\u0000"',
  '{"a"}',
  '{"a":}',
  '{"a":1,}',
  '{,}',
  '{a:1}',
  "{'a':1}",
  '[1,]',
  '[,1]',
  '[1 2]',
  '[1}',
  '{"a":1]',
  '01',
  '-',
  '+1',
  '.5',
  '1.',
  '1e',
  '1e+',
  '--1',
  'NaN',
  'Infinity',
  'nul',
  'nullx',
  'True',
  '{}{}',
  '{"a":1 "b":2}',
  '\u00a0{}',
  '\ufeff{}',
  '{"a":undefined}',
  '/**/{}',
])('refuses %j', (text) => {
  expect(scan(text)).toBeLessThan(0);
  expect(parses(text)).toBe(false);
});

test('says where a text breaks', () => {
  expect(~scan('{"a":NaN}')).toBe(5);
  expect(~scan('{"a":1')).toBe(6);
  expect(~scan('["abc')).toBe(5);
});

test('takes 256 levels of nesting and refuses 257', () => {
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  expect(scan(nested(MAX_JSON_DEPTH))).toBe(2 * MAX_JSON_DEPTH);
  expect(~scan(nested(MAX_JSON_DEPTH + 1))).toBe(MAX_JSON_DEPTH);
  expect(scan(`${'{"a":'.repeat(MAX_JSON_DEPTH)}1${'}'.repeat(MAX_JSON_DEPTH)}`)).toBeGreaterThan(0);
});

test('doesn’t look behind the end of its text, wherever it ends in memory', () => {
  for (let length = 0; length <= 12; length++) {
    expect(scan('"'.padEnd(length, 'x'), '"')).toBeLessThan(0);
    expect(scan(`"${'x'.repeat(length)}"`, '')).toBe(length + 2);
  }
});

test('finds the end of every JSON text that JSON.stringify writes', () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom('', ' ', '\n\t'), (text, space) => {
      expect(scan(space + text + space)).toBe(space.length + Buffer.byteLength(text));
    }),
    { numRuns: 500 },
  );
});

test('agrees with JSON.parse on texts with a byte changed, left out or put in', () => {
  const fragment = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ':',
    ',',
    '"',
    '\\',
    ' ',
    '\n',
    '0',
    '1',
    '-',
    '.',
    'e',
    'u',
    'n',
    't',
    '\u0001',
    'é',
  );
  fc.assert(
    fc.property(fc.json(), fc.nat(), fc.nat(2), fragment, (text, position, removed, inserted) => {
      const at = position % (text.length + 1);
      const mutated = text.slice(0, at) + inserted + text.slice(at + removed);
      fc.pre(mutated.isWellFormed());
      expect(scan(mutated) >= 0).toBe(parses(mutated));
    }),
    { numRuns: 3000 },
  );
});

test('agrees with JSON.parse on random runs of JSON’s own pieces', () => {
  const piece = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ':',
    ',',
    '"a"',
    '"',
    '\\',
    '\\u00e9',
    ' ',
    '0',
    '1',
    '-',
    '.5',
    'e1',
    'null',
    'true',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
      const text = pieces.join('');
      expect(scan(text) >= 0).toBe(parses(text));
    }),
    { numRuns: 5000 },
  );
});

test.each([
  ['0', true],
  ['-12', true],
  ['1.0', false],
  ['1e3', false],
])('knows whether %s is an integer', (text, isInteger) => {
  expect(isJsonInteger(Buffer.from(text), 0, text.length)).toBe(isInteger);
});
