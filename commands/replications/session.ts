import { ApiError } from '../../api/api-error.ts';
import type { Caller, ReplicationOperations } from '../../api/replication-operations.ts';
import type { ReplicationResource } from '../../api/replication-resource.ts';
import type { TextOutput } from '../text-output.ts';

/** Replications as a command reaches them, over Kafka or over HTTP. */
export interface ReplicationsConnection {
  readonly operations: ReplicationOperations;
  close(): Promise<void>;
}

/** What every command on replications works with. */
export interface ReplicationsSession {
  readonly operations: ReplicationOperations;
  readonly caller: Caller;
  /** `--datamart-id`; null: not given, which is possible over Kafka only. */
  readonly datamartId: string | null;
  /** The flags that lead here, as a further command needs them: ` --api … --datamart-id …`. */
  readonly flagsText: string;
  readonly isJson: boolean;
  readonly out: TextOutput;
  readonly errors: TextOutput;
  readonly signal: AbortSignal;
  /** In ms, of a clock that only goes forward. */
  readonly now: () => number;
  /** Resolves early, without an error, when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

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

export function writeJson(out: TextOutput, value: unknown): void {
  out.write(`${JSON.stringify(value)}\n`);
}
