import type { MutationView } from '../../schemas/mutation.ts';
import { readSyncPosition, writeSyncPosition, type SyncPosition } from './sync-position.ts';
import { SyncTask, type SyncTaskContext, type SyncTaskOwner } from './sync-task.ts';

/** The tasks of all initial synchronizations that run on one partition. */
export class SyncTasks {
  readonly #context: SyncTaskContext;
  readonly #owner: SyncTaskOwner;
  readonly #tasks = new Map<string, SyncTask>();
  /** What the claimed commit carried of tasks that haven't begun here. */
  readonly #carried = new Map<string, SyncPosition>();
  /** Entries of a newer release: carried as they are. */
  readonly #unknown: readonly unknown[];

  constructor(carried: readonly unknown[], context: SyncTaskContext, owner: SyncTaskOwner) {
    this.#context = context;
    this.#owner = owner;
    for (const entry of carried) {
      const position = readSyncPosition(entry);
      if (position) this.#carried.set(position.executionId, position);
    }
    this.#unknown = carried.filter((entry) => readSyncPosition(entry) === null);
    this.follow();
  }

  /** Takes up executions that run and lets go of those that don't. */
  follow(): void {
    const { syncs } = this.#context;
    const running = new Map([...syncs.running()].map((execution) => [execution.id, execution]));
    const goesOn = (id: string): boolean =>
      running.has(id) && (syncs.taskOf(id, this.#owner.snapshot)?.status ?? 'RUNNING') === 'RUNNING';
    for (const [id, task] of this.#tasks) {
      if (goesOn(id)) continue;
      task.close();
      this.#tasks.delete(id);
    }
    for (const execution of running.values()) {
      const { id } = execution;
      if (this.#tasks.has(id) || !goesOn(id)) continue;
      this.#tasks.set(id, new SyncTask(execution, this.#carried.get(id) ?? null, this.#context, this.#owner));
    }
    this.#carried.clear();
  }

  /** A live mutation is being dispatched. On the hot path. */
  saw(mutation: MutationView): void {
    if (this.#tasks.size === 0) return;
    for (const task of this.#tasks.values()) task.saw(mutation);
  }

  /** The `s` of a commit. */
  positions(): readonly unknown[] {
    if (this.#tasks.size === 0) return this.#unknown;
    const positions = [...this.#tasks.values()].flatMap(({ position }) => position ?? []);
    return [...this.#unknown, ...positions.map(writeSyncPosition)];
  }

  /** A commit with this `s` was acknowledged. */
  onCommitted(entries: readonly unknown[]): void {
    if (this.#tasks.size === 0) return;
    for (const entry of entries) {
      const position = readSyncPosition(entry);
      if (position) this.#tasks.get(position.executionId)?.onCommitted(position);
    }
  }

  /** Rows may go on. */
  wake(): void {
    for (const task of this.#tasks.values()) task.wake();
  }

  close(): void {
    for (const task of this.#tasks.values()) task.close();
    this.#tasks.clear();
  }
}
