import { ApiError } from '../../api/api-error.ts';
import type { ExecutionOperations, ExecutionPageRequest } from '../../api/execution-operations.ts';
import type { ExecutionResource } from '../../api/execution-resource.ts';
import type { Caller } from '../../api/replication-operations.ts';

/** An execution as it is answered: RUNNING, half done. */
export function anExecutionResource(fields: Partial<ExecutionResource> = {}): ExecutionResource {
  return {
    id: 'sync-1',
    datamart_id: '1649',
    status: 'RUNNING',
    creation_date: 1_763_900_000_000,
    start_date: 1_763_900_001_000,
    duration: 52_000,
    num_tasks: 8,
    completed_tasks: 3,
    erroneous_tasks: 0,
    user_id: 'ops',
    external_model_name: 'PUBLIC_DATAMART',
    parameters: { replication_ids: ['80', '81'], max_operations: null },
    held: null,
    result: {
      total_failure: 0,
      replications: {
        80: {
          outcome: null,
          documents: { UserProfile: 1_200, UserSegment: 400 },
          skipped_newer: 12,
          rejected: 0,
        },
        81: { outcome: 'error', documents: {}, skipped_newer: 0, rejected: 3 },
      },
    },
    error: null,
    progress: 0.5,
    ...fields,
  };
}

/** Initial synchronizations in memory, with what the commands rely on. */
export class MemoryExecutions implements ExecutionOperations {
  /** The newest first. */
  readonly executions: ExecutionResource[] = [];
  /** What was called, with its body. */
  readonly calls: unknown[] = [];
  /** What `get` answers, one after another, before it answers what is there. */
  readonly answers: ExecutionResource[] = [];
  /** The next call is refused with it. */
  refusal: ApiError | null = null;

  async list(datamartId: string | null, page: ExecutionPageRequest) {
    this.calls.push({ list: datamartId, ...page });
    const { firstResult, maxResults, keywords, status } = page;
    const found = this.executions.filter(
      (execution) =>
        (datamartId === null || execution.datamart_id === datamartId) &&
        (keywords === null || execution.id.includes(keywords)) &&
        (status === null || execution.status === status),
    );
    return { items: found.slice(firstResult, firstResult + maxResults), total: found.length };
  }

  async get(datamartId: string, executionId: string): Promise<ExecutionResource> {
    this.#refuse();
    return this.answers.shift() ?? this.#find(datamartId, executionId);
  }

  async launch(datamartId: string, body: unknown, { name }: Caller): Promise<ExecutionResource> {
    this.#refuse();
    this.calls.push({ launch: datamartId, body, by: name });
    const launched = anExecutionResource({ status: 'PENDING', datamart_id: datamartId, progress: 0 });
    this.executions.unshift(launched);
    return launched;
  }

  async cancel(datamartId: string, executionId: string): Promise<ExecutionResource> {
    this.#refuse();
    this.calls.push({ cancel: executionId, datamartId });
    return this.answers.shift() ?? { ...this.#find(datamartId, executionId), status: 'CANCELED' };
  }

  #find(datamartId: string, executionId: string): ExecutionResource {
    const found = this.executions.find(({ id }) => id === executionId);
    if (found?.datamart_id !== datamartId) throw new ApiError('not_found', 'Resource Not Found');
    return found;
  }

  #refuse(): void {
    const { refusal } = this;
    this.refusal = null;
    if (refusal) throw refusal;
  }
}
