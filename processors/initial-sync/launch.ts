import type { ReplicationConfig } from '../replication-config.ts';
import { identityHash } from '../replication-identity.ts';
import { firstAllowances } from './allowances.ts';
import type { SnapshotPartition } from './execution-keys.ts';
import { refusedWith, type Execution } from './execution.ts';
import type { GapFinding } from './gap-finding.ts';
import { datamartOf, type RequestedLaunch } from './request-table.ts';
import type { SyncProblem } from './sync-problem.ts';

/** Where an accepted launch begins. */
export interface LaunchStart {
  readonly replications: readonly ReplicationConfig[];
  /** Of the datamart, those that are wanted ACTIVE, whether they were chosen or not. */
  readonly active: readonly ReplicationConfig[];
  /** What those that were chosen have missed, by id. */
  readonly gaps: ReadonlyMap<string, GapFinding>;
  /** Each is one task. */
  readonly partitions: readonly SnapshotPartition[];
  /** Where the control topic ended. */
  readonly configOffset: number;
}

/** The first record of an execution that may go on: PENDING. */
export function pendingExecution(id: string, launch: RequestedLaunch, start: LaunchStart): Execution {
  const { replications, active, gaps, partitions, configOffset } = start;
  const { asked } = launch;
  const maxOperations = asked.kind === 'launch' ? asked.launch.maxOperations : null;
  return {
    ...requestedExecution(id, launch),
    status: 'PENDING',
    numTasks: partitions.length,
    replicationIds: replications.map((config) => config.id),
    results: new Map(
      replications.map((config) => [
        config.id,
        { outcome: null, documents: new Map(), skippedNewer: 0, rejected: 0 },
      ]),
    ),
    gaps,
    configOffset,
    active: new Map(
      active.map((config) => [config.id, { since: config.activeSince, identity: identityHash(config) }]),
    ),
    allowances: maxOperations === null ? null : firstAllowances(partitions, maxOperations),
  };
}

/** The only record of an execution that is refused. */
export function refusedExecution(id: string, launch: RequestedLaunch, problem: SyncProblem): Execution {
  return { ...requestedExecution(id, launch), status: 'FAILED', error: refusedWith(problem) };
}

/** The only record of an execution that was canceled before anybody has judged it. */
export function unstartedExecution(id: string, launch: RequestedLaunch): Execution {
  return { ...requestedExecution(id, launch), status: 'CANCELED' };
}

/** What the request alone says, before anybody has judged it. */
export function requestedExecution(id: string, launch: RequestedLaunch): Execution {
  const { asked, requestedAt, offset } = launch;
  const request = asked.kind === 'launch' ? asked.launch : null;
  return {
    id,
    datamartId: datamartOf(launch),
    status: 'PENDING',
    creationDate: request?.creationDate ?? requestedAt,
    startDate: null,
    duration: null,
    numTasks: 0,
    completedTasks: 0,
    erroneousTasks: 0,
    userId: request?.userId ?? null,
    replicationIds: request?.replicationIds ?? [],
    maxOperations: request?.maxOperations ?? null,
    held: null,
    results: new Map(),
    gaps: new Map(),
    error: null,
    requestedAt,
    requestOffset: offset,
    configOffset: null,
    active: new Map(),
    allowances: null,
    revision: 1,
  };
}
