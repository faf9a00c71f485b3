/**
 * Every document type, byte for byte, in both versions and from both encodings. The user point and the user agent are
 * the vectors of CONTRACT section 4; ids and documents of the others are the product page's. The bytes of version 2
 * are the contract's where it has them, and for every type those that avsc writes with the published schema.
 */
import { expect, test } from '@jest/globals';
import { MutationView } from '../../schemas/mutation.ts';
import { AvroOperationEncoder } from '../../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../../schemas/operation-encoder-json.ts';
import type { OperationEncoder } from '../../schemas/operation-encoder.ts';
import { RecordDecoder } from '../../schemas/record-decoder.ts';
import { compileWriterSchema } from '../../schemas/writer-schema.ts';
import {
  ABSORBED_ID,
  aMutation,
  asAvro,
  asJson,
  avroType,
  schemaText,
  TS,
  USER_POINT_ID,
  type MutationFields,
} from '../unit/schemas/mutation-builder.ts';

const WRITER_SCHEMA = compileWriterSchema(schemaText('datamart-mutation'));
const PUBLISHED = avroType(schemaText('operation-record'));
const WITH_PARENT = avroType(schemaText('operation-record-with-parent'));

const AGENT = {
  $os_family: 'LINUX',
  $brand: null,
  $os_version: null,
  $form_factor: 'PERSONAL_COMPUTER',
  $carrier: null,
  $model: null,
  $creation_ts: 0,
  $browser_family: 'FIREFOX',
};
const AGENT_TEXT =
  '{"$os_family":"LINUX","$brand":null,"$os_version":null,"$form_factor":"PERSONAL_COMPUTER","$carrier":null,"$model":null,"$creation_ts":0,"$browser_family":"FIREFOX"}';
const ACTIVITY = { $type: 'SITE_VISIT', $source: 'XXXX', etc: 'etc' };
const MERGE_TEXT = `"${ABSORBED_ID} merged with ${USER_POINT_ID}"`;

interface Golden {
  readonly title: string;
  readonly mutation: MutationFields;
  readonly docId: string;
  readonly value: string;
  readonly json: string;
}

function golden(docType: string, fields: MutationFields, docId: string, op: string, value: string): Golden {
  return {
    title: `${docType} ${op} with ${Object.keys(fields).join(', ')}`,
    mutation: aMutation({ doc_type: docType, op, ...fields }),
    docId,
    value,
    json: `{"ts":1676627112685,"doc_type":"${docType}","doc_id":"${docId}","op":"${op}","value":${value}}`,
  };
}

const at = (rest: string): string => `4700c85f-17e3-4304-aa7f-dc140173b08d:${rest}`;
const DEVICE = 'udp:-32453299893';
const INSTALLATION = 'ins:1001:aZmFhOTVlM2ItMGRhOC00NDZlLWFhODMtNjZlZGI0YjNiNTk2';

const GOLDEN: readonly Golden[] = [
  golden('UserPoint', {}, USER_POINT_ID, 'UPDATE', '{}'),
  golden('UserPoint', { value: { $x: 1 } }, USER_POINT_ID, 'UPDATE', '{}'),
  golden(
    'UserActivity',
    { user_activity_id: 'a-1', value: ACTIVITY },
    at('a-1'),
    'UPDATE',
    '{"$type":"SITE_VISIT","$source":"XXXX","etc":"etc"}',
  ),
  golden(
    'UserProfile',
    { compartment_id: '12', user_account_id: 'me:1', value: { name: 'Zoé' } },
    at('12:me:1'),
    'UPDATE',
    '{"name":"Zoé"}',
  ),
  golden('UserProfile', { compartment_id: '12', value: { n: null } }, at('12'), 'UPDATE', '{"n":null}'),
  golden(
    'UserSegment',
    { segment_id: '4321', value: { $expiration_ts: null } },
    at('4321'),
    'UPDATE',
    '{"$expiration_ts":null}',
  ),
  golden('UserDevicePoint', { user_device_point_id: DEVICE, value: AGENT }, at(DEVICE), 'UPDATE', AGENT_TEXT),
  golden(
    'UserDeviceTechnicalId',
    { user_device_point_id: DEVICE, user_device_technical_id: 'mum:7231822539', value: { a: 1 } },
    at(`${DEVICE}:mum:7231822539`),
    'UPDATE',
    '{}',
  ),
  golden(
    'UserDeviceTechnicalId',
    { user_device_point_id: DEVICE, user_device_technical_id: INSTALLATION },
    at(`${DEVICE}:${INSTALLATION}`),
    'UPDATE',
    '{}',
  ),
  golden(
    'UserAgent',
    { vector_id: 'vec:32453299893', value: AGENT },
    at('vec:32453299893'),
    'UPDATE',
    AGENT_TEXT,
  ),
  golden('UserAgent', { vector_id: 'vec:32453299893', value: AGENT }, at('vec:32453299893'), 'DELETE', '{}'),
  golden(
    'UserAccount',
    { compartment_id: '12', user_account_id: 'me:1', value: { a: 1 } },
    at('12:me:1'),
    'UPDATE',
    '{}',
  ),
  golden(
    'UserEmail',
    { email_hash: '5d41402abc4b2a76b9719d911017c592', value: { $hash: '5d41' } },
    at('5d41402abc4b2a76b9719d911017c592'),
    'UPDATE',
    '{"$hash":"5d41"}',
  ),
  golden(
    'UserPointParent',
    { user_point_id: ABSORBED_ID, kept_user_point_id: USER_POINT_ID, value: { a: 1 } },
    ABSORBED_ID,
    'UPDATE',
    MERGE_TEXT,
  ),
];

