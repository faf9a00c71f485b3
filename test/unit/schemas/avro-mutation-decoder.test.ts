import { expect, test } from '@jest/globals';
import avsc from 'avsc';
import fc from 'fast-check';
import { AvroMutationDecoder } from '../../../schemas/avro-mutation-decoder.ts';
import { compileWriterSchema } from '../../../schemas/writer-schema.ts';
import {
  aMutation,
  asAvro,
  decodeWith,
  framed,
  schemaText,
  TS,
  USER_POINT_ID,
  type Decoded,
  type MutationFields,
} from './mutation-builder.ts';

const PUBLISHED = schemaText('datamart-mutation');

const decodeBy = (schema: string, record: Buffer): Decoded =>
  decodeWith(new AvroMutationDecoder({ get: () => compileWriterSchema(schema) }), record);
const decode = (record: Buffer): Decoded => decodeBy(PUBLISHED, record);

interface Field {
  readonly name: string;
  readonly type: unknown;
}
const REQUIRED: readonly Field[] = [
  { name: 'datamart_id', type: 'long' },
  { name: 'user_point_id', type: 'string' },
  { name: 'ts', type: 'long' },
  { name: 'op', type: 'string' },
  { name: 'doc_type', type: 'string' },
];
const recordOf = (fields: readonly Field[]): string =>
  JSON.stringify({ type: 'record', name: 'Whatever', namespace: 'x.y', fields });
const withField = (field: Field): string =>
  recordOf([...REQUIRED.filter(({ name }) => name !== field.name), field]);
const typeOf = (schema: string): avsc.Type =>
  avsc.Type.forSchema(JSON.parse(schema) as avsc.Schema, { wrapUnions: true });
const decodeAs = (schema: string, mutation: MutationFields): Decoded =>
  decodeBy(schema, framed(typeOf(schema).toBuffer(mutation)));

test('finds all fields and leaves the text of the value as it is', () => {
  const value = '{ "$a":1.50, "é":12345678901234567890,"\\ud800":1e400 }';
  expect(decode(asAvro(aMutation({ doc_type: 'UserSegment', segment_id: 'é:1', value })))).toEqual({
    status: 'ok',
    detail: '',
    datamart: 1649,
    ts: TS,
    op: 'UPDATE',
    docType: 'UserSegment',
    userPoint: USER_POINT_ID,
    parts: { segment_id: 'é:1' },
    value,
  });
});

test.each([
  [undefined, ''],
  ['', ''],
  ['null', ''],
  [' null ', ''],
  [' {} ', '{}'],
  ['{"a":"x"}', '{"a":"x"}'],
])('takes the value %j as %j', (value, expected) => {
  expect(decode(asAvro(aMutation({ value })))).toMatchObject({ status: 'ok', value: expected });
});

test.each(['[]', '1', '"{}"', '{', '{}x', ' ', 'nul', '{"a":NaN}'])('refuses the value %j', (value) => {
  expect(decode(asAvro(aMutation({ value }))).status).toBe('invalid_value');
});

test('tells a break of UTF-8 in the value from one elsewhere', () => {
  const broken = (at: string): Buffer => {
    const record = asAvro(aMutation({ doc_type: 'UserSegment', segment_id: 'YY', value: '{"a":"XX"}' }));
    record[record.indexOf(at)] = 0xff;
    return record;
  };
  expect(decode(broken('XX')).status).toBe('invalid_value');
  expect(decode(broken('YY')).status).toBe('decode_failed');
});

test('every truncation of a record, and every byte behind it, is decode_failed at a byte', () => {
  const record = asAvro(aMutation({ doc_type: 'UserSegment', segment_id: 's', value: '{"a":1}' }));
  for (let length = 5; length < record.length; length++) {
    const { status, detail } = decode(record.subarray(0, length));
    expect(`${status} ${detail}`).toMatch(/^decode_failed the Avro datum breaks at byte \d+$/);
    expect(Number(detail.split(' ').at(-1))).toBeLessThanOrEqual(length);
  }
  expect(decode(Buffer.concat([record, Buffer.alloc(1)]))).toMatchObject({
    status: 'decode_failed',
    detail: `the Avro datum ends at byte ${record.length} of ${record.length + 1}`,
  });
});

