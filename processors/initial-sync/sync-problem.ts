/** Every code with which a request of an initial synchronization is refused; the API answers with the same. */
export const SYNC_PROBLEM_CODES = [
  'payload_too_large',
  'invalid_json',
  'config_key_mismatch',
  'missing_field',
  'unknown_field',
  'invalid_id',
  'invalid_datamart_id',
  'invalid_parameter',
  'invalid_replication_ids',
  'not_found',
  'no_active_replication',
  'replication_not_active',
  'sync_already_running',
  'sync_too_soon',
  'snapshot_stale',
] as const;

export type SyncProblemCode = (typeof SYNC_PROBLEM_CODES)[number];

/** Why a request is refused. */
export interface SyncProblem {
  readonly code: SyncProblemCode;
  /** The request's field that is to blame; null when it is none. */
  readonly field: string | null;
  /** What is wrong and what helps, complete by itself. */
  readonly message: string;
  /** The replications that stand in the way; empty when none does. */
  readonly replicationIds: readonly string[];
  /** When the same request may be made again, ms since 1970 UTC; null when that isn't a matter of time. */
  readonly nextDate: number | null;
}
