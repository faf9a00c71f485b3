import { EXECUTION_STATUSES } from '../../processors/initial-sync/execution.ts';
import type { ApiCall } from '../api-call.ts';
import type { ApiErrorCode } from '../api-error.ts';
import type { ExecutionOperations } from '../execution-operations.ts';
import { choiceParameter, FIRST_RESULT, MAX_RESULTS, textParameter } from '../query-parameters.ts';
import type { SyncPlanOperations } from '../sync-plan-operations.ts';

const COLLECTION = '/replication_job_executions';
const ONE = '/replication_job_executions/:executionId';

const KEYWORDS = textParameter('keywords', 'Words that all must be in the id');
const STATUS = choiceParameter('status', 'Only executions of this status', EXECUTION_STATUSES);

const launchBody: ApiCall['body'] = {
  kind: 'json',
  schema: 'LaunchRequest',
  isRequired: false,
  example: { replication_ids: ['123', '456'] },
};

/** What a launch can be refused for. */
const LAUNCH_ERRORS: readonly ApiErrorCode[] = [
  'unknown_field',
  'invalid_id',
  'datamart_mismatch',
  'invalid_replication_ids',
  'no_active_replication',
  'replication_not_active',
  'sync_already_running',
  'sync_too_soon',
  'snapshot_stale',
  'not_ready',
  'write_not_confirmed',
];

/** A plan writes nothing. */
const PLAN_ERRORS = LAUNCH_ERRORS.filter((code) => code !== 'write_not_confirmed');
/** Below the time after which a connection counts as dead. */
const PLAN_DEADLINE_MS = 50_000;

/** Plan, launch, watch and cancel initial synchronizations. */
export function initialSyncCalls(
  executions: ExecutionOperations,
  plans: SyncPlanOperations,
): readonly ApiCall[] {
  return [
    {
      name: 'listExecutions',
      method: 'GET',
      path: COLLECTION,
      summary: 'The datamart’s initial synchronizations, the newest first',
      parameters: [FIRST_RESULT, MAX_RESULTS, KEYWORDS, STATUS],
      body: { kind: 'none' },
      takesIfMatch: false,
      answer: { status: 200, schema: 'Execution', isList: true },
      errors: ['not_ready'],
      change: null,
      handle: async ({ datamartId, query }) => {
        const [firstResult, maxResults] = [query.get(FIRST_RESULT) ?? 0, query.get(MAX_RESULTS) ?? 50];
        const [keywords, status] = [query.get(KEYWORDS), query.get(STATUS)];
        const page = { firstResult, maxResults, keywords, status };
        const { items, total } = await executions.list(datamartId, page);
        return { data: items, page: { total, firstResult, maxResults } };
      },
    },
    {
      name: 'planExecution',
      method: 'POST',
      path: `${COLLECTION}/plan`,
      summary: 'What an initial synchronization would send, and what is billed for it; launches nothing',
      parameters: [],
      body: launchBody,
      takesIfMatch: false,
      readsLog: true,
      answer: { status: 200, schema: 'Plan', isList: false },
      errors: PLAN_ERRORS,
      change: null,
      handle: async ({ datamartId, body }) => ({
        data: await plans.plan(datamartId, body, () => undefined, AbortSignal.timeout(PLAN_DEADLINE_MS)),
      }),
    },
    {
      name: 'launchExecution',
      method: 'POST',
      path: COLLECTION,
      summary: 'Launch an initial synchronization; the same id again launches nothing twice',
      parameters: [],
      body: launchBody,
      takesIfMatch: false,
      answer: { status: 201, schema: 'Execution', isList: false },
      errors: LAUNCH_ERRORS,
      change: 'launched an initial synchronization',
      handle: async ({ datamartId, body, caller }) => {
        const execution = await executions.launch(datamartId, body, caller);
        return { data: execution, createdId: execution.id };
      },
    },
    {
      name: 'getExecution',
      method: 'GET',
      path: ONE,
      summary: 'One initial synchronization, with its tasks',
      parameters: [],
      body: { kind: 'none' },
      takesIfMatch: false,
      answer: { status: 200, schema: 'Execution', isList: false },
      errors: ['not_ready'],
      change: null,
      handle: async ({ datamartId, id }) => ({ data: await executions.get(datamartId, id) }),
    },
    {
      name: 'cancelExecution',
      method: 'DELETE',
      path: ONE,
      summary: 'Cancel an initial synchronization; what was sent stays',
      parameters: [],
      body: { kind: 'none' },
      takesIfMatch: false,
      answer: { status: 200, schema: 'Execution', isList: false },
      errors: ['execution_ended', 'not_ready', 'write_not_confirmed'],
      change: 'canceled an initial synchronization',
      handle: async ({ datamartId, id, caller }) => ({
        data: await executions.cancel(datamartId, id, caller),
      }),
    },
  ];
}
