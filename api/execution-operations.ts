import type { ExecutionStatus } from '../processors/initial-sync/execution.ts';
import type { ExecutionResource } from './execution-resource.ts';
import type { Caller, Page, PageRequest } from './replication-operations.ts';

export interface ExecutionPageRequest extends PageRequest {
  /** Null for any. */
  readonly status: ExecutionStatus | null;
}

/**
 * What can be done with initial synchronizations, over HTTP or straight on Kafka. Writes are requests that a processor
 * judges: they resolve when it has, or after some seconds with what is known by then.
 *
 * Everything rejects with an `ApiError`. Bodies are as they came: whatever is wrong with them is said.
 */
export interface ExecutionOperations {
  /** The newest first; `datamartId` null: of all datamarts, which HTTP doesn't offer. */
  list(datamartId: string | null, page: ExecutionPageRequest): Promise<Page<ExecutionResource>>;
  get(datamartId: string, executionId: string): Promise<ExecutionResource>;
  /** A repetition with the same id launches nothing; a higher budget in it raises that of what runs. */
  launch(datamartId: string, body: unknown, caller: Caller): Promise<ExecutionResource>;
  cancel(datamartId: string, executionId: string, caller: Caller): Promise<ExecutionResource>;
}