test('never throws, and never reads outside, whatever the bytes', () => {
  const record = asAvro(aMutation({ doc_type: 'UserSegment', segment_id: 's', value: '{"a":1}' }));
  fc.assert(
    fc.property(fc.nat(record.length - 6), fc.uint8Array({ minLength: 1, maxLength: 11 }), (at, noise) => {
      const broken = Buffer.from(record);
      broken.set(noise.subarray(0, record.length - at - 5), at + 5);
      expect(typeof decode(broken).status).toBe('string');
    }),
    { numRuns: 2000 },
  );
});

test('knows a header without a schema, an unknown one, and one that isn’t loaded', () => {
  const decoder = new AvroMutationDecoder({ get: (id) => (id === 9 ? 'unknown' : undefined) });
  expect(decodeWith(decoder, framed(Buffer.alloc(3), 9)).status).toBe('unknown_schema');
  expect(decodeWith(decoder, framed(Buffer.alloc(3), 10)).status).toBe('schema_needed');
  expect(decoder.schemaId).toBe(10);
  expect(decodeWith(decoder, Buffer.from([0, 0, 0, 0])).status).toBe('malformed_envelope');
  expect(decoder.schemaId).toBe(-1);
});

const ENUM_OP = { type: 'enum', name: 'Op', symbols: ['DELETE', 'UPSERT', 'upsert2', 'UPDATE'] };
const ENUM_TYPE = { type: 'enum', name: 'T', symbols: ['UserChoice', 'Other', 'UserPoint'] };

test.each([
  [{ name: 'op', type: ENUM_OP }, 'DELETE', { op: 'DELETE' }],
  [{ name: 'op', type: ['null', ENUM_OP] }, { 'x.y.Op': 'UPSERT' }, { op: 'UPDATE' }],
  [{ name: 'op', type: ENUM_OP }, 'upsert2', { status: 'unknown_op' }],
  [{ name: 'op', type: ['null', 'string'] }, null, { status: 'unknown_op' }],
  [{ name: 'op', type: ['string', 'null'] }, { string: ' delete' }, { op: 'DELETE' }],
  [{ name: 'doc_type', type: ENUM_TYPE }, 'UserPoint', { docType: 'UserPoint' }],
  [{ name: 'doc_type', type: ENUM_TYPE }, 'UserChoice', { status: 'ignored' }],
  [{ name: 'doc_type', type: ENUM_TYPE }, 'Other', { status: 'unknown_doc_type' }],
  [
    { name: 'doc_type', type: ['string', { type: 'enum', name: 'T', symbols: ['UserPoint'] }] },
    { 'x.y.T': 'UserPoint' },
    { docType: 'UserPoint' },
  ],
  [{ name: 'datamart_id', type: 'int' }, 2147483647, { datamart: 2147483647 }],
  [{ name: 'datamart_id', type: 'string' }, '1234567890123456789', { datamart: '1234567890123456789' }],
  [{ name: 'datamart_id', type: ['null', 'long'] }, { long: 999999999999999 }, { datamart: 999999999999999 }],
  [{ name: 'datamart_id', type: 'long' }, 1000000000000000, { datamart: '1000000000000000' }],
  [{ name: 'datamart_id', type: 'long' }, 0, { status: 'invalid_datamart_id' }],
  [{ name: 'datamart_id', type: 'long' }, -5, { status: 'invalid_datamart_id' }],
  [{ name: 'ts', type: { type: 'long', logicalType: 'timestamp-millis' } }, TS, { ts: TS }],
  [{ name: 'ts', type: 'string' }, String(TS), { ts: TS }],
  [{ name: 'ts', type: 'long' }, TS * 1000, { status: 'ts_out_of_range' }],
  [{ name: 'ts', type: 'long' }, -1, { status: 'ts_out_of_range' }],
  [
    { name: 'user_point_id', type: { type: 'string', logicalType: 'uuid' } },
    USER_POINT_ID.toUpperCase(),
    { userPoint: USER_POINT_ID.toUpperCase() },
  ],
  [{ name: 'user_point_id', type: ['null', 'string'] }, null, { status: 'invalid_user_point_id' }],
  [{ name: 'user_point_id', type: 'string' }, 'é', { status: 'invalid_user_point_id' }],
])('reads %j with %j', (field, value, expected) => {
  expect(decodeAs(withField(field), aMutation({ [field.name]: value }))).toMatchObject({
    status: 'ok',
    ...expected,
  });
});

