import type { SyncPlanOperations } from '../api/sync-plan-operations.ts';
import type { SyncPlanResource } from '../api/sync-plan-resource.ts';
import { isJsonObject } from '../schemas/json-object.ts';
import { ApiConnectionError, type ApiConnection } from './api-connection.ts';

/** Plans over HTTP: refusals come as the ApiError that the server made. Tells no progress. */
export class ApiSyncPlans implements SyncPlanOperations {
  readonly #connection: ApiConnection;

  constructor(connection: ApiConnection) {
    this.#connection = connection;
  }

  async plan(datamartId: string, body: unknown): Promise<SyncPlanResource> {
    const path = `/v1/datamarts/${encodeURIComponent(datamartId)}/replication_job_executions/plan`;
    const { data } = (await this.#connection.call({ method: 'POST', path, body })).body;
    if (isPlan(data)) return data;
    throw new ApiConnectionError(
      'unexpected_answer',
      'the answer is no plan as this release knows it',
      'are the API and this command of neighbouring releases? `datamart-replication --version`',
    );
  }
}

/** Checks what the command relies on; the rest is shown as it is. */
function isPlan(data: unknown): data is SyncPlanResource {
  return (
    isJsonObject(data) &&
    isJsonObject(data.replications) &&
    Object.values(data.replications).every(
      (part) => isJsonObject(part) && isJsonObject(part.documents) && isJsonObject(part.deletions),
    )
  );
}
