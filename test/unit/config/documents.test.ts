import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MAX_DOCUMENT_BYTES, parseDocuments, yamlText } from '../../../config/documents.ts';

test.each([
  ['', []],
  ['# nothing', []],
  ['a: 1\n---\n---\n- b', [{ a: 1 }, ['b']]],
  ['{\n\t"a": [1.5, true, null]\n}', [{ a: [1.5, true, null] }]],
  ['a: 2020-01-01', [{ a: '2020-01-01' }]],
  ['a: 9007199254740993', [{ a: '9007199254740993' }]],
  ['a: -9007199254740993', [{ a: '-9007199254740993' }]],
])('%j holds %j', (text, values) => {
  expect(parseDocuments(text, 'f')).toEqual(values);
});

test('a field that names the prototype is a field like any other', () => {
  const [value] = parseDocuments('__proto__: {polluted: true}', 'f');

  expect(Object.keys(value as object)).toEqual(['__proto__']);
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
});

test.each([
  ['a: [SECRET', 'line 1'],
  ['a: 1\nb: {SECRET: 1, SECRET: 2}', 'line 2: DUPLICATE_KEY'],
  ['a: !include SECRET', 'line 1: TAG_RESOLVE_FAILED'],
  ['a: *SECRET', 'alias'],
  ['{"a": 1}\n{"b": "SECRET"}', 'line 2'],
])('%j is told with its line, and nothing of it', (text, expected) => {
  expect(() => parseDocuments(text, 'file.yaml')).toThrow(expected);
  expect(() => parseDocuments(text, 'file.yaml')).not.toThrow('SECRET');
});

test('an alias is what it refers to, a name that is a number its digits', () => {
  expect(parseDocuments('a: &filters [x, {y: 1}]\nb: *filters\n1: c\n', 'f')).toEqual([
    { a: ['x', { y: 1 }], b: ['x', { y: 1 }], 1: 'c' },
  ]);
});

test.each([
  ['aliases of aliases', grownBy((before) => `[${Array(9).fill(before).join(', ')}]`), 'values'],
  [
    'one long list again and again',
    `a: &a [${Array(20_000).fill('x').join()}]\nb: [${Array(99).fill('*a').join()}]`,
    'values',
  ],
  ['an alias within what it refers to', 'a: &a [*a]', 'deeper than 64 levels'],
  ['lists in lists', `${'['.repeat(70)}${']'.repeat(70)}`, 'deeper than 64 levels'],
  ['lists beyond the parser’s depth', '- '.repeat(5_000), 'RESOURCE_EXHAUSTION'],
  ['names in names', `${'? '.repeat(500)}x`, 'a name that is no text'],
  ['a name that is an alias', 'a: &a x\n*a : 1', 'a name that is no text'],
  ['an alias from another document', 'a: &a x\n---\nb: *a', 'an alias of nothing'],
  ['too long a text', `# ${'x'.repeat(MAX_DOCUMENT_BYTES)}`, 'longer than 4 MiB'],
])('%s are refused, and soon', (_, text, expected) => {
  expect(() => parseDocuments(text, 'f')).toThrow(expected);
});

test('sixty thousand names are no more work than they are long', () => {
  const names = Array.from({ length: 60_000 }, (_, i) => `name${i}: 1`);

  // Compared with each other, they would take longer than a test may.
  expect(Object.keys(parseDocuments(names.join('\n'), 'f')[0] as object)).toHaveLength(60_000);
});

/** A text whose every line is made of what the line before stands for. */
function grownBy(next: (before: string) => string): string {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 10; i += 1) lines.push(`a${i}: &a${i} ${next(`*a${i - 1}`)}`);
  return lines.join('\n');
}

test('what is written reads back the same, also texts that look like something else', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom('yes', '007', '1e3', 'null', '- a', '{', ''),
  );
  const values = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      texts,
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(texts, tie('value'), { maxKeys: 4, noNullPrototype: true }),
    ),
  }));

  fc.assert(
    fc.property(fc.dictionary(texts, values.value, { noNullPrototype: true }), (value) => {
      expect(parseDocuments(yamlText(value), 'f')).toEqual([value]);
    }),
  );
});
