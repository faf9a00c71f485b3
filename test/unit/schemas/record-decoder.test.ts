import { expect, test } from '@jest/globals';
import { RecordDecoder } from '../../../schemas/record-decoder.ts';
import { compileWriterSchema } from '../../../schemas/writer-schema.ts';
import { aMutation, asAvro, asJson, decodeWith, schemaText } from './mutation-builder.ts';

const WRITER_SCHEMA = compileWriterSchema(schemaText('datamart-mutation'));
const decoder = new RecordDecoder({ get: () => WRITER_SCHEMA });

test('tells the encoding of each record by its first byte', () => {
  const mutation = aMutation({ doc_type: 'UserSegment', segment_id: 's', value: { a: 1 } });
  const fromJson = decodeWith(decoder, Buffer.concat([Buffer.from(' \t\r\n'), asJson(mutation)]));
  expect([fromJson.status, decoder.schemaId]).toEqual(['ok', -1]);
  expect(decodeWith(decoder, asAvro(mutation))).toEqual(fromJson);
  expect(decoder.schemaId).toBe(7);
});

test.each([
  [''],
  [' '],
  ['[]'],
  ['null'],
  ['x{}'],
  ['\ufeff{}'],
  [' \u0000\u0000\u0000\u0000\u0000'],
  ['\u0000\u0000\u0000'],
  ['\u0001{}'],
])('says that %j is no envelope', (text) => {
  expect(decodeWith(decoder, Buffer.from(text))).toMatchObject({ status: 'malformed_envelope', datamart: 0 });
  expect(decoder.detail).not.toBe('');
});

test('passes on what the decoder says', () => {
  expect(decodeWith(decoder, Buffer.from('{"a":}')).detail).toBe('not a JSON object at byte 5');
  expect(decodeWith(decoder, asJson(aMutation())).detail).toBe('');
});
