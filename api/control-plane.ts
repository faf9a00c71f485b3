/**
 * What the API needs of the control plane: the tables of desired and observed state, the log that desired state is
 * written to, and whoever can try destinations and seal credentials. Kafka stands behind all of it.
 */
import type { CredentialsTable } from '../processors/credentials-table.ts';
import type { ExecutionTable } from '../processors/initial-sync/execution-table.ts';
import type { RequestTable } from '../processors/initial-sync/request-table.ts';
import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import type { StatusTable } from '../processors/status-table.ts';

/** The replications in force, and the rules that a record has to keep beside them. */
export type DesiredReplications = Pick<
  ReplicationTable,
  'rules' | 'get' | 'all' | 'ofDatamart' | 'judge' | 'judgement'
>;

/** What was observed. */
export type ObservedReplications = Pick<StatusTable, 'status' | 'verdict' | 'reports'>;

/** Which sealed credentials there are. */
export type SealedVersions = Pick<CredentialsTable, 'versionOf'>;

/** The initial synchronizations, and what was asked for. */
export type KnownExecutions = Pick<ExecutionTable, 'get' | 'all' | 'tasksOf' | 'deferral'>;
export type SyncRequests = Pick<RequestTable, 'get' | 'ids'>;

/** How far the group is on a partition of a mutation topic. */
export interface PartitionOffsets {
  readonly topic: string;
  readonly partition: number;
  /** Null when the group has committed nothing there. */
  readonly committed: number | null;
  readonly end: number;
  /** How long ago the record at `committed` was stored; 0 when none waits, null when that isn't known. */
  readonly lagMs: number | null;
}

/** What is desired and observed, as this instance's tables hold it. */
export interface ControlState {
  /** Whether the tables have been read to the end. */
  readonly isCaughtUp: boolean;
  readonly replications: DesiredReplications;
  readonly status: ObservedReplications;
  readonly credentials: SealedVersions;
  readonly executions: KnownExecutions;
  readonly requests: SyncRequests;
  /** Of every partition of the mutation topics, at most 2 s old. Rejects when Kafka can't be asked. */
  partitionOffsets(): Promise<readonly PartitionOffsets[]>;
}

/**
 * Writes desired state. Each resolves with the record's offset once this instance's own table has applied it, and
 * rejects with a `NotConfirmedError` when that took longer than 10 s.
 */
export interface ControlLog {
  /** Null deletes the replication. */
  writeConfig(id: string, record: Readonly<Record<string, unknown>> | null): Promise<number>;
  writeCredentials(id: string, record: Buffer | null): Promise<number>;
  /** A launch or a cancel of an initial synchronization. */
  writeSyncRequest(id: string, record: Readonly<Record<string, unknown>>): Promise<number>;
}

/** A write that this instance's table hasn't shown in time. It may still happen. */
export class NotConfirmedError extends Error {
  override readonly name = 'NotConfirmedError';
}

/** Why a destination can't be used, without secrets. `code` is one of the sinks' closed list. */
export interface DestinationRefusal {
  readonly code: string;
  readonly message: string;
  readonly remedy: string | null;
}

/** Tries destinations without publishing. */
export interface DestinationChecker {
  /**
   * Null when the destination works. `credentials` are the text of new ones; null takes those that `config` names.
   * Never rejects; ends early when `signal` aborts.
   */
  check(
    config: ReplicationConfig,
    credentials: string | null,
    signal: AbortSignal,
  ): Promise<DestinationRefusal | null>;
}

/** Seals credentials under the key of the settings. */
export interface CredentialsSealer {
  /** The record of `replication-credentials`, bound to its owner and version. */
  seal(
    owner: { readonly datamartId: string; readonly replicationId: string; readonly version: number },
    text: string,
  ): Buffer;
}

/** Explains what becomes of a mutation. */
export interface Explainer {
  /**
   * For one replication, or for all of the mutation's datamart. `request` is the body as it came. A record of another
   * datamart is as if it weren't there; `datamartId` null asks about whatever datamart. Rejects with an `ApiError`:
   * `invalid_parameter`, `invalid_mutation`, `not_found`, `not_ready`.
   */
  explain(
    datamartId: string | null,
    replicationId: string | null,
    request: unknown,
    signal: AbortSignal,
  ): Promise<Readonly<object>>;
}
