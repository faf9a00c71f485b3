import type { ReplicationConfig } from '../replication-config.ts';
import type { ReplicationState } from '../replication-state.ts';
import { isEnded, type Execution } from './execution.ts';
import type { SyncProblem, SyncProblemCode } from './sync-problem.ts';
import type { LaunchRequest } from './sync-request.ts';

/** What a launch is judged against: all as it is at one moment. */
export interface LaunchSituation {
  /** The replications that exist. */
  readonly replications: {
    get(id: string): ReplicationConfig | undefined;
    ofDatamart(datamartId: string): readonly ReplicationConfig[];
  };
  readonly stateOf: (config: ReplicationConfig) => ReplicationState;
  /** Of the datamart, without the one that is judged. */
  readonly executions: readonly Execution[];
  /** When the request was stored, by Kafka's timestamp. ms since 1970 UTC. */
  readonly requestedAt: number;
  /** How long a succeeded synchronization blocks the next one of its replications, in ms; 0 for not at all. */
  readonly windowMs: number;
}

export type LaunchJudgement =
  | { readonly kind: 'accepted'; readonly replications: readonly ReplicationConfig[] }
  | { readonly kind: 'refused'; readonly problem: SyncProblem };

/**
 * Judges a launch: it is refused as a whole, with the first kind of what stands in the way in the order `not_found`,
 * `replication_not_active`, `sync_already_running`, `sync_too_soon`, and all offenders of that kind. Pure.
 */
export function judgeLaunch(request: LaunchRequest, situation: LaunchSituation): LaunchJudgement {
  const chosen = chosenReplications(request, situation);
  if ('problem' in chosen) return { kind: 'refused', problem: chosen.problem };
  const { replications } = chosen;
  const problem =
    runningProblem(replications, situation.executions) ?? windowProblem(replications, situation);
  return problem ? { kind: 'refused', problem } : { kind: 'accepted', replications };
}

/** That the datamart has another execution that goes on; null when none does. */
export function runningProblem(
  replications: readonly { readonly id: string }[],
  executions: Iterable<Execution>,
): SyncProblem | null {
  for (const execution of executions) {
    if (isEnded(execution)) continue;
    return refusal(
      'sync_already_running',
      `the initial synchronization ${execution.id} of this datamart is ${execution.status}; wait for its end, or cancel it`,
      replications,
    );
  }
  return null;
}

function chosenReplications(
  { datamartId, replicationIds }: LaunchRequest,
  { replications, stateOf }: LaunchSituation,
): { readonly replications: readonly ReplicationConfig[] } | { readonly problem: SyncProblem } {
  const isActive = (config: ReplicationConfig): boolean => {
    const state = stateOf(config);
    return state === 'ACTIVE' || state === 'DETACHED';
  };
  if (replicationIds === null) {
    const active = replications.ofDatamart(datamartId).filter(isActive);
    if (active.length > 0) return { replications: active };
    const message = 'no replication of this datamart is ACTIVE; activate one first';
    return { problem: refusal('no_active_replication', message, []) };
  }
  const found = replicationIds.map((id) => replications.get(id));
  const chosen = found.filter((config) => config?.datamartId === datamartId) as ReplicationConfig[];
  if (chosen.length < replicationIds.length) {
    const known = new Set(chosen.map(({ id }) => id));
    const unknown = replicationIds.filter((id) => !known.has(id)).map((id) => ({ id }));
    const message = `${named(unknown)} not found in this datamart; leave out what isn't there`;
    return { problem: refusal('not_found', message, unknown) };
  }
  const inactive = chosen.filter((config) => !isActive(config));
  if (inactive.length === 0) return { replications: chosen };
  const message = `${named(inactive)} not ACTIVE; activate what is to be synchronized, or leave it out`;
  return { problem: refusal('replication_not_active', message, inactive) };
}

function windowProblem(
  replications: readonly ReplicationConfig[],
  { executions, requestedAt, windowMs }: LaunchSituation,
): SyncProblem | null {
  if (windowMs === 0) return null;
  const newest = new Map<string, number>();
  for (const execution of executions) {
    if (execution.status !== 'SUCCEEDED') continue;
    for (const config of replications)
      if (hasSucceeded(execution, config))
        newest.set(config.id, Math.max(newest.get(config.id) ?? 0, execution.requestedAt));
  }
  const early = replications.filter(({ id }) => requestedAt - (newest.get(id) ?? -Infinity) < windowMs);
  if (early.length === 0) return null;
  const nextDate = Math.max(...early.map(({ id }) => newest.get(id) ?? 0)) + windowMs;
  const message =
    `the last initial synchronization of ${listOf(early)} is less than ${windowMs / 3_600_000} hours ago; ` +
    `try again at ${new Date(nextDate).toISOString()}`;
  return { ...refusal('sync_too_soon', message, early), nextDate };
}

/** Whether the execution brought this very replication everything: a part that failed counts like an execution that did. */
function hasSucceeded({ results, requestedAt }: Execution, { id, created }: ReplicationConfig): boolean {
  return results.get(id)?.outcome === 'succeeded' && (created === null || created <= requestedAt);
}

function refusal(
  code: SyncProblemCode,
  message: string,
  offenders: readonly { readonly id: string }[],
): SyncProblem {
  return {
    code,
    field: offenders.length > 0 ? 'replication_ids' : null,
    message,
    replicationIds: offenders.map(({ id }) => id),
    nextDate: null,
  };
}

const SHOWN_IDS = 10;

function listOf(offenders: readonly { readonly id: string }[]): string {
  const shown = offenders.slice(0, SHOWN_IDS).map(({ id }) => id);
  const more = offenders.length - shown.length;
  const noun = offenders.length === 1 ? 'replication' : 'replications';
  return `${noun} ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function named(offenders: readonly { readonly id: string }[]): string {
  return `${listOf(offenders)} ${offenders.length === 1 ? 'is' : 'are'}`;
}
