import { documentRule } from './document-id.ts';
import { DOCUMENT_TYPES, USER_POINT_PARENT } from './document-type.ts';
import type { DecodeStatus } from './mutation-decoder.ts';
import { DATAMART_ID, DOC_TYPE, FIELD_NAMES, OP, TS, USER_POINT_ID, VALUE } from './mutation-fields.ts';
import { MAX_TS, UPDATE, type DeadLetterReason, type MutationView } from './mutation.ts';

/**
 * What is wrong with the fields of a record, a set of bits: bit `f` stands for the field of number `f` (mutation-fields.ts).
 * The bits of the fields that every mutation needs are set until the field has been read, and set again when a
 * later one of the same name is bad.
 */
export type FieldProblems = number;

/** What a record starts with: none of the fields that every mutation needs has been read. */
export const NOTHING_READ: FieldProblems =
  (1 << DATAMART_ID) | (1 << USER_POINT_ID) | (1 << TS) | (1 << OP) | (1 << DOC_TYPE);

/** The document type is known and not replicated. Stands above all other bits. */
export const IS_IGNORED: FieldProblems = 1 << FIELD_NAMES.length;

/** A status and, in words, why; the words are empty when the status is good. */
export interface Verdict {
  readonly status: DecodeStatus;
  readonly detail: string;
}

const OK: Verdict = { status: 'ok', detail: '' };
const IGNORED_TYPE: Verdict = { status: 'ignored', detail: '' };

const NEEDED_BY_ALL: readonly { readonly field: number; readonly verdict: Verdict }[] = [
  needed(DATAMART_ID, 'invalid_datamart_id', 'is missing or not an integer of 1 to 19 digits'),
  needed(USER_POINT_ID, 'invalid_user_point_id', 'is missing or not a UUID of 8-4-4-4-12 hex digits'),
  needed(TS, 'ts_out_of_range', `is missing or not an integer from 1 to ${MAX_TS}, milliseconds since 1970`),
  needed(OP, 'unknown_op', 'is missing or neither UPDATE nor DELETE'),
  needed(DOC_TYPE, 'unknown_doc_type', 'is missing or no known document type'),
];
const INVALID_VALUE: Verdict = { status: 'invalid_value', detail: 'value is neither a JSON object nor null' };

/**
 * Judges a record whose fields have all been read into `view`: of several mistakes the one counts whose field comes
 * first in the contract's table. A document type that nobody replicates is no mistake, whatever else is wrong.
 * Gives `UserPointParent` its operation.
 */
export function verdictOf(view: MutationView, problems: FieldProblems): Verdict {
  if (problems !== 0) {
    if ((problems & IS_IGNORED) !== 0) return IGNORED_TYPE;
    for (const { field, verdict } of NEEDED_BY_ALL) {
      if ((problems & (1 << field)) !== 0) return verdict;
    }
  }
  const { parts, docType } = view;
  const { neededSlots, usedMask } = documentRule(docType);
  if ((problems & usedMask) !== 0) return wrongKindOfPart(problems & usedMask);
  for (let i = 0; i < neededSlots.length; i++) {
    const slot = neededSlots[i] as number;
    if (parts[slot * 2] === parts[slot * 2 + 1]) return missingPart(view, slot);
  }
  if ((problems & (1 << VALUE)) !== 0) return INVALID_VALUE;
  if (docType === USER_POINT_PARENT) view.op = UPDATE;
  return OK;
}

function needed(field: number, status: DeadLetterReason, words: string): (typeof NEEDED_BY_ALL)[number] {
  return { field, verdict: { status, detail: `${FIELD_NAMES[field]} ${words}` } };
}

function missingPart(view: MutationView, slot: number): Verdict {
  return { status: 'missing_id', detail: `${DOCUMENT_TYPES[view.docType]} needs ${FIELD_NAMES[slot]}` };
}

function wrongKindOfPart(mask: number): Verdict {
  const field = FIELD_NAMES.findIndex((_, index) => (mask & (1 << index)) !== 0);
  return { status: 'missing_id', detail: `${FIELD_NAMES[field]} is neither a string nor an integer` };
}
