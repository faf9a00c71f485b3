import { isJsonObject } from '../../schemas/json-object.ts';
import {
  countOf,
  jsonFields,
  numberOrNull,
  offsetOrNull,
  textOrNull,
  type JsonFields,
} from '../json-fields.ts';
import { StateTooNewError } from '../status-record.ts';
import { parseExecutionKey } from './execution-keys.ts';
import {
  EXECUTION_STATUSES,
  type ActiveReplication,
  type Execution,
  type ExecutionError,
} from './execution.ts';
import { gapJson, readGap, type GapFinding } from './gap-finding.ts';
import { SYNC_PROBLEM_CODES } from './sync-problem.ts';
import {
  documentsJson,
  EXECUTIONS_VERSION,
  HELD_BY,
  readParts,
  readTask,
  type StoredTask,
  type SyncPart,
} from './task-record.ts';

/** What one record of `initial-sync-executions` says. */
export type ExecutionsRecord =
  | { readonly kind: 'execution'; readonly execution: Execution }
  /** The outcome: it stays, whatever is written of the execution later. */
  | { readonly kind: 'result'; readonly execution: Execution }
  | { readonly kind: 'task'; readonly task: StoredTask }
  | { readonly kind: 'other' };

/** Named by whoever starts such executions on the platform; there is no other. */
const EXTERNAL_MODEL = 'PUBLIC_DATAMART';

/** What the contract says of an execution, as the topic and the API tell it; absent before it runs: start and duration. */
export function executionJson(execution: Execution): Readonly<Record<string, unknown>> {
  const { startDate, duration, error } = execution;
  return {
    id: execution.id,
    datamart_id: execution.datamartId,
    status: execution.status,
    creation_date: execution.creationDate,
    ...(startDate === null ? {} : { start_date: startDate, duration: duration ?? 0 }),
    num_tasks: execution.numTasks,
    completed_tasks: execution.completedTasks,
    erroneous_tasks: execution.erroneousTasks,
    user_id: execution.userId,
    external_model_name: EXTERNAL_MODEL,
    parameters: { replication_ids: execution.replicationIds, max_operations: execution.maxOperations },
    held: execution.held,
    result: {
      total_failure: totalFailure(execution),
      replications: Object.fromEntries(
        [...execution.results].map(([id, part]) => [id, partJson(part, execution.gaps.get(id))]),
      ),
    },
    error: error && errorJson(error),
  };
}

/** Replications that didn't get everything. */
export function totalFailure({ results }: Execution): number {
  const failed = [...results.values()].filter(({ outcome }) => outcome === 'error' || outcome === 'deleted');
  return failed.length;
}

/** The bytes of an execution's record, and of its result's. */
export function writeExecution(execution: Execution): Buffer {
  const { allowances, configOffset } = execution;
  return Buffer.from(
    JSON.stringify({
      v: EXECUTIONS_VERSION,
      ...executionJson(execution),
      requested_at: execution.requestedAt,
      request_offset: String(execution.requestOffset),
      config_offset: configOffset === null ? null : String(configOffset),
      active_replications: Object.fromEntries(
        [...execution.active].map(([id, { since, identity }]) => [id, { since: String(since), identity }]),
      ) as object,
      allowances: allowances && Object.fromEntries(allowances),
      revision: execution.revision,
    }),
  );
}

/**
 * Reads a record of `initial-sync-executions`. One that can't be understood counts as absent. Throws `StateTooNewError`
 * for a record of a newer release.
 */
export function readExecutionsRecord(key: string, value: Buffer): ExecutionsRecord {
  const other: ExecutionsRecord = { kind: 'other' };
  const fields = jsonFields(value);
  if (!fields) return other;
  if (typeof fields.v === 'number' && fields.v > EXECUTIONS_VERSION)
    throw new StateTooNewError(`execution record ${key}`, fields.v, EXECUTIONS_VERSION);
  const parsed = parseExecutionKey(key);
  if (!parsed) return other;
  if (parsed.kind === 'task') {
    const task = readTask(parsed.id, parsed.at, fields);
    return task ? { kind: 'task', task } : other;
  }
  const execution = readExecution(parsed.id, fields);
  return execution ? { kind: parsed.kind, execution } : other;
}

