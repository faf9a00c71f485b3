import type { DocumentType } from '../../schemas/document-type.ts';
import type { DatamartKey } from '../../schemas/mutation.ts';
import type { TopicPartition } from '../kafka-port.ts';

/** An initial synchronization that is RUNNING, as far as the task of one snapshot partition must know it. */
export interface SyncExecution {
  readonly id: string;
  readonly datamart: DatamartKey;
  /** What it was launched for, by replication id with `identityHash`: one made anew under the id is another. Never empty. */
  readonly replications: ReadonlyMap<string, number>;
  /** Snapshot partitions of the whole execution: what is said for the group is shared among so many. */
  readonly taskCount: number;
}

/** Why a task sends nothing for now. */
export type HeldBy = 'budget' | 'destination' | 'live';

/** How a replication's part of a task ended; null while it goes on. */
export type PartOutcome = 'succeeded' | 'error' | 'deleted';

/** What one replication got of one snapshot partition. A row that is sent twice counts twice. */
export interface PartReport {
  readonly outcome: PartOutcome | null;
  readonly documents: ReadonlyMap<DocumentType, number>;
  /** Rows of documents that were changed or deleted since the start: not sent. */
  readonly skippedNewer: number;
  /** Rows that the destination rejects: stored as dead letters. */
  readonly rejected: number;
}

/** How far a task is: a report for people and for the coordinator, never a place to start from while a commit says more. */
export interface TaskReport {
  readonly executionId: string;
  /** The snapshot topic and its partition. */
  readonly at: TopicPartition;
  readonly status: 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED';
  readonly fromOffset: number;
  /** Everything below is delivered to every replication whose part goes on. */
  readonly offset: number;
  readonly endOffset: number;
  /** S of PROTOCOL B2: documents of mutations at or behind this offset are newer than their rows. */
  readonly liveOffset: number;
  readonly held: HeldBy | null;
  /** Operations sent so far, by all parts. */
  readonly operations: number;
  /** By replication id. */
  readonly parts: ReadonlyMap<string, PartReport>;
  /** Why it FAILED, in words for people. */
  readonly error: string | null;
}

/** What the tasks of a partition's owner ask of the control plane. Everything is answered from tables in memory. */
export interface SyncPort {
  /** The executions that are RUNNING now. */
  running(): Iterable<SyncExecution>;
  /** How many operations the task may send in all; null without a budget. Never falls while the execution runs. */
  allowanceOf(executionId: string, partition: TopicPartition): number | null;
  /** What was last stored of the task; its status tells whether it has ended. */
  taskOf(executionId: string, partition: TopicPartition): TaskReport | null;
  /** Resolves with true when the report is durable; with false when that is given up. Never rejects. */
  store(report: TaskReport): Promise<boolean>;
}
