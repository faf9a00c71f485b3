import { expect, test } from '@jest/globals';
import { documentKey, maxDocumentKeyBytes, writeDocumentKey } from '../../../schemas/document-key.ts';
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
