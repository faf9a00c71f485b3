import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DOCUMENT_RULES } from '../../../schemas/document-id.ts';
import { DOCUMENT_TYPES } from '../../../schemas/document-type.ts';
import { JsonMutationDecoder } from '../../../schemas/json-mutation-decoder.ts';
import { ID_PARTS, MAX_TS, MutationView } from '../../../schemas/mutation.ts';
import { aMutation, asJson, decodeWith, TS, USER_POINT_ID, type Decoded } from './mutation-builder.ts';

const decode = (record: Buffer | string): Decoded =>
  decodeWith(new JsonMutationDecoder(), Buffer.from(record));
/** The text of a mutation with one field's JSON put in its place, or behind all others. */
const withRaw = (field: string, json: string, fields = {}): string => {
  return JSON.stringify(aMutation({ ...fields, [field]: undefined })).replace(/\}$/, `,"${field}":${json}}`);
};

test('finds all fields and leaves the value as it is', () => {
  const value = '{ "$a":1.50, "a":12345678901234567890,"a":null,"\\ud800":1e400 }';
  const fields = Object.fromEntries(ID_PARTS.map((part) => [part, `${part} é:1`]));
  expect(decode(withRaw('value', value, { doc_type: 'UserActivity', ...fields }))).toEqual({
    status: 'ok',
    detail: '',
    datamart: 1649,
    ts: TS,
    op: 'UPDATE',
    docType: 'UserActivity',
    userPoint: USER_POINT_ID,
    parts: fields,
    value,
  });
});

test('takes white space around everything, unknown fields, and ids and timestamps as numbers or strings', () => {
  const record = ` \n{ "x" : [ {} , "\\"" ] ,"datamart_id" : "1649" , "user_point_id":"${USER_POINT_ID}","ts":"${TS}","op":" update\\n","doc_type":"UserSegment" , "segment_id" : -12 , "y":null } \r\n`;
  expect(decode(record)).toMatchObject({
    status: 'ok',
    datamart: 1649,
    ts: TS,
    op: 'UPDATE',
    parts: { segment_id: '-12' },
  });
});

test.each([
  ['UPDATE', 'UPDATE'],
  ['DELETE', 'DELETE'],
  ['UPSERT', 'UPDATE'],
  ['\tdelete ', 'DELETE'],
  ['Upsert', 'UPDATE'],
])('takes op %j as %s', (op, expected) => {
  expect(decode(asJson(aMutation({ op })))).toMatchObject({ status: 'ok', op: expected });
});

test.each([
  ['datamart_id', '0', 'invalid_datamart_id'],
  ['datamart_id', '-1', 'invalid_datamart_id'],
  ['datamart_id', '1.0', 'invalid_datamart_id'],
  ['datamart_id', '1e3', 'invalid_datamart_id'],
  ['datamart_id', '"01"', 'invalid_datamart_id'],
  ['datamart_id', '""', 'invalid_datamart_id'],
  ['datamart_id', 'null', 'invalid_datamart_id'],
  ['datamart_id', '"12345678901234567890"', 'invalid_datamart_id'],
  ['datamart_id', '[1]', 'invalid_datamart_id'],
  ['user_point_id', '""', 'invalid_user_point_id'],
  ['user_point_id', '7', 'invalid_user_point_id'],
  ['user_point_id', 'null', 'invalid_user_point_id'],
  ['user_point_id', '"4700c85f-17e3-4304-aa7f-dc140173b08"', 'invalid_user_point_id'],
  ['user_point_id', '"4700c85f-17e3-4304-aa7f-dc140173b08g"', 'invalid_user_point_id'],
  ['user_point_id', '"4700c85f117e3-4304-aa7f-dc140173b08d"', 'invalid_user_point_id'],
  ['ts', '0', 'ts_out_of_range'],
  ['ts', '-1', 'ts_out_of_range'],
  ['ts', '1676627112685000', 'ts_out_of_range'],
  ['ts', '1e12', 'ts_out_of_range'],
  ['ts', '1.5', 'ts_out_of_range'],
  ['ts', `${MAX_TS + 1}`, 'ts_out_of_range'],
  ['ts', 'null', 'ts_out_of_range'],
  ['ts', '" 1"', 'ts_out_of_range'],
  ['ts', '""', 'ts_out_of_range'],
  ['op', '"CREATE"', 'unknown_op'],
  ['op', 'null', 'unknown_op'],
  ['op', '1', 'unknown_op'],
  ['op', '""', 'unknown_op'],
  ['doc_type', '"userpoint"', 'unknown_doc_type'],
  ['doc_type', '"USER_POINT"', 'unknown_doc_type'],
  ['doc_type', 'null', 'unknown_doc_type'],
  ['doc_type', '""', 'unknown_doc_type'],
  ['value', '[]', 'invalid_value'],
  ['value', '"{}"', 'invalid_value'],
  ['value', '1', 'invalid_value'],
  ['value', 'true', 'invalid_value'],
  ['value', '{"a":NaN}', 'invalid_value'],
  ['value', '{"a":[1', 'invalid_value'],
  ['value', '{"a":1]', 'invalid_value'],
  ['value', '', 'invalid_value'],
])('refuses %s %s as %s', (field, json, status) => {
  const decoded = decode(withRaw(field, json));
  expect(decoded.status).toBe(status);
  expect(decoded.detail).not.toBe('');
});

