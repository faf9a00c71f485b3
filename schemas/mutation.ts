import type { DocumentTypeIndex } from './document-type.ts';

/**
 * A datamart's id as the join's key: the number itself while it is a safe integer of at most 15 digits
 * (no text is made per record), else its decimal text.
 */
export type DatamartKey = number | string;

/** The key of a datamart id given as canonical decimal text. */
export function datamartKey(decimalText: string): DatamartKey {
  return decimalText.length <= 15 ? Number(decimalText) : decimalText;
}

export const UPDATE = 0;
export const DELETE = 1;
export type OperationCode = typeof UPDATE | typeof DELETE;
export const OPERATION_NAMES = ['UPDATE', 'DELETE'] as const;

/** The fields of a mutation that are parts of a `doc_id`, or stand beside them; a part's index is its slot in `MutationView.parts`. */
export const ID_PARTS = [
  'user_activity_id',
  'segment_id',
  'compartment_id',
  'user_account_id',
  'email_hash',
  'vector_id',
  'user_device_point_id',
  'user_device_technical_id',
  'kept_user_point_id',
] as const;

export type IdPart = (typeof ID_PARTS)[number];

/**
 * One decoded mutation as ranges of bytes, filled by a decoder and read by the encoders.
 *
 * One view is used again for every record, so that decoding allocates nothing. All ranges are
 * `[start, end)` in `bytes`, which is the record itself, or a copy with unescaped text appended where a
 * field held escapes. Text is plain UTF-8 (a lone surrogate from JSON is kept as its three WTF-8 bytes).
 * An absent or empty range has `start === end`.
 */
export class MutationView {
  bytes: Buffer = Buffer.alloc(0);
  datamart: DatamartKey = 0;
  /** Milliseconds since 1970 UTC. */
  ts = 0;
  op: OperationCode = UPDATE;
  docType: DocumentTypeIndex = 0;
  userPointStart = 0;
  userPointEnd = 0;
  /** `[start, end)` of each of `ID_PARTS`, two slots a part. */
  readonly parts = new Int32Array(ID_PARTS.length * 2);
  /** The raw JSON text of an object; absent, null and empty are the empty range. */
  valueStart = 0;
  valueEnd = 0;
}

/** Why a record can't be replicated, as the header `dead_letter_reason` says it (CONTRACT: dead letters). */
export const DEAD_LETTER_REASONS = [
  'malformed_envelope',
  'decode_failed',
  'unknown_schema',
  'invalid_datamart_id',
  'invalid_user_point_id',
  'ts_out_of_range',
  'unknown_op',
  'unknown_doc_type',
  'missing_id',
  'invalid_value',
  'too_large',
  'rejected',
] as const;

export type DeadLetterReason = (typeof DEAD_LETTER_REASONS)[number];

/** The greatest `ts` taken, in ms: year 2255, so that microseconds stay safe integers. */
export const MAX_TS = 9_007_199_254_740;
