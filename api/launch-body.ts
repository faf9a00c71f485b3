import { didYouMean, shownName } from '../processors/config-record.ts';
import type { SyncProblem } from '../processors/initial-sync/sync-problem.ts';
import { ApiError } from './api-error.ts';
import { assertDatamart, fieldsOf } from './replication-body.ts';
import type { Caller } from './replication-operations.ts';

type Fields = Readonly<Record<string, unknown>>;

const BODY_FIELDS = ['id', 'datamart_id', 'replication_ids', 'max_operations'] as const;

/** Where a record comes from that isn't said by the body. */
export interface LaunchOrigin {
  readonly datamartId: string;
  readonly caller: Caller;
  /** ms since 1970 UTC. */
  readonly nowMs: number;
  /** For a launch that names none. */
  readonly newId: () => string;
}

/** The request that a body asks for; an empty one is for every ACTIVE replication. Throws an `ApiError`. */
export function launchRecordOf(body: unknown, origin: LaunchOrigin): Fields & { readonly id: string } {
  const given = body === undefined ? {} : fieldsOf(body);
  for (const field of Object.keys(given)) assertKnown(field);
  const { datamartId, caller, nowMs, newId } = origin;
  assertDatamart(given.datamart_id, datamartId);
  const { id = null, replication_ids: ids = null, max_operations: maxOperations = null } = given;
  if (id !== null && typeof id !== 'string')
    throw new ApiError('invalid_id', 'id must be a text of [A-Za-z0-9_.-]{1,64}', {
      field: 'id',
      hint: 'leave it out, or choose one: the same id again launches nothing twice',
    });
  return {
    id: id ?? newId(),
    datamart_id: datamartId,
    ...(ids === null ? {} : { replication_ids: ids }),
    creation_date: nowMs,
    user_id: caller.name,
    max_operations: maxOperations,
  };
}

/** A request that is refused, by itself or by what else there is. */
export function refusedLaunch(
  {
    code,
    field,
    message,
    replicationIds,
    nextDate,
  }: Omit<SyncProblem, 'field'> & { readonly field: string | null },
  nowMs: number,
): ApiError {
  const isThere = code !== 'not_found';
  return new ApiError(code, isThere ? message : 'Resource Not Found', {
    field,
    hint: isThere ? null : message,
    details: {
      ...(replicationIds.length > 0 ? { replication_ids: replicationIds } : {}),
      ...(nextDate === null ? {} : { next_date: nextDate }),
    },
    ...(nextDate === null ? {} : { retryAfterSeconds: Math.max(1, Math.ceil((nextDate - nowMs) / 1_000)) }),
  });
}

function assertKnown(field: string): void {
  if (BODY_FIELDS.some((known) => known === field)) return;
  const shown = shownName(field);
  const remedy = didYouMean(field, BODY_FIELDS) || '; leave it out';
  throw new ApiError('unknown_field', `"${shown}" is not a field of a launch${remedy}`, { field: shown });
}
