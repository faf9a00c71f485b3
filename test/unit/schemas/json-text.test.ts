import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseJsonText } from '../../../schemas/json-text.ts';

const parse = (text: string, maxDepth = 32): unknown => parseJsonText(Buffer.from(text), maxDepth);

describe('a JSON text', () => {
  test.each(['{"a":[1,"é",null]}', ' true ', '"\\ud800"', '{"__proto__":1}'])('%s is parsed', (text) => {
    expect(parse(text)).toEqual({ value: JSON.parse(text) as unknown });
  });

  test('may begin with a byte order mark', () => {
    expect(parse('\ufeff{}')).toEqual({ value: {} });
    expect(parse('\ufeff\ufeff{}')).toHaveProperty('problem');
  });

  test.each([
    ['', 1, 1],
    ['  \n ', 2, 2],
    ['{', 1, 2],
    ['{"id":"80",\n "name": ,}', 2, 10],
    ['\ufeff{"é":x}', 1, 6],
    ['{}\n\n}', 3, 1],
    ['[1,]', 1, 4],
    ['"a\tb"', 1, 3],
    ['01', 1, 2],
  ])('%j breaks in line %i, column %i', (text, line, column) => {
    expect(parse(text)).toEqual({ problem: `is not valid JSON (line ${line}, column ${column})` });
  });

  test('must be UTF-8', () => {
    expect(parseJsonText(Buffer.from([0x22, 0xc3, 0x28, 0x22]), 32)).toEqual({ problem: 'is not UTF-8' });
  });

  test('nests as deep as is allowed', () => {
    expect(parse('{"a":[1]}', 2)).toHaveProperty('value');
    expect(parse('{"a":[[]]}', 2)).toEqual({ problem: 'nests deeper than 2 levels' });
    expect(parse('['.repeat(30_000) + ']'.repeat(30_000))).toHaveProperty('problem');
    expect(parse('['.repeat(30_000))).toHaveProperty('problem');
  });

  test('is parsed exactly when JSON.parse parses it, whatever it is', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      'u00',
      '1',
      '-',
      '.',
      'e',
      'true',
      'null',
      ' ',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          fc.array(piece).map((pieces) => pieces.join('')),
        ),
        (text) => {
          let expected: unknown;
          try {
            expected = { value: JSON.parse(text) as unknown };
          } catch {
            expected = {
              problem: expect.stringMatching(/^is not valid JSON \(line 1, column \d+\)$/) as unknown,
            };
          }
          expect(parse(text, 1_000)).toEqual(expected);
        },
      ),
      { numRuns: 300 },
    );
  });
});
