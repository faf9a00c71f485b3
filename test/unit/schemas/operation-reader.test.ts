import { describe, expect, test } from '@jest/globals';
import { DOCUMENT_TYPES } from '../../../schemas/document-type.ts';
import { JsonMutationDecoder } from '../../../schemas/json-mutation-decoder.ts';
import { MAX_TS, MutationView, OPERATION_NAMES } from '../../../schemas/mutation.ts';
import { AvroOperationEncoder } from '../../../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../../../schemas/operation-encoder-json.ts';
import { OperationLineReader } from '../../../schemas/operation-line-reader.ts';
import { OperationReader, OperationView } from '../../../schemas/operation-reader.ts';
import { ABSORBED_ID, aMutation, asJson, TS, USER_POINT_ID } from './mutation-builder.ts';

const PARTS = {
  user_activity_id: 'a "quoted" é',
  segment_id: '12',
  compartment_id: '1000',
  user_account_id: 'ins:1001:x',
  email_hash: 'hash',
  vector_id: 'vec:1',
  user_device_point_id: 'device',
  user_device_technical_id: 'mob:1',
  kept_user_point_id: USER_POINT_ID,
};
const VALUE = { $type: 'visit', big: 12, nested: { list: [1, null, 'é\n'] } };

function encoded(version: 1 | 2, fields: Readonly<Record<string, unknown>> = {}): Buffer {
  const view = new MutationView();
  const mutation = aMutation({ ...PARTS, value: VALUE, ...fields });
  expect(new JsonMutationDecoder().decode(asJson(mutation), view, () => true)).toBe('ok');
  const encoder = version === 1 ? new JsonOperationEncoder() : new AvroOperationEncoder();
  const target = Buffer.alloc(encoder.maxBytes(view));
  return target.subarray(0, encoder.encode(view, target, 0));
}

interface ReadOperation {
  readonly ts: number;
  readonly docType: string | undefined;
  readonly docId: string;
  readonly op: string;
  readonly value: string;
}

function shown({ ts, docType, docId, op, value }: OperationView): ReadOperation {
  return { ts, docType: DOCUMENT_TYPES[docType], docId, op: OPERATION_NAMES[op], value: value.toString() };
}

function read(bytes: Buffer): ReadOperation | string {
  const reader = new OperationReader();
  const view = new OperationView();
  return reader.read(bytes, view) ? shown(view) : reader.detail;
}

