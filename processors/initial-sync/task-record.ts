import { DOCUMENT_TYPES, type DocumentType } from '../../schemas/document-type.ts';
import { isJsonObject } from '../../schemas/json-object.ts';
import { countOf, numberOrNull, offsetOrNull, textOrNull, type JsonFields } from '../json-fields.ts';
import type { SnapshotPartition } from './execution-keys.ts';

/** The version of the records of `initial-sync-executions` that this program writes and the newest that it reads. */
export const EXECUTIONS_VERSION = 1;

export const TASK_STATUSES = ['RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELED'] as const;
export type TaskStatus = (typeof TASK_STATUSES)[number];

/** Why nothing is sent for now: the budget is used up, a destination doesn't take more, live operations come first. */
export const HELD_BY = ['budget', 'destination', 'live'] as const;
export type HeldBy = (typeof HELD_BY)[number];

/** How a replication's part ended. */
export const PART_OUTCOMES = ['succeeded', 'error', 'deleted'] as const;
export type PartOutcome = (typeof PART_OUTCOMES)[number];

/** What one replication got, of one partition or of all. A row that is sent twice counts twice. */
export interface SyncPart {
  /** Null while it goes on. */
  readonly outcome: PartOutcome | null;
  readonly documents: ReadonlyMap<DocumentType, number>;
  /** Rows of documents that were changed or deleted since the start: not sent. */
  readonly skippedNewer: number;
  /** Rows that the destination rejects: stored as dead letters. */
  readonly rejected: number;
}

/** How far the task of one snapshot partition is, as its owner reports it. */
export interface SyncTask {
  readonly executionId: string;
  readonly at: SnapshotPartition;
  readonly status: TaskStatus;
  readonly fromOffset: number;
  /** Everything below is delivered to every replication whose part goes on. */
  readonly offset: number;
  readonly endOffset: number;
  /** Documents of mutations at or behind this offset are newer than their rows (S of PROTOCOL B2). */
  readonly liveOffset: number;
  readonly held: HeldBy | null;
  /** Operations sent so far, by all parts. */
  readonly operations: number;
  /** By replication id. */
  readonly parts: ReadonlyMap<string, SyncPart>;
  /** Why it FAILED, in words for people. */
  readonly error: string | null;
}

/** A task as `initial-sync-executions` holds it. */
export interface StoredTask extends SyncTask {
  /** Names the instance that wrote it. */
  readonly owner: string;
  /** ms since 1970 UTC. */
  readonly updatedAt: number;
}

/** The bytes of a task's record (CONTRACT section 6, with `held`, `operations` and `error` at the end). */
export function writeTask(task: StoredTask): Buffer {
  const replications = [...task.parts].map(([id, part]) => [
    id,
    {
      documents: documentsJson(part.documents),
      skipped_newer: part.skippedNewer,
      rejected: part.rejected,
      outcome: part.outcome,
    },
  ]);
  return Buffer.from(
    JSON.stringify({
      v: EXECUTIONS_VERSION,
      execution_id: task.executionId,
      topic: task.at.topic,
      partition: task.at.partition,
      status: task.status,
      from_offset: String(task.fromOffset),
      offset: String(task.offset),
      end_offset: String(task.endOffset),
      live_offset: String(task.liveOffset),
      replications: Object.fromEntries(replications) as object,
      owner: task.owner,
      updated_at: task.updatedAt,
      held: task.held,
      operations: task.operations,
      error: task.error,
    }),
  );
}

/** Reads a record of `writeTask`; null for one that can't be understood, which counts as absent. */
export function readTask(executionId: string, at: SnapshotPartition, fields: JsonFields): StoredTask | null {
  const status = TASK_STATUSES.find((name) => name === fields.status);
  const fromOffset = offsetOrNull(fields.from_offset);
  const offset = offsetOrNull(fields.offset);
  const endOffset = offsetOrNull(fields.end_offset);
  const liveOffset = offsetOrNull(fields.live_offset);
  if (!status || fromOffset === null || offset === null || endOffset === null || liveOffset === null)
    return null;
  return {
    executionId,
    at,
    status,
    fromOffset,
    offset,
    endOffset,
    liveOffset,
    held: HELD_BY.find((name) => name === fields.held) ?? null,
    operations: countOf(fields.operations),
    parts: readParts(fields.replications),
    error: textOrNull(fields.error),
    owner: textOrNull(fields.owner) ?? '',
    updatedAt: numberOrNull(fields.updated_at) ?? 0,
  };
}

/** What each replication got, by its id. */
export function readParts(value: unknown): ReadonlyMap<string, SyncPart> {
  const parts = isJsonObject(value) ? Object.entries(value) : [];
  return new Map(parts.flatMap(([id, part]) => (isJsonObject(part) ? [[id, readPart(part)] as const] : [])));
}

/** The types that were sent, in the order of their list. */
export function documentsJson(
  documents: ReadonlyMap<DocumentType, number>,
): Readonly<Record<string, number>> {
  return Object.fromEntries(
    DOCUMENT_TYPES.flatMap((type) => {
      const count = documents.get(type) ?? 0;
      return count > 0 ? [[type, count] as const] : [];
    }),
  );
}

function readPart({ outcome, documents, skipped_newer, rejected }: JsonFields): SyncPart {
  const counts = isJsonObject(documents) ? documents : {};
  return {
    outcome: PART_OUTCOMES.find((name) => name === outcome) ?? null,
    documents: new Map(
      DOCUMENT_TYPES.flatMap((type) => {
        const count = countOf(counts[type]);
        return count > 0 ? [[type, count] as const] : [];
      }),
    ),
    skippedNewer: countOf(skipped_newer),
    rejected: countOf(rejected),
  };
}
