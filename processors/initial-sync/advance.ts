import { DOCUMENT_TYPES } from '../../schemas/document-type.ts';
import { nextAllowances, unassigned, type Allowances } from './allowances.ts';
import { isEnded, refusedWith, type Execution, type ExecutionError } from './execution.ts';
import type { SyncProblem } from './sync-problem.ts';
import type { HeldBy, PartOutcome, StoredTask, SyncPart } from './task-record.ts';

/** What an execution depends on, at one moment. */
export interface ExecutionFacts {
  /** What the tasks have reported. */
  readonly tasks: readonly StoredTask[];
  readonly isCanceled: boolean;
  /** The highest budget that was asked for; null without one. */
  readonly maxOperations: number | null;
  /** Replications that are in ERROR or deleted: their parts end. */
  readonly endedParts: ReadonlyMap<string, Exclude<PartOutcome, 'succeeded'>>;
  /** Another execution of the datamart that came first; null without one. */
  readonly rival: SyncProblem | null;
  /** ms since 1970 UTC. */
  readonly nowMs: number;
}

/**
 * What is to be written of an execution next; the same object when nothing has changed. It follows from the tables
 * alone, so whoever coordinates goes on where another has stopped. Pure.
 */
export function advance(execution: Execution, facts: ExecutionFacts): Execution {
  if (isEnded(execution)) return execution;
  const next = step(execution, facts);
  return isSame(execution, next) ? execution : { ...next, revision: execution.revision + 1 };
}

/** A RUNNING execution as its tasks report it now, which its own record tells a few seconds later. Pure. */
export function asReported(execution: Execution, tasks: readonly StoredTask[], nowMs: number): Execution {
  if (execution.status !== 'RUNNING') return execution;
  const nothingElse = { isCanceled: false, maxOperations: null, endedParts: new Map(), rival: null };
  return withCounts(execution, { ...nothingElse, tasks, nowMs });
}

/** Whether the difference is one of counts alone, which is written now and then. */
export function isProgressOnly(previous: Execution, next: Execution): boolean {
  const outcomes = ({ results }: Execution): string =>
    [...results].map(([id, { outcome }]) => `${id}=${outcome}`).join();
  return (
    previous.status === next.status &&
    previous.held === next.held &&
    previous.completedTasks === next.completedTasks &&
    previous.maxOperations === next.maxOperations &&
    isSameAllowances(previous.allowances, next.allowances) &&
    outcomes(previous) === outcomes(next)
  );
}

function step(execution: Execution, facts: ExecutionFacts): Execution {
  const { tasks, isCanceled, rival, nowMs } = facts;
  const counted = withCounts(execution, facts);
  if (isCanceled) return ended(counted, 'CANCELED', null, nowMs);
  if (execution.status === 'PENDING') {
    if (rival) return ended({ ...counted, numTasks: 0 }, 'FAILED', refusedWith(rival), nowMs);
    return { ...counted, status: 'RUNNING', startDate: nowMs, duration: 0 };
  }
  const failed = tasks.find(({ status }) => status === 'FAILED');
  if (failed) {
    const message = `partition ${failed.at.partition} of ${failed.at.topic}: ${failed.error ?? 'its task failed'}`;
    return ended(counted, 'FAILED', errorOf('task_failed', message, []), nowMs);
  }
  const lost = execution.replicationIds.filter((id) => {
    const outcome = counted.results.get(id)?.outcome ?? null;
    return outcome === 'error' || outcome === 'deleted';
  });
  if (lost.length === execution.replicationIds.length) {
    const message = 'every replication is in ERROR or was deleted: there is nothing left to synchronize';
    return ended(counted, 'FAILED', errorOf('no_replication_left', message, lost), nowMs);
  }
  if (counted.completedTasks < counted.numTasks) return counted;
  return ended({ ...counted, results: withSuccess(counted.results) }, 'SUCCEEDED', null, nowMs);
}

