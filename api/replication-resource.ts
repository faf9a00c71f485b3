import type { ReplicationState } from '../processors/replication-state.ts';

/** How one partition stands for a replication. */
export interface PositionResource {
  readonly topic: string;
  readonly partition: number;
  readonly state: string;
  /** The first offset not delivered; null when the group has committed none. */
  readonly offset: string | null;
  readonly lag_records: number | null;
  /** The last interval that was not sent, `[from, to)`. */
  readonly gap: { readonly from: string; readonly to: string } | null;
}

/** What the processors see of a replication. */
export interface ObservedResource {
  readonly state: ReplicationState;
  readonly reason: string | null;
  readonly code: string | null;
  readonly message: string | null;
  readonly remedy: string | null;
  /** Since when the state holds, ms since 1970 UTC; null while no processor has said so. */
  readonly since: number | null;
  readonly deferred_status: string | null;
  readonly needs_initial_sync: boolean;
  readonly lost_offsets: string;
  /** Null when Kafka can't be asked. */
  readonly lag_records: number | null;
  readonly lag_seconds: number | null;
  /** Why the newest record on the control topic isn't in force; null when it is. */
  readonly refused: {
    readonly offset: string;
    readonly code: string;
    readonly field: string | null;
    readonly message: string;
    readonly time: number;
  } | null;
  readonly positions?: readonly PositionResource[];
}

export interface FilterResource {
  readonly id: string;
  readonly replication_id: string;
  readonly document: string;
  readonly filter: null;
}

/** A replication as the API answers it. Fields of other types are absent; those of its own type come with it. */
export interface ReplicationResource {
  readonly id: string;
  readonly version: 1 | 2;
  readonly status: 'ACTIVE' | 'PAUSED' | 'ERROR';
  readonly name: string;
  readonly type: string;
  readonly datamart_id: string;
  readonly credentials_uri?: string | null;
  readonly replication_filters: readonly FilterResource[] | null;
  readonly resume: 'WHERE_STOPPED' | 'NOW' | null;
  readonly metadata?: readonly string[];
  readonly user_point_parent?: boolean;
  readonly ordering?: boolean;
  readonly ordering_lanes?: number;
  readonly observed: ObservedResource;
  readonly [field: string]: unknown;
}
