import type { DocumentTypeIndex } from './document-type.ts';
import { datamartOf, docTypeOf, NONE } from './mutation-fields.ts';
import type { DatamartKey } from './mutation.ts';

const SLASH = 0x2f;

/**
 * What the key of a snapshot record says: `<datamart_id>/<doc_type>/<doc_id>`. The `doc_id` may hold slashes itself.
 *
 * One view is used again for every key, so that reading allocates nothing.
 */
export class DocumentKeyView {
  bytes: Buffer = Buffer.alloc(0);
  datamart: DatamartKey = 0;
  docType: DocumentTypeIndex = 0;
  /** The `doc_id` is `bytes[docIdStart, bytes.length)`. */
  docIdStart = 0;

  /** Reads a key. False when it is none of a replicated document. */
  read(key: Buffer): boolean {
    const afterDatamart = key.indexOf(SLASH);
    const afterType = afterDatamart < 0 ? -1 : key.indexOf(SLASH, afterDatamart + 1);
    if (afterType < 0 || afterType + 1 === key.length) return false;
    this.bytes = key;
    this.datamart = datamartOf(key, 0, afterDatamart);
    this.docType = docTypeOf(key, afterDatamart + 1, afterType);
    this.docIdStart = afterType + 1;
    return this.datamart !== NONE && this.docType >= 0;
  }
}
