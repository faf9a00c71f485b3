import {
  executionKey,
  partitionName,
  parseExecutionKey,
  resultKey,
  taskKey,
  type SnapshotPartition,
} from './execution-keys.ts';
import { readExecutionsRecord } from './execution-record.ts';
import { deferralOf, isEnded, type Execution, type StatusDeferral } from './execution.ts';
import type { StoredTask } from './task-record.ts';

/**
 * What one record did. `stale`: it says less than what is known, which stays in force, but the topic ends with it now;
 * whoever coordinates writes the known one again.
 */
export type ExecutionChange =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'execution';
      readonly id: string;
      readonly datamartId: string | null;
      readonly isStale: boolean;
    }
  | { readonly kind: 'task'; readonly id: string; readonly at: SnapshotPartition; readonly isStale: boolean };

/**
 * The initial synchronizations and their tasks, as `initial-sync-executions` tells them. No status ever goes back: a
 * late record of an instance that has lost its partitions changes nothing.
 */
export class ExecutionTable {
  readonly #records = new Map<string, Execution>();
  readonly #results = new Map<string, Execution>();
  /** By execution, then `partitionName`. */
  readonly #tasks = new Map<string, Map<string, StoredTask>>();
  /** Ids of those that have not ended. */
  readonly #unended = new Set<string>();

  /** Applies one record; null removes. Throws `StateTooNewError`. The same code for restored and live records. */
  apply(key: string, value: Buffer | null): ExecutionChange {
    if (value === null) return this.#remove(key);
    const record = readExecutionsRecord(key, value);
    switch (record.kind) {
      case 'other':
        return { kind: 'none' };
      case 'task':
        return this.#applyTask(record.task);
      case 'execution':
        return this.#applyExecution(this.#records, record.execution);
      case 'result':
        return this.#applyExecution(this.#results, record.execution);
    }
  }

  /** The outcome once there is one; else what was last written. */
  get(id: string): Execution | null {
    return this.#results.get(id) ?? this.#records.get(id) ?? null;
  }

  *all(): Generator<Execution> {
    for (const id of this.#records.keys()) {
      const execution = this.get(id);
      if (execution) yield execution;
    }
    for (const [id, result] of this.#results) if (!this.#records.has(id)) yield result;
  }

  /** Those that are PENDING or RUNNING. */
  *unended(): Generator<Execution> {
    for (const id of this.#unended) {
      const execution = this.get(id);
      if (execution) yield execution;
    }
  }

  /** What statuses of the datamart's replications wait for: the first of its executions that goes on; null without one. */
  deferral(datamartId: string): StatusDeferral | null {
    let first: StatusDeferral | null = null;
    for (const execution of this.unended()) {
      const deferral = execution.datamartId === datamartId ? deferralOf(execution) : null;
      if (deferral && (!first || deferral.configOffset < first.configOffset)) first = deferral;
    }
    return first;
  }

  task(id: string, at: SnapshotPartition): StoredTask | null {
    return this.#tasks.get(id)?.get(partitionName(at)) ?? null;
  }

  /** What was reported of the execution's tasks. */
  tasksOf(id: string): readonly StoredTask[] {
    return [...(this.#tasks.get(id)?.values() ?? [])];
  }

  /** Ids that have any record, also those of which only tasks are left. */
  ids(): ReadonlySet<string> {
    return new Set([...this.#records.keys(), ...this.#results.keys(), ...this.#tasks.keys()]);
  }

  /** Every key under which the topic may hold something of the execution. */
  keys(id: string): readonly string[] {
    const own = this.get(id) ? [executionKey(id), resultKey(id)] : [];
    return [...own, ...this.tasksOf(id).map(({ at }) => taskKey(id, at))];
  }

  #applyExecution(to: Map<string, Execution>, execution: Execution): ExecutionChange {
    const { id, datamartId } = execution;
    const known = to === this.#results ? this.#results.get(id) : this.get(id);
    const isStale = known !== undefined && known !== null && isBehind(execution, known);
    if (!isStale) to.set(id, execution);
    this.#noteEnd(id);
    return { kind: 'execution', id, datamartId: known?.datamartId ?? datamartId, isStale };
  }

  #applyTask(task: StoredTask): ExecutionChange {
    const { executionId: id, at } = task;
    const tasks = this.#tasks.get(id) ?? new Map<string, StoredTask>();
    const known = tasks.get(partitionName(at));
    const isStale = known !== undefined && known.status !== 'RUNNING' && known.status !== task.status;
    if (!isStale) this.#tasks.set(id, tasks.set(partitionName(at), task));
    return { kind: 'task', id, at, isStale };
  }

  #remove(key: string): ExecutionChange {
    const parsed = parseExecutionKey(key);
    if (!parsed) return { kind: 'none' };
    const { id } = parsed;
    if (parsed.kind === 'task') {
      const tasks = this.#tasks.get(id);
      if (!tasks?.delete(partitionName(parsed.at))) return { kind: 'none' };
      if (tasks.size === 0) this.#tasks.delete(id);
      return { kind: 'task', id, at: parsed.at, isStale: false };
    }
    const datamartId = this.get(id)?.datamartId ?? null;
    const isKnown = (parsed.kind === 'result' ? this.#results : this.#records).delete(id);
    this.#noteEnd(id);
    return isKnown ? { kind: 'execution', id, datamartId, isStale: false } : { kind: 'none' };
  }

  #noteEnd(id: string): void {
    const execution = this.get(id);
    if (execution && !isEnded(execution)) this.#unended.add(id);
    else this.#unended.delete(id);
  }
}

/** Of one status the record that was written later counts; the first outcome stays. */
function isBehind(execution: Execution, known: Execution): boolean {
  const [rank, knownRank] = [rankOf(execution), rankOf(known)];
  if (rank !== knownRank) return rank < knownRank;
  return isEnded(known) ? execution.status !== known.status : execution.revision < known.revision;
}

function rankOf(execution: Execution): number {
  if (isEnded(execution)) return 2;
  return execution.status === 'RUNNING' ? 1 : 0;
}
