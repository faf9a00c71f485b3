import { writeDecimal } from './byte-writer.ts';
import { documentRule } from './document-id.ts';
import { DOCUMENT_TYPES, type DocumentTypeIndex } from './document-type.ts';
import { writeAsUtf8 } from './json-escape.ts';
import { datamartOf, docTypeOf, NONE } from './mutation-fields.ts';
import type { DatamartKey, MutationView } from './mutation.ts';

const COLON = 0x3a;
const SLASH = 0x2f;
/** The datamart's digits and both slashes. */
const MOST_DATAMART_BYTES = 19 + 2;

const USER_POINT_LENGTH = 36;

/** At most so many bytes has the key of the mutation's document. */
export function maxDocumentKeyBytes({ docType, userPointStart, userPointEnd, parts }: MutationView): number {
  const { docIdSlots } = documentRule(docType);
  let bytes = MOST_DATAMART_BYTES + (DOCUMENT_TYPES[docType] ?? '').length + userPointEnd - userPointStart;
  for (const slot of docIdSlots) bytes += 1 + (parts[slot * 2 + 1] ?? 0) - (parts[slot * 2] ?? 0);
  return bytes;
}

/**
 * Writes the key that the snapshot has for the mutation's document, `<datamart_id>/<doc_type>/<doc_id>`, to `target[at]`
 * and returns the index after it. There must be room for `maxDocumentKeyBytes`.
 */
export function writeDocumentKey(view: MutationView, target: Buffer, at: number): number {
  const { bytes, datamart, docType, userPointStart, userPointEnd, parts } = view;
  let to =
    typeof datamart === 'number'
      ? writeDecimal(datamart, target, at)
      : at + target.write(datamart, at, 'latin1');
  target[to++] = SLASH;
  to += target.write(DOCUMENT_TYPES[docType] ?? '', to, 'latin1');
  target[to++] = SLASH;
  to += bytes.copy(target, to, userPointStart, userPointEnd);
  for (const slot of documentRule(docType).docIdSlots) {
    const start = parts[slot * 2] ?? 0;
    const end = parts[slot * 2 + 1] ?? 0;
    if (start === end) continue;
    target[to++] = COLON;
    to = writeAsUtf8(bytes, start, end, target, to);
  }
  return to;
}

/** The key as text. */
export function documentKey(view: MutationView): string {
  const key = Buffer.alloc(maxDocumentKeyBytes(view));
  return key.toString('utf8', 0, writeDocumentKey(view, key, 0));
}

/**
 * What a key says of its document; the `doc_id` may hold slashes itself. One view is used again for every key, so that
 * reading allocates nothing.
 */
export class DocumentKeyView {
  bytes: Buffer = Buffer.alloc(0);
  datamart: DatamartKey = 0;
  docType: DocumentTypeIndex = 0;
  /** The `doc_id` is `bytes[docIdStart, bytes.length)`. */
  docIdStart = 0;

  /** The user point's id, with which the `doc_id` begins, ends there. */
  get userPointEnd(): number {
    return this.docIdStart + USER_POINT_LENGTH;
  }

  /** Reads a key. False when it is none of a replicated document. */
  read(key: Buffer): boolean {
    const afterDatamart = key.indexOf(SLASH);
    const afterType = afterDatamart < 0 ? -1 : key.indexOf(SLASH, afterDatamart + 1);
    if (afterType < 0) return false;
    this.bytes = key;
    this.datamart = datamartOf(key, 0, afterDatamart);
    this.docType = docTypeOf(key, afterDatamart + 1, afterType);
    this.docIdStart = afterType + 1;
    return this.datamart !== NONE && this.docType >= 0 && this.userPointEnd <= key.length;
  }
}
