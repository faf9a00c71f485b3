import { documentRule } from './document-id.ts';
import type { DocumentKeyView } from './document-key.ts';
import { USER_POINT_PARENT } from './document-type.ts';
import { isUuid } from './mutation-fields.ts';
import { DELETE, type MutationView } from './mutation.ts';

const COLON = 0x3a;

/**
 * Makes of a snapshot's tombstone the mutation that deletes its document: the key is all that is left of it. False when
 * the key's `doc_id` can't be one of its type.
 *
 * Ids are joined and never parsed, so everything behind the user point is taken for one part: the encoders write the
 * same bytes for it. `ts` is in ms since 1970 UTC.
 */
export function readDeletion(key: DocumentKeyView, ts: number, into: MutationView): boolean {
  const { bytes, docType, docIdStart, userPointEnd } = key;
  if (docType === USER_POINT_PARENT || !isUuid(bytes, docIdStart, userPointEnd)) return false;
  const [slot] = documentRule(docType).docIdSlots;
  const hasParts = userPointEnd < bytes.length;
  if (hasParts !== (slot !== undefined)) return false;
  into.bytes = bytes;
  into.datamart = key.datamart;
  into.ts = ts;
  into.op = DELETE;
  into.docType = docType;
  into.userPointStart = docIdStart;
  into.userPointEnd = userPointEnd;
  into.parts.fill(0);
  into.valueStart = 0;
  into.valueEnd = 0;
  if (slot === undefined) return true;
  into.parts[slot * 2] = userPointEnd + 1;
  into.parts[slot * 2 + 1] = bytes.length;
  return bytes[userPointEnd] === COLON && userPointEnd + 1 < bytes.length;
}
