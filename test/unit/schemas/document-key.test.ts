import { expect, test } from '@jest/globals';
import {
  documentKey,
  DocumentKeyView,
  maxDocumentKeyBytes,
  writeDocumentKey,
} from '../../../schemas/document-key.ts';
import { DOCUMENT_TYPES } from '../../../schemas/document-type.ts';
import { JsonMutationDecoder } from '../../../schemas/json-mutation-decoder.ts';
import { MutationView } from '../../../schemas/mutation.ts';
import { aMutation, asJson, USER_POINT_ID, type MutationFields } from './mutation-builder.ts';

function decoded(fields: MutationFields): MutationView {
  const view = new MutationView();
  expect(new JsonMutationDecoder().decode(asJson(aMutation(fields)), view, () => true)).toBe('ok');
  return view;
}

test.each([
  [{ doc_type: 'UserPoint' }, `1649/UserPoint/${USER_POINT_ID}`],
  [
    { doc_type: 'UserProfile', compartment_id: '10', user_account_id: 'a:b' },
    `1649/UserProfile/${USER_POINT_ID}:10:a:b`,
  ],
  [{ doc_type: 'UserProfile', compartment_id: '10' }, `1649/UserProfile/${USER_POINT_ID}:10`],
  [{ doc_type: 'UserEmail', email_hash: 'é"\\' }, `1649/UserEmail/${USER_POINT_ID}:é"\\`],
  [
    { doc_type: 'UserEmail', email_hash: 'x', datamart_id: '9223372036854775807' },
    `9223372036854775807/UserEmail/${USER_POINT_ID}:x`,
  ],
])('of %j is %s', (fields, key) => {
  const view = decoded(fields);
  const room = maxDocumentKeyBytes(view);
  const target = Buffer.alloc(room + 3, 0xee);
  const end = writeDocumentKey(view, target, 3);

  expect(target.toString('utf8', 3, end)).toBe(key);
  expect(end - 3).toBeLessThanOrEqual(room);
  expect(documentKey(view)).toBe(key);
});

test.each(DOCUMENT_TYPES)('reads the key of a %s', (docType) => {
  const view = new DocumentKeyView();

  expect(view.read(Buffer.from(`1649/${docType}/${USER_POINT_ID}:a/b`))).toBe(true);
  expect(DOCUMENT_TYPES[view.docType]).toBe(docType);
  expect(view.datamart).toBe(1649);
  expect(view.bytes.toString('utf8', view.docIdStart)).toBe(`${USER_POINT_ID}:a/b`);
  expect(view.bytes.toString('utf8', view.docIdStart, view.userPointEnd)).toBe(USER_POINT_ID);
});

test.each([
  '',
  '1649',
  '1649/UserPoint',
  '1649/UserPoint/',
  `1649/UserPoint/${USER_POINT_ID.slice(1)}`,
  `1649/UserScenario/${USER_POINT_ID}`,
  `1649/Unknown/${USER_POINT_ID}`,
  `0/UserPoint/${USER_POINT_ID}`,
  `x/UserPoint/${USER_POINT_ID}`,
  `/UserPoint/${USER_POINT_ID}`,
])('takes %j for no key', (key) => {
  expect(new DocumentKeyView().read(Buffer.from(key))).toBe(false);
});
