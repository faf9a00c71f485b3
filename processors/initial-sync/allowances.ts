import { partitionName, type SnapshotPartition } from './execution-keys.ts';
import type { SyncTask } from './task-record.ts';

/** How many operations each task may send in all, by `partitionName`. */
export type Allowances = ReadonlyMap<string, number>;

/** Shares a budget among the tasks of all partitions. Pure. */
export function firstAllowances(partitions: readonly SnapshotPartition[], maxOperations: number): Allowances {
  return new Map(shares(partitions.map(partitionName), maxOperations));
}

/**
 * The allowances by what the tasks report: what ended tasks left unused, and what the budget was raised by, goes to
 * those that are held for it. None of a task that goes on ever falls, and their sum never exceeds the budget. Pure.
 */
export function nextAllowances(
  allowances: Allowances,
  maxOperations: number,
  tasks: readonly SyncTask[],
): Allowances {
  const next = new Map(allowances);
  const held: string[] = [];
  for (const task of tasks) {
    const name = partitionName(task.at);
    const allowance = next.get(name) ?? 0;
    if (task.status !== 'RUNNING') next.set(name, Math.min(allowance, task.operations));
    else if (task.held === 'budget') held.push(name);
  }
  for (const [name, share] of shares(held, unassigned(next, maxOperations)))
    next.set(name, (next.get(name) ?? 0) + share);
  return next;
}

/** What of the budget no task may send yet. */
export function unassigned(allowances: Allowances, maxOperations: number): number {
  let sum = 0;
  for (const allowance of allowances.values()) sum += allowance;
  return Math.max(0, maxOperations - sum);
}

/** What doesn't divide goes to the first ones. */
function shares(names: readonly string[], total: number): readonly (readonly [string, number])[] {
  const [share, rest] = [Math.floor(total / names.length), total % names.length];
  return names.map((name, i) => [name, share + (i < rest ? 1 : 0)] as const);
}
