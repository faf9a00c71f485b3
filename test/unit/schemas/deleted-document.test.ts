import { expect, test } from '@jest/globals';
import { readDeletion } from '../../../schemas/deleted-document.ts';
import { documentKey, DocumentKeyView } from '../../../schemas/document-key.ts';
import { DOCUMENT_TYPES } from '../../../schemas/document-type.ts';
import { JsonMutationDecoder } from '../../../schemas/json-mutation-decoder.ts';
import { MutationView } from '../../../schemas/mutation.ts';
import { AvroOperationEncoder } from '../../../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../../../schemas/operation-encoder-json.ts';
import type { OperationEncoder } from '../../../schemas/operation-encoder.ts';
import { aMutation, asJson, TS, USER_POINT_ID } from './mutation-builder.ts';

const PARTS = {
  user_activity_id: 'activity',
  segment_id: '12',
  compartment_id: '1000',
  user_account_id: 'ins:1001:aZ/mF "é"',
  email_hash: 'hash',
  vector_id: 'vec:32453299893',
  user_device_point_id: 'device',
  user_device_technical_id: 'mob:a/b:c',
};

/** Everything but `UserPointParent`, whose rows stay for ever. */
const DELETED_TYPES = DOCUMENT_TYPES.filter((type) => type !== 'UserPointParent');

const ENCODERS: readonly OperationEncoder[] = [new JsonOperationEncoder(), new AvroOperationEncoder()];

function decoded(fields: Readonly<Record<string, unknown>>): MutationView {
  const view = new MutationView();
  expect(new JsonMutationDecoder().decode(asJson(aMutation({ ...PARTS, ...fields })), view, () => true)).toBe(
    'ok',
  );
  return view;
}

function encoded(encoder: OperationEncoder, mutation: MutationView): string {
  const target = Buffer.alloc(encoder.maxBytes(mutation));
  return target.toString('hex', 0, encoder.encode(mutation, target, 0));
}

/** What a tombstone with this key deletes. */
function deletionOf(text: string): MutationView | null {
  const key = new DocumentKeyView();
  if (!key.read(Buffer.from(text))) throw new Error(`${text} is no key`);
  const deletion = new MutationView();
  return readDeletion(key, TS, deletion) ? deletion : null;
}

function assertDeletes(mutation: MutationView): void {
  const deletion = deletionOf(documentKey(mutation));
  if (!deletion) throw new Error('it deletes nothing');
  expect(deletion.datamart).toBe(mutation.datamart);
  for (const encoder of ENCODERS) expect(encoded(encoder, deletion)).toBe(encoded(encoder, mutation));
}

test.each(DELETED_TYPES)('a tombstone of a %s becomes the very deletion that it stands for', (docType) => {
  assertDeletes(decoded({ doc_type: docType, op: 'DELETE' }));
});

test('a profile without an account is deleted as one', () => {
  assertDeletes(decoded({ doc_type: 'UserProfile', op: 'DELETE', user_account_id: undefined }));
});

test('a datamart of more than 15 digits keeps all of them', () => {
  assertDeletes(decoded({ datamart_id: '9223372036854775807', op: 'DELETE' }));
});

test.each([
  `1649/UserSegment/${USER_POINT_ID}`,
  `1649/UserSegment/${USER_POINT_ID}:`,
  `1649/UserSegment/${USER_POINT_ID}-12`,
  `1649/UserPoint/${USER_POINT_ID}:12`,
  `1649/UserSegment/${USER_POINT_ID.replaceAll('-', '_')}:12`,
  `1649/UserPointParent/${USER_POINT_ID}`,
])('makes no deletion of %s', (text) => {
  expect(deletionOf(text)).toBeNull();
});
