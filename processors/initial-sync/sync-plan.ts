import type { ReplicationEstimate } from './sync-estimate.ts';

/** What was not sent to a replication since its last initial synchronization. */
export interface GapFinding {
  /** How many mutations at most. */
  readonly offsets: number;
  /** When the oldest of them was stored, at the latest; null when nothing tells. ms since 1970 UTC. */
  readonly since: number | null;
  /**
   * Whether it is older than the snapshot keeps tombstones, so that deletions of its beginning may not be repaired; null
   * when its age isn't known.
   */
  readonly isOlderThanTombstones: boolean | null;
}

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
