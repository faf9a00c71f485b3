import type { DocumentTypeIndex } from '../../schemas/document-type.ts';
import { Hash64 } from '../../schemas/hash64.ts';
import type { OperationView } from '../../schemas/operation-reader.ts';

const TS_BYTES = 8;
const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;

/**
 * The hashes that stand for a document and for what it holds. One object is used again for every operation: each of its
 * two hashes is valid until the next one of its kind.
 */
export class OperationHasher {
  readonly #document = new Hash64();
  readonly #contents = new Hash64();
  #scratch = Buffer.alloc(1_024);

  /** Of the document, by its type and `doc_id`. */
  document(docType: DocumentTypeIndex, docId: string): Hash64 {
    const scratch = this.#room(1 + docId.length * 3);
    scratch[0] = docType;
    return this.#document.of(scratch, 0, 1 + scratch.write(docId, 1));
  }

  /**
   * Of `ts` and the value's JSON text, byte for byte. CR and LF can only be white space of JSON and count as spaces:
   * FILE destinations write them so.
   */
  contents({ ts, value }: Pick<OperationView, 'ts' | 'value'>): Hash64 {
    const scratch = this.#room(TS_BYTES + value.length);
    scratch.writeDoubleLE(ts, 0);
    const end = TS_BYTES + value.copy(scratch, TS_BYTES);
    for (let i = TS_BYTES; i < end; i++) if (scratch[i] === LF || scratch[i] === CR) scratch[i] = SPACE;
    return this.#contents.of(scratch, 0, end);
  }

  #room(bytes: number): Buffer {
    if (this.#scratch.length < bytes) this.#scratch = Buffer.alloc(bytes * 2);
    return this.#scratch;
  }
}