test('reads longs of all 64 bits: datamart ids exactly, timestamps as out of range', () => {
  const schema = recordOf(REQUIRED);
  const rest = typeOf(recordOf(REQUIRED.slice(1))).toBuffer(aMutation());
  const long = (...bytes: number[]): Buffer => framed(Buffer.concat([Buffer.from(bytes), rest]));
  const largest = [0xfe, ...Array.from({ length: 8 }, () => 0xff), 0x01];
  expect(decodeBy(schema, long(...largest))).toMatchObject({ status: 'ok', datamart: '9223372036854775807' });
  expect(decodeBy(schema, long(0xff, ...largest.slice(1))).status).toBe('invalid_datamart_id');
  expect(decodeBy(schema, long(...largest.slice(0, 9), 0x02)).status).toBe('decode_failed');
  expect(decodeBy(schema, long(...Array.from({ length: 11 }, () => 0x80))).status).toBe('decode_failed');
  const tsLast = recordOf([...REQUIRED.filter(({ name }) => name !== 'ts'), { name: 'ts', type: 'long' }]);
  const datum = typeOf(tsLast).toBuffer(aMutation({ ts: 0 }));
  expect(decodeBy(tsLast, framed(Buffer.concat([datum.subarray(0, -1), Buffer.from(largest)]))).status).toBe(
    'ts_out_of_range',
  );
});

test.each([
  [recordOf(REQUIRED.slice(1)), 'no field datamart_id'],
  [withField({ name: 'ts', type: 'double' }), 'unusable type for ts'],
  [withField({ name: 'op', type: 'bytes' }), 'unusable type for op'],
  [withField({ name: 'user_point_id', type: ['null', 'long'] }), 'unusable type for user_point_id'],
  [recordOf([...REQUIRED, { name: 'value', type: 'bytes' }]), 'unusable type for value'],
  ['"string"', 'is no record'],
  ['{"type":"record"', 'isn’t readable'.replace('’', "'")],
  ['{"type":"nonsense"}', "isn't readable"],
])('records of the schema %s are decode_failed', (schema, problem) => {
  expect(decodeBy(schema, framed(Buffer.alloc(20)))).toMatchObject({
    status: 'decode_failed',
    detail: expect.stringContaining(problem) as unknown,
  });
});

test('stops at the datamart of a record that nobody wants', () => {
  const decoder = new AvroMutationDecoder({ get: () => compileWriterSchema(PUBLISHED) });
  expect(decodeWith(decoder, asAvro(aMutation()).subarray(0, 8), () => false)).toMatchObject({
    status: 'unwanted',
    datamart: 1649,
  });
});

test('follows names that other schemas define', () => {
  const op = JSON.stringify({ ...ENUM_OP, namespace: 'z' });
  const { problem } = compileWriterSchema(withField({ name: 'op', type: 'z.Op' }), [op]);
  expect(problem).toBe('');
});

test('reads arrays and maps in blocks of negative counts, and refuses a block of another size', () => {
  const schema = recordOf([{ name: 'extra', type: { type: 'array', items: 'int' } }, ...REQUIRED]);
  const rest = typeOf(recordOf(REQUIRED)).toBuffer(aMutation());
  const withBlocks = (...bytes: number[]): Buffer => framed(Buffer.concat([Buffer.from(bytes), rest]));
  expect(decodeBy(schema, withBlocks(3, 4, 2, 4, 2, 2, 0)).status).toBe('ok');
  expect(decodeBy(schema, withBlocks(3, 6, 2, 4, 0)).status).toBe('decode_failed');
  expect(decodeBy(schema, withBlocks(0xfe, 0xff, 0xff, 0xff, 0x0f, 2)).status).toBe('decode_failed');
});

