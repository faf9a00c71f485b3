import type { Execution } from '../../processors/initial-sync/execution.ts';
import type { StoredTask, SyncPart } from '../../processors/initial-sync/task-record.ts';

/** A moment, in ms since 1970 UTC. */
export const NOW = 1_763_900_000_000;

/** A RUNNING execution of two tasks for the replications 80 and 81. */
export function anExecution(fields: Partial<Execution> = {}): Execution {
  return {
    id: 'sync-1',
    datamartId: '1649',
    status: 'RUNNING',
    creationDate: NOW,
    startDate: NOW,
    duration: 0,
    numTasks: 2,
    completedTasks: 0,
    erroneousTasks: 0,
    userId: 'ops',
    replicationIds: ['80', '81'],
    maxOperations: null,
    held: null,
    results: new Map([
      ['80', aPart()],
      ['81', aPart()],
    ]),
    gaps: new Map(),
    error: null,
    requestedAt: NOW,
    requestOffset: 0,
    configOffset: 5,
    active: new Map([
      ['80', { since: 1, identity: 80 }],
      ['81', { since: 2, identity: 81 }],
    ]),
    allowances: null,
    revision: 2,
    ...fields,
  };
}

export function aPart(fields: Partial<SyncPart> = {}): SyncPart {
  return { outcome: null, documents: new Map(), skippedNewer: 0, rejected: 0, ...fields };
}

/** A RUNNING task of the execution that `anExecution` makes. */
export function aTask(partition: number, fields: Partial<StoredTask> = {}): StoredTask {
  return {
    executionId: 'sync-1',
    at: { topic: 'datamart-snapshot', partition },
    status: 'RUNNING',
    fromOffset: 0,
    offset: 0,
    endOffset: 100,
    liveOffset: 0,
    held: null,
    operations: 0,
    parts: new Map([
      ['80', aPart()],
      ['81', aPart()],
    ]),
    error: null,
    owner: 'host-1-4242',
    updatedAt: NOW,
    ...fields,
  };
}
