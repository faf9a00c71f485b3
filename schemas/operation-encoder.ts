import type { MutationView } from './mutation.ts';

/** 1 is JSON, 2 is bare Avro binary. */
export type OperationVersion = 1 | 2;

/** Writes operations `<ts, doc_type, ctx_id, doc_id, op, value>` in one version's format. Pure, and allocates nothing. */
export interface OperationEncoder {
  readonly version: OperationVersion;
  /** An upper bound of the bytes that `encode` writes for this mutation. */
  maxBytes(mutation: MutationView): number;
  /** Writes the operation at `target[at]` and returns the index after its last byte. `target` has room for `maxBytes`. */
  encode(mutation: MutationView, target: Buffer, at: number): number;
}
