import type { SyncPlan } from '../processors/initial-sync/sync-plan.ts';
import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { SyncPlanResource } from './sync-plan-resource.ts';

/** How far the reading of the snapshot is. */
export interface PlanProgress {
  readonly read: number;
  readonly total: number;
}

/** Says what an initial synchronization would send, and launches nothing. */
export interface SyncPlanOperations {
  /**
   * `body` as for a launch. `onProgress` is told now and then, over HTTP never. Rejects with an `ApiError`: what a launch
   * would be refused for, or `not_ready` when the snapshot can't be read, or not before `signal` aborts.
   */
  plan(
    datamartId: string,
    body: unknown,
    onProgress: (progress: PlanProgress) => void,
    signal: AbortSignal,
  ): Promise<SyncPlanResource>;
}

/** Reads the snapshot for a plan. */
export interface SyncPlanSource {
  /** `replications` are of one datamart. Rejects with an `ApiError`: `snapshot_stale`, `not_ready`. */
  plan(
    replications: readonly ReplicationConfig[],
    onProgress: (progress: PlanProgress) => void,
    signal: AbortSignal,
  ): Promise<SyncPlan>;
}