test.each([
  '{',
  '{"a"',
  '{"a":1,}',
  '{"a":1}}',
  '{}x',
  '{"a":tru}',
  '{"a":"\n"}',
  '{"a\\x":1}',
  '{"ts":1676627112685',
  '{"ts":01}',
  '[]',
])('says that %j isn’t a JSON object', (text) => {
  expect(decode(text)).toMatchObject({
    status: 'decode_failed',
    detail: expect.stringMatching(/at byte \d+$/) as unknown,
  });
});

test('tells a break of UTF-8 in the value from one elsewhere', () => {
  const broken = (field: string): Buffer => {
    const record = asJson(aMutation({ value: { a: 'XX' }, extra: 'YY' }));
    record[record.indexOf(field === 'value' ? 'XX' : 'YY')] = 0xff;
    return record;
  };
  expect(decode(broken('value')).status).toBe('invalid_value');
  expect(decode(broken('extra')).status).toBe('decode_failed');
});

test('takes a value of 256 levels and refuses one of 257', () => {
  const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
  expect(decode(withRaw('value', nested(256))).status).toBe('ok');
  expect(decode(withRaw('value', nested(257))).status).toBe('invalid_value');
});

test.each(['datamart_id', 'user_point_id', 'ts', 'op', 'doc_type'])('needs %s', (field) => {
  expect(decode(asJson(aMutation({ [field]: undefined }))).detail).toMatch(
    new RegExp(`^${field} is missing`),
  );
});

test('of several mistakes the first field of the contract’s table counts', () => {
  const order = ['datamart_id', 'user_point_id', 'ts', 'op', 'doc_type'];
  const bad = { value: [], doc_type: 'X', op: 'X', ts: 0, user_point_id: 'X', datamart_id: 0 };
  const good = aMutation();
  const statuses = order.map(
    (_, count) =>
      decode(
        asJson({ ...bad, ...Object.fromEntries(order.slice(0, count).map((name) => [name, good[name]])) }),
      ).status,
  );
  expect(statuses).toEqual([
    'invalid_datamart_id',
    'invalid_user_point_id',
    'ts_out_of_range',
    'unknown_op',
    'unknown_doc_type',
  ]);
  expect(decode(asJson(aMutation({ doc_type: 'UserSegment', value: [] }))).status).toBe('missing_id');
});

test.each(DOCUMENT_TYPES.map((docType) => ({ docType })))(
  'needs the id parts of $docType, and no others',
  ({ docType }) => {
    const { docId, optional, mentioned } = DOCUMENT_RULES[docType];
    const used = mentioned === null ? docId : [...docId, mentioned];
    const all = Object.fromEntries(used.map((part) => [part, 'x']));
    expect(decode(asJson(aMutation({ doc_type: docType, ...all }))).status).toBe('ok');
    for (const part of used) {
      const without = (nothing: unknown): string =>
        decode(asJson(aMutation({ doc_type: docType, ...all, [part]: nothing }))).status;
      const expected = part === optional ? 'ok' : 'missing_id';
      expect([without(undefined), without(null), without('')]).toEqual([expected, expected, expected]);
      expect([without(1.5), without(true), without({})]).toEqual(['missing_id', 'missing_id', 'missing_id']);
    }
    expect(
      decode(
        asJson(
          aMutation({ doc_type: docType, ...Object.fromEntries(ID_PARTS.map((part) => [part, {}])), ...all }),
        ),
      ).status,
    ).toBe('ok');
  },
);

test.each(['UserChoice', 'UserScenario', 'UserTrait'])('ignores %s, whatever else is wrong', (docType) => {
  expect(decode(asJson(aMutation({ doc_type: docType }))).status).toBe('ignored');
  expect(decode(asJson(aMutation({ doc_type: docType, op: 'MERGE', ts: 0, value: 1 }))).status).toBe(
    'ignored',
  );
});

test('the operation of a merge is UPDATE, and an unknown one still counts', () => {
  const merge = (op: string): Decoded =>
    decode(asJson(aMutation({ doc_type: 'UserPointParent', kept_user_point_id: 'k', op })));
  expect(merge('DELETE')).toMatchObject({ status: 'ok', op: 'UPDATE' });
  expect(merge('X').status).toBe('unknown_op');
});