test('passes over billions of items that take no bytes, and over no more levels than it can', () => {
  const nothing = recordOf([{ name: 'extra', type: { type: 'array', items: 'null' } }, ...REQUIRED]);
  const rest = typeOf(recordOf(REQUIRED)).toBuffer(aMutation());
  const many = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f, 0]);
  expect(decodeBy(nothing, framed(Buffer.concat([many, rest]))).status).toBe('ok');
  const list = recordOf([
    { name: 'extra', type: { type: 'record', name: 'L', fields: [{ name: 'next', type: ['null', 'L'] }] } },
    ...REQUIRED,
  ]);
  const levels = (count: number): Buffer =>
    framed(Buffer.concat([Buffer.alloc(count, 2), Buffer.alloc(1), rest]));
  expect(decodeBy(list, levels(200)).status).toBe('ok');
  expect(decodeBy(list, levels(300)).status).toBe('decode_failed');
});

/** A random schema for a field to pass over, and a value of it, made with avsc's own generator of values. */
const anySchema = fc.letrec<{ schema: unknown }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom<unknown>(
      'null',
      'boolean',
      'int',
      'long',
      'float',
      'double',
      'bytes',
      'string',
      { type: 'int', logicalType: 'date' },
      { type: 'bytes', logicalType: 'decimal', precision: 4 },
    ),
    fc.record({ type: fc.constant('array'), items: tie('schema') }),
    fc.record({ type: fc.constant('map'), values: tie('schema') }),
    fc.nat(9).map((size) => ({ type: 'fixed', name: 'NAME', size: size + 1 })),
    fc.nat(5).map((count) => ({
      type: 'enum',
      name: 'NAME',
      symbols: Array.from({ length: count + 1 }, (_, i) => `S${i}`),
    })),
    fc.array(tie('schema'), { maxLength: 4 }).map((types) => ({
      type: 'record',
      name: 'NAME',
      fields: types.map((type, i) => ({ name: `f${i}`, type })),
    })),
    fc.subarray(['null', 'boolean', 'long', 'string', 'double', 'bytes'], { minLength: 1 }),
    tie('schema').map((type) => ({
      type: 'record',
      name: 'NAME',
      fields: [
        { name: 'value', type },
        { name: 'next', type: ['null', 'SELF'] },
      ],
    })),
  ),
})).schema;

/** Gives every named type a name of its own. */
function named(schema: unknown, next = { name: 0 }, self = ''): unknown {
  if (schema === 'SELF') return self;
  if (Array.isArray(schema)) return schema.map((branch) => named(branch, next, self));
  if (typeof schema !== 'object' || schema === null) return schema;
  const own = 'name' in schema && schema.name === 'NAME' ? `N${next.name++}` : null;
  return Object.fromEntries(
    Object.entries(schema).map(([key, inner]) => [
      key,
      key === 'name' && own !== null ? own : named(inner, next, own ?? self),
    ]),
  );
}

test('passes over fields of any type, wherever they stand', () => {
  fc.assert(
    fc.property(fc.array(anySchema, { maxLength: 4 }), fc.nat(5), (schemas, at) => {
      const next = { name: 0 };
      const extra = schemas.map((schema, i) => ({ name: `extra${i}`, type: named(schema, next) }));
      const fields = [
        ...REQUIRED.slice(0, at),
        ...extra,
        ...REQUIRED.slice(at),
        { name: 'segment_id', type: ['null', 'string'] },
      ];
      const type = typeOf(recordOf(fields));
      const random = type.random() as unknown as Record<string, unknown>;
      const datum = type.toBuffer({
        ...random,
        ...aMutation({ doc_type: 'UserSegment', segment_id: { string: 'é' } }),
      });
      expect(decodeBy(recordOf(fields), framed(datum))).toMatchObject({
        status: 'ok',
        datamart: 1649,
        ts: TS,
        userPoint: USER_POINT_ID,
        parts: { segment_id: 'é' },
      });
      expect(decodeBy(recordOf(fields), framed(datum.subarray(0, -1))).status).toBe('decode_failed');
    }),
    { numRuns: 500 },
  );
});
