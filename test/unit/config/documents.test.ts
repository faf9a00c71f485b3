import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseDocuments, yamlText } from '../../../config/documents.ts';

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

test('a small text that grows by its aliases is refused', () => {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 10; i++)
    lines.push(
      `a${i}: &a${i} [${Array(9)
        .fill(`*a${i - 1}`)
        .join(', ')}]`,
    );

  expect(() => parseDocuments(lines.join('\n'), 'f')).toThrow('alias');
});

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
