import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { writeAvroLong, writeDecimal } from '../../../schemas/byte-writer.ts';
import { COMPILED_DOCUMENT_RULES, DOCUMENT_RULES } from '../../../schemas/document-id.ts';
import { DOCUMENT_TYPES } from '../../../schemas/document-type.ts';
import { JsonMutationDecoder } from '../../../schemas/json-mutation-decoder.ts';
import { ID_PARTS, MAX_TS, MutationView } from '../../../schemas/mutation.ts';
import { AvroOperationEncoder } from '../../../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../../../schemas/operation-encoder-json.ts';
import type { OperationEncoder } from '../../../schemas/operation-encoder.ts';
import {
  aMutation,
  asJson,
  avroType,
  schemaText,
  USER_POINT_ID,
  type MutationFields,
} from './mutation-builder.ts';

const OPERATION = avroType(schemaText('operation-record-with-parent'));

function encode(encoder: OperationEncoder, mutation: MutationFields): Buffer {
  const view = new MutationView();
  const decoder = new JsonMutationDecoder();
  expect(`${decoder.decode(asJson(mutation), view, () => true)} ${decoder.detail}`).toBe('ok ');
  const room = encoder.maxBytes(view);
  const target = Buffer.alloc(room + 8, 0xaa);
  const end = encoder.encode(view, target, 4);
  expect(end).toBeLessThanOrEqual(4 + room);
  expect([...target.subarray(0, 4), ...target.subarray(end)].every((byte) => byte === 0xaa)).toBe(true);
  return target.subarray(4, end);
}

/** Any string: lone surrogates, controls, quotes, all of Unicode. */
const text = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }),
  fc.string({
    unit: fc.constantFrom(
      '"',
      '\\',
      '\n',
      '\u0001',
      '\u007f',
      '\ud800',
      '\udc00',
      'í',
      '퟿',
      '\ue000',
      'a',
      ':',
      '😀',
    ),
    minLength: 1,
  }),
);
const parts = fc.record(Object.fromEntries(ID_PARTS.map((part) => [part, text])));
const anyMutation = fc.record({
  parts,
  docType: fc.constantFrom(...DOCUMENT_TYPES),
  op: fc.constantFrom('UPDATE', 'DELETE'),
  ts: fc.integer({ min: 1, max: MAX_TS }),
  value: fc.option(fc.dictionary(text, fc.jsonValue())),
  hasAccount: fc.boolean(),
});

/** The operation as the contract's tables say it, made the simple way. */
function expectedOf({
  parts: ids,
  docType,
  op,
  ts,
  value,
  hasAccount,
}: typeof anyMutation extends fc.Arbitrary<infer T> ? T : never) {
  const fields: Partial<Record<string, string>> = {
    ...ids,
    user_account_id: hasAccount || docType !== 'UserProfile' ? ids['user_account_id'] : undefined,
  };
  const rule = DOCUMENT_RULES[docType];
  const docId = [
    USER_POINT_ID,
    ...rule.docId.map((part) => fields[part]).filter((id) => id !== undefined),
  ].join(':');
  const isMerge = docType === 'UserPointParent';
  const outOp = isMerge ? 'UPDATE' : op;
  const carried = rule.value === 'carried' && op === 'UPDATE' ? (value ?? {}) : {};
  const out = isMerge ? `${USER_POINT_ID} merged with ${ids['kept_user_point_id']}` : carried;
  return {
    mutation: aMutation({ ...fields, doc_type: docType, op, ts, value }),
    docId,
    op: outOp,
    value: out,
  };
}

test('version 1 is what JSON.stringify writes', () => {
  fc.assert(
    fc.property(anyMutation, (random) => {
      const { mutation, docId, op, value } = expectedOf(random);
      expect(encode(new JsonOperationEncoder(), mutation).toString()).toBe(
        JSON.stringify({ ts: random.ts, doc_type: random.docType, doc_id: docId, op, value }),
      );
    }),
    { numRuns: 1000 },
  );
});

test('version 2 is what avsc writes for well-formed text, U+FFFD in place of a lone surrogate, exact beyond 2^53 in zigzag', () => {
  fc.assert(
    fc.property(anyMutation, (random) => {
      const { mutation, docId, op, value } = expectedOf(random);
      const expected = OPERATION.toBuffer({
        ts: random.ts * 1000,
        doc_type: random.docType,
        doc_id: docId.toWellFormed(),
        ctx_id: USER_POINT_ID,
        op,
        value: JSON.stringify(value),
      });
      expect(encode(new AvroOperationEncoder(), mutation).toString('hex')).toBe(expected.toString('hex'));
    }),
    { numRuns: 1000 },
  );
});

test.each([1, 67_108, 67_109, 134_217, 2_147_483, 4_294_968, 1_676_627_112_685, MAX_TS - 1, MAX_TS])(
  'writes the timestamp %i exactly',
  (ts) => {
    const { ts: micros } = OPERATION.fromBuffer(encode(new AvroOperationEncoder(), aMutation({ ts }))) as {
      ts: number;
    };
    expect(micros).toBe(ts * 1000);
    expect(encode(new JsonOperationEncoder(), aMutation({ ts })).toString()).toContain(`{"ts":${ts},`);
  },
);

test('writes whole numbers in decimal and as Avro longs', () => {
  const long = avroType('"long"');
  const target = Buffer.alloc(20);
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.nat(53), (number, shift) => {
      const small = Math.floor(number / 2 ** shift);
      expect(target.toString('latin1', 1, writeDecimal(small, target, 1))).toBe(String(small));
      // avsc refuses to read the longs next to 2^53.
      fc.pre(small < 2 ** 52);
      expect(target.subarray(1, writeAvroLong(small, target, 1))).toEqual(long.toBuffer(small));
    }),
  );
});

test('an operation without a value carries the empty object', () => {
  const activity = aMutation({ doc_type: 'UserActivity', user_activity_id: 'a' });
  expect(encode(new JsonOperationEncoder(), activity).toString()).toMatch(/"value":\{\}\}$/);
  expect(encode(new AvroOperationEncoder(), { ...activity, value: null }).toString()).toMatch(/\x04\{\}$/);
  expect(
    encode(new JsonOperationEncoder(), { ...activity, op: 'DELETE', value: { secret: 1 } }).toString(),
  ).not.toContain('secret');
});

test('compiles one rule per document type', () => {
  expect(COMPILED_DOCUMENT_RULES).toHaveLength(DOCUMENT_TYPES.length);
  expect(COMPILED_DOCUMENT_RULES[2]).toEqual({
    docIdSlots: [2, 3],
    neededSlots: [2],
    usedMask: 0b1100,
    value: 'carried',
  });
});
