import type { GapFinding } from './gap-finding.ts';
import type { SyncProblem } from './sync-problem.ts';
import type { HeldBy, SyncPart } from './task-record.ts';

export const EXECUTION_STATUSES = ['PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELED'] as const;
export type ExecutionStatus = (typeof EXECUTION_STATUSES)[number];

/**
 * One initial synchronization of a datamart.
 *
 * ```
 *   request ──▶ PENDING ──▶ RUNNING ──▶ SUCCEEDED        every task ended, and a replication is left
 *      │           │           ├──────▶ FAILED           a task failed, or no replication is left
 *      │           └───────────┴──────▶ CANCELED         asked for
 *      └──────────────────────────────▶ FAILED           refused: `numTasks` is 0
 * ```
 */
export interface Execution {
  readonly id: string;
  /** Null when the request names none that can be read: it is refused. */
  readonly datamartId: string | null;
  readonly status: ExecutionStatus;
  /** As the request says; else when it was stored. ms since 1970 UTC. */
  readonly creationDate: number;
  /** Null before it runs. */
  readonly startDate: number | null;
  /** From the start to the end, or to when this was written, in ms; null before the start. */
  readonly duration: number | null;
  readonly numTasks: number;
  /** Tasks that SUCCEEDED. */
  readonly completedTasks: number;
  /** Tasks that FAILED. */
  readonly erroneousTasks: number;
  readonly userId: string | null;
  /** What it was launched for, in the order of the request. */
  readonly replicationIds: readonly string[];
  /** How many operations may be sent in all; null without a budget. */
  readonly maxOperations: number | null;
  readonly held: HeldBy | null;
  /** By replication id. */
  readonly results: ReadonlyMap<string, SyncPart>;
  /** By replication id, of those that had missed something when it was launched. */
  readonly gaps: ReadonlyMap<string, GapFinding>;
  /** Why it FAILED. */
  readonly error: ExecutionError | null;
  /** When the request was stored, by Kafka's timestamp. ms since 1970 UTC. */
  readonly requestedAt: number;
  /** Of the request. */
  readonly requestOffset: number;
  /**
   * Where the control topic ended when the request was judged: a status that a record at or beyond it wants waits until
   * the end. Null when it was refused.
   */
  readonly configOffset: number | null;
  /** The datamart's replications that were ACTIVE then, by id: what holds for them until the end. */
  readonly active: ReadonlyMap<string, ActiveReplication>;
  /** How many operations each task may send in all, by `partitionName`; null without a budget. */
  readonly allowances: ReadonlyMap<string, number> | null;
  /** Grows with every record that is written of it. */
  readonly revision: number;
}

/** A replication as an execution found it. */
export interface ActiveReplication {
  /** Offset of the record with which it became ACTIVE. */
  readonly since: number;
  /** `identityHash`: a replication created later under the id is another one. */
  readonly identity: number;
}

/** Why an execution FAILED: the code of a refusal, or of what has ended it. */
export interface ExecutionError {
  readonly code: SyncProblem['code'] | 'task_failed' | 'no_replication_left';
  readonly message: string;
  /** Who stood in the way, or was left without. */
  readonly replicationIds: readonly string[];
  /** When it may be tried again, ms since 1970 UTC. */
  readonly nextDate: number | null;
}

/** What an execution that is refused for this says. */
export function refusedWith({ code, message, replicationIds, nextDate }: SyncProblem): ExecutionError {
  return { code, message, replicationIds, nextDate };
}

/** Whether nothing of it changes any more. */
export function isEnded({ status }: Pick<Execution, 'status'>): boolean {
  return status !== 'PENDING' && status !== 'RUNNING';
}

/** What statuses of a datamart's replications wait for while one of its executions goes on. */
export interface StatusDeferral {
  readonly executionId: string;
  readonly configOffset: number;
  readonly active: ReadonlyMap<string, ActiveReplication>;
}

/** What the execution defers; null when it has ended, or was refused. */
export function deferralOf(execution: Execution): StatusDeferral | null {
  const { id, configOffset, active } = execution;
  if (isEnded(execution) || configOffset === null) return null;
  return { executionId: id, configOffset, active };
}