function readExecution(id: string, fields: JsonFields): Execution | null {
  const status = EXECUTION_STATUSES.find((name) => name === fields.status);
  const creationDate = numberOrNull(fields.creation_date);
  if (!status || creationDate === null) return null;
  const parameters = isJsonObject(fields.parameters) ? fields.parameters : {};
  const result = isJsonObject(fields.result) ? fields.result : {};
  const startDate = numberOrNull(fields.start_date);
  return {
    id,
    datamartId: textOrNull(fields.datamart_id),
    status,
    creationDate,
    startDate,
    duration: startDate === null ? null : countOf(fields.duration),
    numTasks: countOf(fields.num_tasks),
    completedTasks: countOf(fields.completed_tasks),
    erroneousTasks: countOf(fields.erroneous_tasks),
    userId: textOrNull(fields.user_id),
    replicationIds: textsOf(parameters.replication_ids),
    maxOperations: numberOrNull(parameters.max_operations),
    held: HELD_BY.find((name) => name === fields.held) ?? null,
    results: readParts(result.replications),
    gaps: readGaps(result.replications),
    error: readError(fields.error),
    requestedAt: numberOrNull(fields.requested_at) ?? creationDate,
    requestOffset: offsetOrNull(fields.request_offset) ?? 0,
    configOffset: offsetOrNull(fields.config_offset),
    active: readActive(fields.active_replications),
    allowances: isJsonObject(fields.allowances) ? readAllowances(fields.allowances) : null,
    revision: countOf(fields.revision),
  };
}

function partJson(
  { outcome, documents, skippedNewer, rejected }: SyncPart,
  gap: GapFinding | undefined,
): Readonly<Record<string, unknown>> {
  return {
    outcome,
    documents: documentsJson(documents),
    skipped_newer: skippedNewer,
    rejected,
    ...(gap ? { gap: gapJson(gap) } : {}),
  };
}

function readGaps(value: unknown): ReadonlyMap<string, GapFinding> {
  const parts = isJsonObject(value) ? Object.entries(value) : [];
  return new Map(
    parts.flatMap(([id, part]) => {
      const gap = isJsonObject(part) ? readGap(part.gap) : null;
      return gap ? [[id, gap] as const] : [];
    }),
  );
}

function errorJson({ code, message, replicationIds, nextDate }: ExecutionError): JsonFields {
  return {
    code,
    message,
    replication_ids: replicationIds,
    ...(nextDate === null ? {} : { next_date: nextDate }),
  };
}

function readError(value: unknown): ExecutionError | null {
  if (!isJsonObject(value)) return null;
  const codes = [...SYNC_PROBLEM_CODES, 'task_failed', 'no_replication_left'] as const;
  return {
    code: codes.find((known) => known === value.code) ?? 'task_failed',
    message: textOrNull(value.message) ?? '',
    replicationIds: textsOf(value.replication_ids),
    nextDate: numberOrNull(value.next_date),
  };
}

function readActive(value: unknown): ReadonlyMap<string, ActiveReplication> {
  const entries = isJsonObject(value) ? Object.entries(value) : [];
  return new Map(
    entries.flatMap(([id, entry]) => {
      const since = isJsonObject(entry) ? offsetOrNull(entry.since) : null;
      const identity = isJsonObject(entry) ? numberOrNull(entry.identity) : null;
      return since === null || identity === null ? [] : [[id, { since, identity }] as const];
    }),
  );
}

function readAllowances(fields: JsonFields): ReadonlyMap<string, number> {
  return new Map(Object.entries(fields).map(([partition, allowance]) => [partition, countOf(allowance)]));
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((text): text is string => typeof text === 'string') : [];
}
