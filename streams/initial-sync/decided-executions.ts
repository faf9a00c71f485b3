import type { ExecutionTable } from '../../processors/initial-sync/execution-table.ts';
import { isEnded, type Execution } from '../../processors/initial-sync/execution.ts';

/**
 * The executions as the coordinator knows them: what it has decided goes before the table until that holds it, or
 * something that outweighs it.
 */
export class DecidedExecutions {
  readonly #table: ExecutionTable;
  readonly #decided = new Map<string, Execution>();

  constructor(table: ExecutionTable) {
    this.#table = table;
  }

  get(id: string): Execution | null {
    return this.#decided.get(id) ?? this.#table.get(id);
  }

  /** Those that are PENDING or RUNNING. */
  *unended(): Generator<Execution> {
    const ids = new Set(this.#decided.keys());
    for (const { id } of this.#table.unended()) ids.add(id);
    yield* this.#those(ids, (execution) => !isEnded(execution));
  }

  *ofDatamart(datamartId: string): Generator<Execution> {
    const ids = new Set([...this.#table.ids(), ...this.#decided.keys()]);
    yield* this.#those(ids, (execution) => execution.datamartId === datamartId);
  }

  /** It is about to be written. */
  decide(execution: Execution): void {
    this.#decided.set(execution.id, execution);
  }

  /** The table has another record of the execution. */
  onStored(id: string): void {
    const [stored, decided] = [this.#table.get(id), this.#decided.get(id)];
    if (stored && decided && (isEnded(stored) || stored.revision >= decided.revision))
      this.#decided.delete(id);
  }

  /** Its records are about to be removed. */
  forget(id: string): void {
    this.#decided.delete(id);
  }

  *#those(ids: Iterable<string>, isWanted: (execution: Execution) => boolean): Generator<Execution> {
    for (const id of ids) {
      const execution = this.get(id);
      if (execution && isWanted(execution)) yield execution;
    }
  }
}
