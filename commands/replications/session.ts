import { ApiError } from '../../api/api-error.ts';
import type { ReplicationOperations } from '../../api/replication-operations.ts';
import type { ReplicationResource } from '../../api/replication-resource.ts';
import type { ControlConnection, ControlSession } from '../control-session.ts';

/** Replications as a command reaches them, over Kafka or over HTTP. */
export type ReplicationsConnection = ControlConnection<ReplicationOperations>;

/** What every command on replications works with. */
export type ReplicationsSession = ControlSession<ReplicationOperations>;

/** Asks back; null where `--yes` answers. */
export type Confirm = ((question: string) => Promise<boolean>) | null;

const PAGE = 1_000;

/** All replications of a datamart (null: of all), the newest first. */
export async function allReplications(
  { operations, signal }: Pick<ReplicationsSession, 'operations' | 'signal'>,
  datamartId: string | null,
  keywords: string | null = null,
): Promise<readonly ReplicationResource[]> {
  // By id: what is created or deleted meanwhile shifts the pages.
  const found = new Map<string, ReplicationResource>();
  for (let firstResult = 0; ; firstResult += PAGE) {
    signal.throwIfAborted();
    const { items, total } = await operations.list(datamartId, { firstResult, maxResults: PAGE, keywords });
    for (const resource of items) found.set(resource.id, resource);
    if (items.length === 0 || firstResult + PAGE >= total) return [...found.values()];
  }
}

/** The datamart of a replication: the one that was given, or whose it is. Rejects with `not_found`. */
export async function datamartOf(session: ReplicationsSession, replicationId: string): Promise<string> {
  if (session.datamartId !== null) return session.datamartId;
  const found = await allReplications(session, null, replicationId);
  const resource = found.find(({ id }) => id === replicationId);
  if (resource) return resource.datamart_id;
  throw new ApiError('not_found', `there is no replication ${replicationId}`, {
    hint: '`datamart-replication replications list` shows those there are',
  });
}

/** A replication as messages name it. */
export function nameOf({ id, name }: ReplicationResource): string {
  return `${id} ${JSON.stringify(name)}`;
}
