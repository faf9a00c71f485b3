import { ApiError } from '../../api/api-error.ts';
import type { ExecutionOperations } from '../../api/execution-operations.ts';
import type { ExecutionResource } from '../../api/execution-resource.ts';
import type { ExecutionStatus } from '../../processors/initial-sync/execution.ts';
import type { ControlSession } from '../control-session.ts';
import type { ControlAccess, ControlAction } from '../run-on-control-plane.ts';

/** Opens initial synchronizations over the control topics of the settings' Kafka. */
export type OpenExecutions = ControlAccess<ExecutionOperations>['overKafka'];

/** What every command on initial synchronizations works with. */
export type ExecutionsSession = ControlSession<ExecutionOperations>;

/** What a command does, once they can be reached. Resolves with the exit code. */
export type ExecutionsAction = ControlAction<ExecutionOperations>;

const PAGE = 1_000;

/** All of a datamart (null: of all), the newest first. */
export async function allExecutions(
  { operations, signal }: Pick<ExecutionsSession, 'operations' | 'signal'>,
  datamartId: string | null,
  {
    keywords = null,
    status = null,
  }: { readonly keywords?: string | null; readonly status?: ExecutionStatus | null },
): Promise<readonly ExecutionResource[]> {
  // By id: what is launched meanwhile shifts the pages.
  const found = new Map<string, ExecutionResource>();
  for (let firstResult = 0; ; firstResult += PAGE) {
    signal.throwIfAborted();
    const page = { firstResult, maxResults: PAGE, keywords, status };
    const { items, total } = await operations.list(datamartId, page);
    for (const resource of items) found.set(resource.id, resource);
    if (items.length === 0 || firstResult + PAGE >= total) return [...found.values()];
  }
}

/** The datamart of an execution: the one that was given, or whose it is. Rejects with `not_found`. */
export async function datamartOf(session: ExecutionsSession, executionId: string): Promise<string> {
  if (session.datamartId !== null) return session.datamartId;
  const found = await allExecutions(session, null, { keywords: executionId });
  const datamartId = found.find(({ id }) => id === executionId)?.datamart_id ?? null;
  if (datamartId !== null) return datamartId;
  throw new ApiError('not_found', `there is no initial synchronization ${executionId}`, {
    hint: '`datamart-replication initial-sync list` shows those there are',
  });
}