describe('operations', () => {
  test.each(DOCUMENT_TYPES.flatMap((docType) => OPERATION_NAMES.map((op) => [docType, op] as const)))(
    'of both versions are read to the same: %s %s',
    (docType, op) => {
      const fields = { doc_type: docType, op };
      const json = read(encoded(1, fields));

      expect(json).toMatchObject({ ts: TS, docType, op: docType === 'UserPointParent' ? 'UPDATE' : op });
      expect(read(encoded(2, fields))).toEqual(json);
    },
  );

  test('keep what they carry byte for byte', () => {
    expect(read(encoded(1, { doc_type: 'UserActivity' }))).toEqual({
      ts: TS,
      docType: 'UserActivity',
      docId: `${USER_POINT_ID}:a "quoted" é`,
      op: 'UPDATE',
      value: JSON.stringify(VALUE),
    });
    expect(read(encoded(2, { doc_type: 'UserPointParent', user_point_id: ABSORBED_ID }))).toMatchObject({
      docId: ABSORBED_ID,
      value: `"${ABSORBED_ID} merged with ${USER_POINT_ID}"`,
    });
  });

  test.each([1, TS, 2 ** 42, MAX_TS])('of any time: %d', (ts) => {
    expect(read(encoded(1, { ts }))).toMatchObject({ ts });
    expect(read(encoded(2, { ts }))).toMatchObject({ ts });
  });

  const line = (fields: Readonly<Record<string, unknown>>): Buffer =>
    Buffer.from(
      JSON.stringify({
        ts: TS,
        doc_type: 'UserPoint',
        doc_id: USER_POINT_ID,
        op: 'UPDATE',
        value: {},
        ...fields,
      }),
    );

  test.each([
    ['ms', TS, TS],
    ['microseconds', TS * 1_000, TS],
    ['text of ms', String(TS), TS],
    ['text of microseconds', String(TS * 1_000), TS],
    ['a TIMESTAMP of BigQuery', '2023-02-17 09:45:12.685 UTC', TS],
    ['with microseconds', '2023-02-17 09:45:12.685000 UTC', TS],
    ['RFC 3339', '2023-02-17T09:45:12.685Z', TS],
    ['with an offset of 0', '2023-02-17 09:45:12.685+00', TS],
  ])('take ts as %s', (_, ts, ms) => {
    expect(read(line({ ts }))).toMatchObject({ ts: ms });
  });

  test.each([
    ['an object', { a: 1 }, '{"a":1}'],
    ['text that holds an object', '{"a": 1}', '{"a": 1}'],
    ['text that holds a JSON string', '"x merged with y"', '"x merged with y"'],
    ['the words of a merge', 'x merged with y', '"x merged with y"'],
  ])('take value as %s', (_, value, text) => {
    expect(read(line({ value }))).toMatchObject({ value: text });
  });

  test.each([
    [{ ts: undefined }, 'ts'],
    [{ ts: 0 }, 'ts'],
    [{ ts: 1.5 }, 'ts'],
    [{ ts: '2023-02-17' }, 'ts'],
    [{ ts: '2023-02-17 09:05:12+02' }, 'ts'],
    [{ doc_type: 'UserScenario' }, 'doc_type'],
    [{ doc_type: 3 }, 'doc_type'],
    [{ doc_id: '' }, 'doc_id'],
    [{ op: 'update' }, 'op'],
    [{ value: null }, 'value'],
  ])('are refused with the field that is wrong: %j', (fields, field) => {
    expect(read(line(fields))).toMatch(field);
  });

  test('that are cut, too long or something else are refused', () => {
    const datum = encoded(2, { doc_type: 'UserActivity' });
    for (let length = 1; length < datum.length; length++)
      expect(typeof read(datum.subarray(0, length))).toBe('string');
    expect(typeof read(Buffer.concat([datum, Buffer.from([0])]))).toBe('string');
    expect(typeof read(Buffer.from('{"ts":1'))).toBe('string');
    expect(typeof read(Buffer.alloc(0))).toBe('string');
  });
});

describe('lines of an export', () => {
  const ID = '00008-3-00000000000000001234';
  const PLACE = { partitionCount: 8, partition: 3, offset: 1234 };

  function readLine(line: object): { operation: ReadOperation | string; source: unknown } {
    const reader = new OperationLineReader();
    const view = new OperationView();
    const isRead = reader.read(Buffer.from(JSON.stringify(line)), view);
    return { operation: isRead ? shown(view) : reader.detail, source: reader.source };
  }

  const operation = JSON.parse(encoded(1, { doc_type: 'UserActivity' }).toString()) as object;
  const expected = read(encoded(1, { doc_type: 'UserActivity' }));

  test.each([
    ['an operation', operation, null],
    ['an operation with its id', { ...operation, message_id: ID }, PLACE],
    ["an operation with Pub/Sub's id", { ...operation, message_id: '2070443601311540' }, null],
    [
      'a message that was pulled, version 1',
      {
        data: encoded(1, { doc_type: 'UserActivity' }).toString('base64'),
        attributes: { doc_type: 'UserActivity', message_id: ID },
        messageId: '2070443601311540',
        publishTime: '2023-02-17T09:05:12.685Z',
      },
      PLACE,
    ],
    [
      'a message that was pulled, version 2',
      { data: encoded(2, { doc_type: 'UserActivity' }).toString('base64'), attributes: {} },
      null,
    ],
    [
      'a row of the raw BigQuery table',
      {
        message_id: '2070443601311540',
        data: encoded(1, { doc_type: 'UserActivity' }).toString(),
        attributes: JSON.stringify({ doc_type: 'UserActivity', message_id: ID }),
      },
      PLACE,
    ],
    ['a message without attributes', { data: encoded(1, { doc_type: 'UserActivity' }).toString() }, null],
  ])('are %s', (_, line, source) => {
    expect(readLine(line)).toEqual({ operation: expected, source });
  });

  test.each([
    [{ data: 5 }, 'data is no text'],
    [{ data: 'AAAA' }, 'neither JSON nor an Avro datum'],
    [{ data: '{"ts":1}' }, 'doc_type'],
    [{ attributes: 'x' }, 'ts'],
    [{ ...operation, op: 'UPSERT' }, 'op'],
  ])('are refused with words: %j', (line, words) => {
    expect(readLine(line).operation).toMatch(words);
  });
});
