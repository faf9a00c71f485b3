import { documentRule } from './document-id.ts';
import { DOCUMENT_TYPES } from './document-type.ts';
import { writeAsUtf8 } from './json-escape.ts';
import type { MutationView } from './mutation.ts';

const COLON = 0x3a;

/** The document of a mutation as the snapshot's key names it: `<datamart_id>/<doc_type>/<doc_id>`. */
export function documentKey({
  bytes,
  datamart,
  docType,
  userPointStart,
  userPointEnd,
  parts,
}: MutationView): string {
  const { docIdSlots } = documentRule(docType);
  let length = userPointEnd - userPointStart;
  for (const slot of docIdSlots) length += 1 + (parts[slot * 2 + 1] ?? 0) - (parts[slot * 2] ?? 0);
  const docId = Buffer.alloc(length);
  let to = bytes.copy(docId, 0, userPointStart, userPointEnd);
  for (const slot of docIdSlots) {
    const start = parts[slot * 2] ?? 0;
    const end = parts[slot * 2 + 1] ?? 0;
    if (start === end) continue;
    docId[to++] = COLON;
    to = writeAsUtf8(bytes, start, end, docId, to);
  }
  return `${datamart}/${DOCUMENT_TYPES[docType] ?? ''}/${docId.toString('utf8', 0, to)}`;
}