test('of a repeated field the last counts', () => {
  const twice = JSON.stringify(aMutation({ doc_type: 'UserSegment', segment_id: 'a', value: [] })).replace(
    /\}$/,
    `,"segment_id":"b","value":{"c":1},"ts":5,"doc_type":"UserChoice","doc_type":"UserSegment"}`,
  );
  expect(decode(twice)).toMatchObject({ status: 'ok', parts: { segment_id: 'b' }, value: '{"c":1}', ts: 5 });
  expect(decode(withRaw('value', '{},"value":null')).value).toBe('');
  expect(decode(withRaw('ts', '5,"ts":null')).status).toBe('ts_out_of_range');
  expect(decode(withRaw('segment_id', '"a","segment_id":true', { doc_type: 'UserSegment' })).status).toBe(
    'missing_id',
  );
});

test('unescapes names, ids, and lone surrogates as WTF-8', () => {
  const record = `{"datamart_\\u0069d":"\\u0031649","user_point_id":"${USER_POINT_ID.replace('-', '\\u002d')}","ts":1,"op":"\\u0055PDATE","doc_type":"User\\u0053egment","segment_id":"a\\"\\\\\\/\\n\\ud83d\\ude00\\ud800","value":{"\\u0061":"\\n"}}`;
  const view = new MutationView();
  expect(new JsonMutationDecoder().decode(Buffer.from(record), view, () => true)).toBe('ok');
  const slot = ID_PARTS.indexOf('segment_id') * 2;
  expect(view.bytes.subarray(view.parts[slot], view.parts[slot + 1])).toEqual(
    Buffer.concat([Buffer.from('a"\\/\n😀'), Buffer.from([0xed, 0xa0, 0x80])]),
  );
  expect(view.bytes.toString('utf8', view.userPointStart, view.userPointEnd)).toBe(USER_POINT_ID);
  expect(view.bytes.toString('utf8', view.valueStart, view.valueEnd)).toBe('{"\\u0061":"\\n"}');
});

test('looks no further than at the datamart of a record that nobody wants', () => {
  const decoder = new JsonMutationDecoder();
  const seen: unknown[] = [];
  const isWanted = (datamart: unknown): boolean => (seen.push(datamart), false);
  expect(decodeWith(decoder, Buffer.from('{"op":"X","datamart_id":12,"value":{{{'), isWanted).status).toBe(
    'unwanted',
  );
  expect(decodeWith(decoder, Buffer.from('{"datamart_id":"1234567890123456789"'), isWanted).status).toBe(
    'unwanted',
  );
  expect(seen).toEqual([12, '1234567890123456789']);
});

test('starts every record anew', () => {
  const decoder = new JsonMutationDecoder();
  decodeWith(decoder, asJson(aMutation({ doc_type: 'UserSegment', segment_id: '\n', value: { a: 1 } })));
  expect(decodeWith(decoder, Buffer.from('{}'))).toMatchObject({
    status: 'invalid_datamart_id',
    datamart: 0,
    parts: {},
    value: '',
  });
});

test('reads what JSON.parse reads, and refuses what it refuses', () => {
  const text = fc.string({ unit: 'binary', maxLength: 12 }).map((s) => s.toWellFormed());
  const mutation = fc.record({
    segment_id: fc.option(text),
    user_account_id: text,
    unknown: fc.jsonValue(),
    value: fc.dictionary(text, fc.jsonValue()),
    datamart_id: fc.integer({ min: 1 }),
    ts: fc.integer({ min: 1, max: MAX_TS }),
  });
  fc.assert(
    fc.property(
      mutation,
      fc.nat(),
      fc.uint8Array({ maxLength: 1 }),
      fc.boolean(),
      (fields, position, noise, isBroken) => {
        const original = asJson(aMutation({ doc_type: 'UserPoint', ...fields }));
        const at = position % original.length;
        const record = isBroken
          ? Buffer.concat([original.subarray(0, at), noise, original.subarray(at + 1)])
          : original;
        const decoded = decode(record);
        let parsed: Record<string, unknown> | null = null;
        try {
          parsed = JSON.parse(
            new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(record),
          ) as Record<string, unknown>;
        } catch (error) {
          expect(String(error)).toMatch(/^(SyntaxError|TypeError)/);
        }
        const isStructureBroken =
          decoded.status === 'decode_failed' ||
          (decoded.status === 'invalid_value' && !/neither/.test(decoded.detail));
        expect(isStructureBroken).toBe(parsed === null);
        if (decoded.status === 'ok' && parsed !== null) {
          expect(JSON.parse(decoded.value === '' ? 'null' : decoded.value)).toEqual(parsed['value'] ?? null);
          expect(decoded.ts).toBe(Number(parsed['ts']));
          expect(decoded.parts.user_account_id ?? '').toBe(parsed['user_account_id'] ?? '');
          expect(decoded.parts.segment_id ?? '').toBe(parsed['segment_id'] ?? '');
        }
      },
    ),
    { numRuns: 2000 },
  );
});
