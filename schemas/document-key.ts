import { writeDecimal } from './byte-writer.ts';
import { documentRule } from './document-id.ts';
import { DOCUMENT_TYPES, type DocumentTypeIndex } from './document-type.ts';
import { writeAsUtf8 } from './json-escape.ts';
import type { MutationView } from './mutation.ts';

const COLON = 0x3a;
const SLASH = 0x2f;
/** The datamart's digits and both slashes. */
const MOST_DATAMART_BYTES = 19 + 2;

const UUID_LENGTH = 36;
const TYPE_OF_NAME: ReadonlyMap<string, DocumentTypeIndex> = new Map(
  DOCUMENT_TYPES.map((name, docType) => [name, docType]),
);

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

/** What a key tells of its document. */
export interface DocumentKeyParts {
  /** The datamart's id as it stands there. */
  readonly datamart: string;
  readonly docType: DocumentTypeIndex;
  /** The user point's id, `[start, end)` in the key. */
  readonly userPointStart: number;
  readonly userPointEnd: number;
}

/** Reads a key; null when it is none of `writeDocumentKey`. */
export function readDocumentKey(key: Buffer): DocumentKeyParts | null {
  const afterDatamart = key.indexOf(SLASH);
  const afterType = key.indexOf(SLASH, afterDatamart + 1);
  if (afterDatamart < 1 || afterType < 0) return null;
  const docType = TYPE_OF_NAME.get(key.toString('latin1', afterDatamart + 1, afterType));
  const userPointStart = afterType + 1;
  const userPointEnd = userPointStart + UUID_LENGTH;
  if (docType === undefined || userPointEnd > key.length) return null;
  return { datamart: key.toString('latin1', 0, afterDatamart), docType, userPointStart, userPointEnd };
}
