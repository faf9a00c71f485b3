import { expect, test } from '@jest/globals';
import { ExplainError, parseExplainRequest } from '../../../processors/explain-request.ts';

function refusalOf(body: unknown): Pick<ExplainError, 'code' | 'field'> {
  try {
    parseExplainRequest(body);
  } catch (error) {
    if (error instanceof ExplainError) return { code: error.code, field: error.field };
    throw error;
  }
  throw new Error('the request was taken');
}

test('takes coordinates, numbers and decimal texts alike', () => {
  const expected = { kind: 'record', topic: 'm', partition: 3, offset: 123_456 };

  expect(parseExplainRequest({ topic: 'm', partition: 3, offset: 123_456 })).toEqual(expected);
  expect(parseExplainRequest({ topic: 'm', partition: '3', offset: '123456' })).toEqual(expected);
});

test('takes a mutation', () => {
  expect(parseExplainRequest({ mutation: { op: 'UPDATE' } })).toEqual({
    kind: 'mutation',
    value: Buffer.from('{"op":"UPDATE"}'),
  });
});

test.each([
  [null, 'invalid_parameter', null],
  ['text', 'invalid_parameter', null],
  [[], 'invalid_parameter', null],
  [{}, 'invalid_parameter', 'topic'],
  [{ topic: 'a b', partition: 0, offset: 0 }, 'invalid_parameter', 'topic'],
  [{ topic: 'm', partition: -1, offset: 0 }, 'invalid_parameter', 'partition'],
  [{ topic: 'm', partition: 1.5, offset: 0 }, 'invalid_parameter', 'partition'],
  [{ topic: 'm', partition: 2 ** 31, offset: 0 }, 'invalid_parameter', 'partition'],
  [{ topic: 'm', partition: 0 }, 'invalid_parameter', 'offset'],
  [{ topic: 'm', partition: 0, offset: '9007199254740993' }, 'invalid_parameter', 'offset'],
  [{ topic: 'm', partition: 0, offset: 0, key: 'k' }, 'invalid_parameter', 'key'],
  [{ mutation: {}, topic: 'm' }, 'invalid_parameter', 'mutation'],
  [{ mutation: 'text' }, 'invalid_mutation', 'mutation'],
  [{ mutation: null }, 'invalid_mutation', 'mutation'],
  [{ mutation: [] }, 'invalid_mutation', 'mutation'],
])('refuses %j, naming the field', (body, code, field) => {
  expect(refusalOf(body)).toEqual({ code, field });
});
