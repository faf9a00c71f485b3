import type { GapFinding } from './gap-finding.ts';
import type { ReplicationEstimate } from './sync-estimate.ts';

export interface ReplicationPlan {
  readonly estimate: ReplicationEstimate;
  /** Where the rules of what is billed come from; null when none apply. */
  readonly billingSource: string | null;
  /** Null: nothing is missing but what the synchronization sends. */
  readonly gap: GapFinding | null;
}

/** What an initial synchronization would send. */
export interface SyncPlan {
  readonly replications: ReadonlyMap<string, ReplicationPlan>;
  /** Rows that a newer one of their document supersedes: until compaction has removed them they are sent too. */
  readonly supersededRows: number;
  /** Rows that are no mutations. */
  readonly unreadableRows: number;
}
