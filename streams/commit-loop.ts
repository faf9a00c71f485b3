import type { Clock } from './clock.ts';
import type { Generation, GroupConsumer, Instant } from './kafka-port.ts';
import { instantOf } from './lease.ts';
import type { Logger } from './logger.ts';
import type { PositionLists } from './position-lists.ts';
import type { StreamTask, TaskCommit } from './stream-task.ts';

const COMMIT_INTERVAL_MS = 1_000;

export interface CommitLoopOptions {
  readonly consumer: GroupConsumer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly lists: PositionLists;
  /** The coordinator has acknowledged a commit that was sent at `sentAt`. */
  readonly onProven: (sentAt: Instant) => void;
  /** The tasks that this instance owns now, and the generation under which it owns them. */
  readonly owned: () => { readonly tasks: Iterable<StreamTask>; readonly generation: Generation } | null;
}

/**
 * Commits the tasks' committable offsets and own positions, every second or sooner when asked; one commit at a time.
 *
 * A commit is one try, written under the generation that owned the tasks when it was put together (PROTOCOL A4): after a
 * rebalance the coordinator refuses it. A failed commit is not repeated as such; the next one carries newer offsets.
 */
export class CommitLoop {
  readonly #options: CommitLoopOptions;
  #running: Promise<void> | null = null;
  #cancelTimer: (() => void) | null = null;
  #isDue = false;
  #isStopped = false;
  #failures = 0;

  constructor(options: CommitLoopOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule();
  }

  /** Commits as soon as no other commit is under way. */
  commitSoon(): void {
    if (this.#isDue || this.#isStopped) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      if (!this.#isStopped) void this.commitNow();
    });
  }

  /** Commits what is committable now. Resolves when the coordinator has answered; never rejects. */
  commitNow(): Promise<void> {
    this.#running ??= this.#commit((task) => task.dueCommit()).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** Commits every task once more, saying of each whether it is quiet (PROTOCOL A3). Never rejects. */
  async commitLast(): Promise<void> {
    while (this.#running) await this.#running;
    this.#running = this.#commit((task) => task.lastCommit()).finally(() => {
      this.#running = null;
    });
    await this.#running;
  }

  /** Starts no further commit and waits for the one under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer?.();
    await this.#running;
  }

  #schedule(): void {
    if (this.#isStopped) return;
    this.#cancelTimer = this.#options.clock.schedule(COMMIT_INTERVAL_MS, () => {
      void this.commitNow().then(() => {
        this.#schedule();
      });
    });
  }

  async #commit(commitOf: (task: StreamTask) => TaskCommit | null): Promise<void> {
    const owned = this.#options.owned();
    if (!owned) return;
    const due = [];
    for (const task of owned.tasks) {
      const commit = commitOf(task);
      if (commit) due.push({ task, commit });
    }
    if (due.length === 0) return;
    let sentAt: Instant;
    try {
      const offsets = await Promise.all(
        due.map(async ({ task: { scope, taskId }, commit }) => ({
          topic: scope.topic,
          partition: scope.partition,
          offset: commit.offset,
          metadata: await this.#options.lists.encode(scope, taskId, commit),
        })),
      );
      sentAt = instantOf(this.#options.clock);
      await this.#options.consumer.commit(offsets, owned.generation);
    } catch (error) {
      this.#failures += 1;
      const log = this.#failures % 10 === 1 ? 'warn' : 'debug';
      this.#options.logger[log]({ error, repeated: this.#failures }, 'a commit failed; the next one follows');
      return;
    }
    this.#failures = 0;
    this.#options.onProven(sentAt);
    for (const { task, commit } of due) {
      this.#options.lists.acknowledged(task.taskId);
      task.onCommitted(commit);
    }
  }
}
