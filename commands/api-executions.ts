import { ApiError } from '../api/api-error.ts';
import type { ExecutionOperations, ExecutionPageRequest } from '../api/execution-operations.ts';
import type { ExecutionResource } from '../api/execution-resource.ts';
import type { Page } from '../api/replication-operations.ts';
import { ConfigError } from '../config/config-error.ts';
import { isJsonObject } from '../schemas/json-object.ts';
import { ApiConnectionError, type ApiConnection } from './api-connection.ts';

/**
 * Initial synchronizations over HTTP, with what the service itself promises: refusals come as the ApiError that the
 * server made. Who calls is told by the token.
 */
export class ApiExecutions implements ExecutionOperations {
  readonly #connection: ApiConnection;

  constructor(connection: ApiConnection) {
    this.#connection = connection;
  }

  async list(datamartId: string | null, page: ExecutionPageRequest): Promise<Page<ExecutionResource>> {
    if (datamartId === null) throw new ConfigError(['--datamart-id: not given, and with --api it is needed']);
    const { firstResult, maxResults, keywords, status } = page;
    const { body } = await this.#connection.call({
      method: 'GET',
      path: pathOf(datamartId),
      query: {
        first_result: String(firstResult),
        max_results: String(maxResults),
        ...(keywords === null ? {} : { keywords }),
        ...(status === null ? {} : { status }),
      },
    });
    const { data, total } = body;
    if (!Array.isArray(data) || typeof total !== 'number') throw unexpected();
    return { items: data.map(resourceOf), total };
  }

  async get(datamartId: string, executionId: string): Promise<ExecutionResource> {
    const { body } = await this.#connection.call({ method: 'GET', path: pathOf(datamartId, executionId) });
    return resourceOf(body.data);
  }

  async launch(datamartId: string, body: unknown): Promise<ExecutionResource> {
    const answer = await this.#connection.call({ method: 'POST', path: pathOf(datamartId), body });
    return resourceOf(answer.body.data);
  }

  async cancel(datamartId: string, executionId: string): Promise<ExecutionResource> {
    const { body } = await this.#connection.call({ method: 'DELETE', path: pathOf(datamartId, executionId) });
    return resourceOf(body.data);
  }
}

function pathOf(datamartId: string, executionId?: string): string {
  const executions = `/v1/datamarts/${encodeURIComponent(datamartId)}/replication_job_executions`;
  if (executionId === undefined) return executions;
  // Paths are shortened by these, and lead elsewhere.
  if (/^\.{1,2}$/.test(executionId)) throw new ApiError('not_found', 'Resource Not Found');
  return `${executions}/${encodeURIComponent(executionId)}`;
}

/** Checks what the commands rely on; the rest is shown as it is. */
function resourceOf(data: unknown): ExecutionResource {
  if (!isJsonObject(data)) throw unexpected();
  const { id, status, progress, parameters, result } = data;
  const isWhole =
    typeof id === 'string' &&
    typeof status === 'string' &&
    typeof progress === 'number' &&
    isJsonObject(parameters) &&
    isJsonObject(result);
  if (!isWhole) throw unexpected();
  return data as unknown as ExecutionResource;
}

function unexpected(): ApiConnectionError {
  return new ApiConnectionError(
    'unexpected_answer',
    'the answer is no initial synchronization as this release knows it',
    'are the API and this command of neighbouring releases? `datamart-replication --version`',
  );
}
