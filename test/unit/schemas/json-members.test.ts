import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { JsonMembers } from '../../../schemas/json-members.ts';

const members = new JsonMembers(['a', 'b']);
const read = (text: string): boolean => members.read(Buffer.from(text));

test('finds values without parsing them', () => {
  expect(read(' { "x" : [1,{"a":2}] , "a" : {"n": 1e400, "k" : [ ]} ,"b":"\\u0041" } ')).toBe(true);
  expect(members.value('a')?.toString()).toBe('{"n": 1e400, "k" : [ ]}');
  expect(members.parsed('b')).toBe('A');
});

test('of a repeated member the last counts, and an escaped name is one', () => {
  expect(read('{"a":1,"\\u0061":2}')).toBe(true);
  expect(members.parsed('a')).toBe(2);
});

test('what is absent or null is null, also after a text that had it', () => {
  expect(read('{"a":1,"b":null}')).toBe(true);
  expect(members.value('b')).toBeNull();
  expect(read('{}')).toBe(true);
  expect(members.value('a')).toBeNull();
  expect(members.parsed('a')).toBeNull();
});

test.each(['', '1', '[]', '{', '{"a"}', '{"a":1,}', '{"a":1}x', '{"a":tru}', '{a:1}', '{"a":1 "b":2}'])(
  'refuses %j',
  (text) => {
    expect(read(text)).toBe(false);
  },
);

test('refuses bytes that are no UTF-8', () => {
  expect(members.read(Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]))).toBe(false);
});

test('reads what JSON.stringify writes as JSON.parse does', () => {
  fc.assert(
    fc.property(fc.record({ a: fc.jsonValue(), b: fc.jsonValue(), c: fc.jsonValue() }), (object) => {
      const text = JSON.stringify(object);
      expect(read(text)).toBe(true);
      const { a, b } = JSON.parse(text) as typeof object;
      expect({ a: members.parsed('a'), b: members.parsed('b') }).toEqual({ a, b });
    }),
  );
});
