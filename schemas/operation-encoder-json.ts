import { copyBytes, writeConstant, writeDecimal } from './byte-writer.ts';
import { documentRule } from './document-id.ts';
import { DOCUMENT_TYPES } from './document-type.ts';
import { MAX_ESCAPE_GROWTH, writeJsonEscaped } from './json-escape.ts';
import { ID_PARTS, OPERATION_NAMES, type MutationView } from './mutation.ts';
import type { OperationEncoder } from './operation-encoder.ts';
import { writeOperationValue } from './operation-value.ts';

const COLON = 0x3a;
const CLOSE_BRACE = 0x7d;

const BEFORE_TS = Buffer.from('{"ts":');
const BEFORE_DOC_ID = DOCUMENT_TYPES.map((name) => Buffer.from(`,"doc_type":"${name}","doc_id":"`));
const BEFORE_VALUE = OPERATION_NAMES.map((name) => Buffer.from(`","op":"${name}","value":`));

/** What is left of an operation without ids and value, at most: names, punctuation, digits, the words of a merge. */
const FIXED_BYTES = 160;

/** Writes version 1: one JSON object without white space of its own, `value` inline and byte for byte. */
export class JsonOperationEncoder implements OperationEncoder {
  readonly version = 1;

  maxBytes({ userPointStart, userPointEnd, parts, valueStart, valueEnd }: MutationView): number {
    let ids = (userPointEnd - userPointStart) * 2;
    for (let slot = 0; slot < ID_PARTS.length; slot++) {
      ids += (parts[slot * 2 + 1] as number) - (parts[slot * 2] as number) + 1;
    }
    return FIXED_BYTES + ids * MAX_ESCAPE_GROWTH + (valueEnd - valueStart);
  }

  encode(mutation: MutationView, target: Buffer, at: number): number {
    const { bytes, parts, docType, op, userPointStart, userPointEnd } = mutation;
    let to = writeConstant(BEFORE_TS, target, at);
    to = writeDecimal(mutation.ts, target, to);
    to = writeConstant(BEFORE_DOC_ID[docType] as Buffer, target, to);
    to = copyBytes(bytes, userPointStart, userPointEnd, target, to);
    const { docIdSlots } = documentRule(docType);
    for (let s = 0; s < docIdSlots.length; s++) {
      const slot = docIdSlots[s] as number;
      const start = parts[slot * 2] as number;
      const end = parts[slot * 2 + 1] as number;
      if (start === end) continue;
      target[to++] = COLON;
      to = writeJsonEscaped(bytes, start, end, target, to);
    }
    to = writeConstant(BEFORE_VALUE[op] as Buffer, target, to);
    to = writeOperationValue(mutation, target, to);
    target[to++] = CLOSE_BRACE;
    return to;
  }
}