function encode(encoder: OperationEncoder, record: Buffer): Buffer {
  const view = new MutationView();
  const decoder = new RecordDecoder({ get: () => WRITER_SCHEMA });
  expect(decoder.decode(record, view, () => true)).toBe('ok');
  const target = Buffer.alloc(3 + encoder.maxBytes(view));
  const end = encoder.encode(view, target, 3);
  expect(end).toBeLessThanOrEqual(target.length);
  return target.subarray(3, end);
}

test.each(GOLDEN)('version 1 of $title', ({ mutation, json }) => {
  expect(encode(new JsonOperationEncoder(), asJson(mutation)).toString()).toBe(json);
  expect(encode(new JsonOperationEncoder(), asAvro(mutation)).toString()).toBe(json);
});

test.each(GOLDEN)('version 2 of $title', ({ mutation, docId, value }) => {
  const type = mutation['doc_type'] === 'UserPointParent' ? WITH_PARENT : PUBLISHED;
  const bytes = encode(new AvroOperationEncoder(), asJson(mutation));
  const operation = {
    ts: TS * 1000,
    doc_type: mutation['doc_type'],
    doc_id: docId,
    ctx_id: mutation['user_point_id'],
    op: mutation['op'],
    value,
  };
  expect({ ...(type.fromBuffer(bytes) as object) }).toEqual(operation);
  expect(bytes.toString('hex')).toBe(type.toBuffer(operation).toString('hex'));
  expect(encode(new AvroOperationEncoder(), asAvro(mutation)).equals(bytes)).toBe(true);
});

const HEX_USER_POINT = '34373030633835662d313765332d343330342d616137662d646331343031373362303864';
const HEX_VECTOR = '3a7665633a3332343533323939383933';

test('version 2 of a user point is the 93 bytes of the contract', () => {
  expect(encode(new AvroOperationEncoder(), asJson(aMutation())).toString('hex')).toBe(
    `90b7c7b7c5b8fa050048${HEX_USER_POINT}48${HEX_USER_POINT}0c555044415445047b7d`,
  );
});

test('version 2 of a deleted user agent is the 109 bytes of the contract', () => {
  const mutation = aMutation({
    doc_type: 'UserAgent',
    op: 'DELETE',
    vector_id: 'vec:32453299893',
    value: AGENT,
  });
  expect(encode(new AvroOperationEncoder(), asJson(mutation)).toString('hex')).toBe(
    `90b7c7b7c5b8fa050c68${HEX_USER_POINT}${HEX_VECTOR}48${HEX_USER_POINT}0c44454c455445047b7d`,
  );
});

test('version 1 of a user point and of a merge have the lengths of the contract', () => {
  expect(encode(new JsonOperationEncoder(), asJson(aMutation()))).toHaveLength(116);
  const merge = aMutation({
    doc_type: 'UserPointParent',
    op: 'DELETE',
    user_point_id: ABSORBED_ID,
    kept_user_point_id: USER_POINT_ID,
  });
  const operation = encode(new JsonOperationEncoder(), asJson(merge));
  expect(operation).toHaveLength(207);
  expect(operation.toString()).toBe(
    `{"ts":1676627112685,"doc_type":"UserPointParent","doc_id":"95772db3-e762-45da-8cf1-4893debffae7","op":"UPDATE","value":"95772db3-e762-45da-8cf1-4893debffae7 merged with 4700c85f-17e3-4304-aa7f-dc140173b08d"}`,
  );
});

test('the merge symbol is the tenth, and the nine before it are written alike in both schemas', () => {
  const merge = aMutation({ doc_type: 'UserPointParent', kept_user_point_id: 'k' });
  expect(encode(new AvroOperationEncoder(), asJson(merge))[8]).toBe(18);
  const symbolsOf = (name: string): unknown =>
    (JSON.parse(schemaText(name)) as { fields: { type: { symbols: string[] } }[] }).fields[1]!.type.symbols;
  expect(symbolsOf('operation-record-with-parent')).toEqual([
    ...(symbolsOf('operation-record') as string[]),
    'UserPointParent',
  ]);
});
