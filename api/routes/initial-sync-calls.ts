import type { ApiCall } from '../api-call.ts';
import { ApiError } from '../api-error.ts';
import { FIRST_RESULT, MAX_RESULTS, textParameter } from '../query-parameters.ts';

const COLLECTION = '/replication_job_executions';
const ONE = '/replication_job_executions/:executionId';

const KEYWORDS = textParameter('keywords', 'Words that all must be in the id');
const STATUS = textParameter('status', 'Only executions of this status');

const launchBody: ApiCall['body'] = {
  kind: 'json',
  schema: 'LaunchRequest',
  isRequired: false,
  example: { replication_ids: ['123', '456'] },
};

/** Plan, launch, watch and cancel initial synchronizations: known, and refused by this release. */
export function initialSyncCalls(): readonly ApiCall[] {
  return [
    {
      ...refused,
      name: 'listExecutions',
      method: 'GET',
      path: COLLECTION,
      summary: 'The datamart’s initial synchronizations',
      parameters: [FIRST_RESULT, MAX_RESULTS, KEYWORDS, STATUS],
    },
    {
      ...refused,
      name: 'launchExecution',
      method: 'POST',
      path: COLLECTION,
      summary: 'Launch an initial synchronization',
      body: launchBody,
    },
    {
      ...refused,
      name: 'planExecution',
      method: 'POST',
      path: `${COLLECTION}/plan`,
      summary: 'What an initial synchronization would send',
      body: launchBody,
    },
    {
      ...refused,
      name: 'getExecution',
      method: 'GET',
      path: ONE,
      summary: 'One initial synchronization',
    },
    {
      ...refused,
      name: 'cancelExecution',
      method: 'DELETE',
      path: ONE,
      summary: 'Cancel an initial synchronization',
    },
  ];
}

const refused: Omit<ApiCall, 'name' | 'method' | 'path' | 'summary'> = {
  parameters: [],
  body: { kind: 'none' },
  takesIfMatch: false,
  answer: null,
  errors: ['not_implemented'],
  change: null,
  handle: () =>
    Promise.reject(
      new ApiError('not_implemented', 'initial synchronizations are not served by this release', {
        hint: 'run a newer release',
      }),
    ),
};
