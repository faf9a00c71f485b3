import { shownName } from '../../processors/config-record.ts';
import { DEAD_LETTER_REASONS } from '../../schemas/mutation.ts';
import { nearestName } from '../../schemas/nearest-name.ts';
import type { ApiCall, CallRequest } from '../api-call.ts';
import type { DeadLetterOperations, RedriveRequest } from '../dead-letter-operations.ts';
import {
  choiceParameter,
  FIRST_RESULT,
  invalidParameter,
  MAX_RESULTS,
  parseTime,
  TIME_ALLOWED,
  timeParameter,
} from '../query-parameters.ts';
import { fieldsOf } from '../replication-body.ts';
import type { ReplicationOperations } from '../replication-operations.ts';

const PATH = '/replications/:replicationId/dead_letters';

const REASON = choiceParameter('reason', 'Why they are dead letters', DEAD_LETTER_REASONS);
const SINCE = timeParameter('since', 'Stored then or later');
const UNTIL = timeParameter('until', 'Stored before');

const DEFAULT_LIMIT = 1_000;
const MAX_LIMIT = 10_000;
const LIST_DEADLINE_MS = 30_000;
/** Below the time after which a connection counts as dead. */
const REDRIVE_DEADLINE_MS = 50_000;
const REDRIVE_FIELDS = ['reason', 'since', 'until', 'force', 'dry_run', 'limit'];

/** Look at the dead letters of a replication, and send them again. */
export function deadLetterCalls(
  operations: ReplicationOperations,
  deadLetters: DeadLetterOperations,
): readonly ApiCall[] {
  return [
    {
      name: 'listDeadLetters',
      method: 'GET',
      path: PATH,
      summary: 'The replication’s dead letters, the newest first; no keys, no values',
      parameters: [FIRST_RESULT, MAX_RESULTS, REASON, SINCE, UNTIL],
      body: { kind: 'none' },
      takesIfMatch: false,
      readsLog: true,
      answer: { status: 200, schema: 'DeadLetter', isList: true },
      errors: ['not_ready'],
      change: null,
      handle: async ({ datamartId, id, query }) => {
        const [firstResult, maxResults] = [query.get(FIRST_RESULT) ?? 0, query.get(MAX_RESULTS) ?? 50];
        const [reason, since, until] = [query.get(REASON), query.get(SINCE), query.get(UNTIL)];
        await operations.get(datamartId, id);
        const { letters, total } = await deadLetters.list(
          { datamartId, replicationId: id, reason, since, until },
          { firstResult, maxResults },
          AbortSignal.timeout(LIST_DEADLINE_MS),
        );
        return { data: letters, page: { total, firstResult, maxResults } };
      },
    },
    {
      name: 'redriveDeadLetters',
      method: 'POST',
      path: `${PATH}/redrive`,
      summary: 'Send the replication’s dead letters again; answers how many had which result',
      parameters: [],
      body: {
        kind: 'json',
        schema: 'RedriveRequest',
        isRequired: false,
        example: { reason: 'rejected', dry_run: true },
      },
      takesIfMatch: false,
      readsLog: true,
      answer: { status: 200, schema: 'RedriveResult', isList: false },
      errors: ['not_ready'],
      change: 'redrove dead letters',
      handle: async (request) => {
        const redrive = redriveRequestOf(request);
        await operations.get(request.datamartId, request.id);
        const outcome = await deadLetters.redrive(redrive, AbortSignal.timeout(REDRIVE_DEADLINE_MS));
        return {
          data: { dry_run: redrive.isDryRun, complete: outcome.isComplete, results: outcome.results },
        };
      },
    },
  ];
}

function redriveRequestOf({ datamartId, id, body }: CallRequest): RedriveRequest {
  const fields = fieldsOf(body ?? {});
  const unknown = Object.keys(fields).find((field) => !REDRIVE_FIELDS.includes(field));
  if (unknown !== undefined) {
    const near = nearestName(unknown, REDRIVE_FIELDS);
    const shown = shownName(unknown);
    throw invalidParameter(shown, `${shown} is not a field of a redrive`, near && `did you mean ${near}?`);
  }
  const { reason = null, limit = DEFAULT_LIMIT } = fields;
  const known = DEAD_LETTER_REASONS.find((each) => each === reason) ?? null;
  if (reason !== null && known === null)
    throw invalidParameter('reason', `reason must be one of ${DEAD_LETTER_REASONS.join(', ')}`);
  if (typeof limit !== 'number' || !Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT)
    throw invalidParameter('limit', `limit must be a whole number from 1 to ${MAX_LIMIT}`);
  return {
    datamartId,
    replicationId: id,
    reason: known,
    since: timeOf(fields, 'since'),
    until: timeOf(fields, 'until'),
    isForced: flagOf(fields, 'force'),
    isDryRun: flagOf(fields, 'dry_run'),
    limit,
  };
}

function timeOf(fields: Readonly<Record<string, unknown>>, field: string): number | null {
  const given = fields[field] ?? null;
  if (given === null) return null;
  const time = parseTime(given);
  if (time === null) throw invalidParameter(field, `${field} must be ${TIME_ALLOWED}`);
  return time;
}

function flagOf(fields: Readonly<Record<string, unknown>>, field: string): boolean {
  const given = fields[field] ?? false;
  if (typeof given !== 'boolean') throw invalidParameter(field, `${field} must be true or false`);
  return given;
}
