/**
 * What the API needs of the control plane: the tables of desired and observed state, the log that desired state is
 * written to, and whoever can try destinations and seal credentials. Kafka stands behind all of it.
 */
import type {
  ConfigProblem,
  ConfigRules,
  DestinationType,
  ReplicationConfig,
} from '../processors/replication-config.ts';
import type { Verdict } from '../processors/replication-state.ts';
import type { PartitionReport, ReplicationStatus } from '../processors/status-record.ts';

/** A replication in force, with the JSON object of the record that says so. */
export interface AcceptedConfig extends ReplicationConfig {
  readonly record: Readonly<Record<string, unknown>>;
}

/** A kind of destination that can also tell whether credentials are good for it. */
export interface CredentialedType extends DestinationType {
  checkCredentials(text: string, config: unknown): ConfigProblem | null;
}

export interface ControlRules extends ConfigRules {
  readonly types: ReadonlyMap<string, CredentialedType>;
}

/** The newest record of a key, if it was refused. */
export interface RefusedRecord {
  readonly offset: number;
  readonly code: string;
  readonly field: string | null;
  readonly message: string;
  /** When it was judged, ms since 1970 UTC. */
  readonly time: number;
}

/** The replications in force. `ReplicationTable` is one. */
export interface DesiredReplications {
  readonly rules: ControlRules;
  get(id: string): AcceptedConfig | undefined;
  all(): Iterable<AcceptedConfig>;
  ofDatamart(datamartId: string): readonly AcceptedConfig[];
  /** What became of the key's newest record; null when there was none. */
  judgement(id: string): { readonly refused: RefusedRecord | null } | null;
}

/** What was observed. `StatusTable` is one. */
export interface ObservedReplications {
  status(id: string): ReplicationStatus | null;
  verdict(id: string): Verdict | null;
  reports(id: string): Iterable<PartitionReport>;
}

/** Which sealed credentials there are. `CredentialsTable` is one. */
export interface SealedVersions {
  /** Null when there are none. */
  versionOf(replicationId: string): number | null;
}

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

/** Explains to a customer what becomes of a mutation. */
export interface Explainer {
  /**
   * For one replication of the datamart. `request` is the body as it came. A record of another datamart is as if it
   * weren't there. Rejects with an `ApiError`: `invalid_parameter`, `invalid_mutation`, `not_found`, `not_ready`.
   */
  explain(
    datamartId: string,
    replicationId: string,
    request: unknown,
    signal: AbortSignal,
  ): Promise<Readonly<object>>;
}