/** What the tasks' reports add up to. */
function withCounts(execution: Execution, facts: ExecutionFacts): Execution {
  const { tasks, nowMs } = facts;
  const budget = budgetOf(execution, facts);
  const duration = execution.startDate === null ? null : Math.max(0, nowMs - execution.startDate);
  return {
    ...execution,
    ...budget,
    duration,
    completedTasks: tasks.filter(({ status }) => status === 'SUCCEEDED').length,
    erroneousTasks: tasks.filter(({ status }) => status === 'FAILED').length,
    results: new Map(execution.replicationIds.map((id) => [id, resultOf(id, execution, facts)])),
    // Reports are older than what was just given.
    held: isSameAllowances(execution.allowances, budget.allowances)
      ? heldBy({ ...execution, ...budget }, tasks)
      : null,
  };
}

function budgetOf(
  { maxOperations, allowances }: Execution,
  facts: ExecutionFacts,
): Pick<Execution, 'maxOperations' | 'allowances'> {
  if (maxOperations === null || allowances === null) return { maxOperations, allowances };
  const raised = Math.max(maxOperations, facts.maxOperations ?? 0);
  return { maxOperations: raised, allowances: nextAllowances(allowances, raised, facts.tasks) };
}

/** An outcome that a replication has had stays: what it missed isn't sent any more. */
function resultOf(id: string, { results }: Execution, { tasks, endedParts }: ExecutionFacts): SyncPart {
  const parts = tasks.flatMap(({ parts: ofTask }) => ofTask.get(id) ?? []);
  const outcomes = new Set(parts.map(({ outcome }) => outcome));
  const reported = (['deleted', 'error'] as const).find((outcome) => outcomes.has(outcome));
  const sum = (valueOf: (part: SyncPart) => number): number =>
    parts.reduce((total, part) => total + valueOf(part), 0);
  return {
    outcome: results.get(id)?.outcome ?? endedParts.get(id) ?? reported ?? null,
    documents: new Map(
      DOCUMENT_TYPES.map((type) => [type, sum(({ documents }) => documents.get(type) ?? 0)] as const).filter(
        ([, count]) => count > 0,
      ),
    ),
    skippedNewer: sum(({ skippedNewer }) => skippedNewer),
    rejected: sum(({ rejected }) => rejected),
  };
}

/** Null while any task goes on; else why, the reason that somebody has to do something about first. */
function heldBy(
  { numTasks, allowances, maxOperations }: Execution,
  tasks: readonly StoredTask[],
): HeldBy | null {
  const going = tasks.filter(({ status }) => status === 'RUNNING');
  const unreported = numTasks - tasks.length;
  if (going.length === 0 || unreported > 0 || going.some(({ held }) => held === null)) return null;
  const reasons = new Set(going.map(({ held }) => held));
  if (reasons.has('destination')) return 'destination';
  if (reasons.has('live')) return 'live';
  const left = allowances === null || maxOperations === null ? 0 : unassigned(allowances, maxOperations);
  return left === 0 ? 'budget' : null;
}

function withSuccess(results: ReadonlyMap<string, SyncPart>): ReadonlyMap<string, SyncPart> {
  return new Map([...results].map(([id, part]) => [id, { ...part, outcome: part.outcome ?? 'succeeded' }]));
}

function ended(
  execution: Execution,
  status: 'SUCCEEDED' | 'FAILED' | 'CANCELED',
  error: ExecutionError | null,
  nowMs: number,
): Execution {
  const duration = execution.startDate === null ? null : Math.max(0, nowMs - execution.startDate);
  return { ...execution, status, duration, error, held: null };
}

function errorOf(
  code: ExecutionError['code'],
  message: string,
  replicationIds: readonly string[],
): ExecutionError {
  return { code, message, replicationIds, nextDate: null };
}

/** The duration alone is no change. */
function isSame(a: Execution, b: Execution): boolean {
  return (
    isProgressOnly(a, b) &&
    a.erroneousTasks === b.erroneousTasks &&
    a.results.size === b.results.size &&
    [...b.results].every(([id, part]) => isSamePart(a.results.get(id), part))
  );
}

function isSamePart(a: SyncPart | undefined, b: SyncPart): boolean {
  return (
    a !== undefined &&
    a.skippedNewer === b.skippedNewer &&
    a.rejected === b.rejected &&
    DOCUMENT_TYPES.every((type) => (a.documents.get(type) ?? 0) === (b.documents.get(type) ?? 0))
  );
}

function isSameAllowances(a: Allowances | null, b: Allowances | null): boolean {
  if (a === null || b === null) return a === b;
  return a.size === b.size && [...b].every(([name, allowance]) => a.get(name) === allowance);
}
