import { randomUUID } from 'node:crypto';
import { backoffMs, type Random } from './backoff.ts';
import { claimOf, withinLog, type Claim } from './claim.ts';
import { sleep, type Clock } from './clock.ts';
import type { CommitMetadata } from './commit-metadata.ts';
import { ATTEMPT_DEADLINE_MS } from './destination.ts';
import type {
  ConsumedBatch,
  Generation,
  GroupConsumer,
  GroupListener,
  Instant,
  PartitionReader,
  TopicPartition,
} from './kafka-port.ts';
import { SESSION_TIMEOUT_MS, type Lease } from './lease.ts';
import type { Logger } from './logger.ts';
import type { EngineMetrics } from './metrics.ts';
import type { PositionLists } from './position-lists.ts';
import type { StreamTask } from './stream-task.ts';

const QUIET_CHECK_MS = 10;
/** Quiet time and this make half a session: a member that waits longer for its last commit would be thrown out. */
const LAST_COMMIT_MS = SESSION_TIMEOUT_MS / 2 - ATTEMPT_DEADLINE_MS;

export interface TaskAssignmentOptions {
  readonly consumer: GroupConsumer;
  readonly reader: PartitionReader;
  readonly startFrom: 'earliest' | 'latest';
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: EngineMetrics;
  readonly lease: Lease;
  /** Aborts when the application stops. */
  readonly signal: AbortSignal;
  /** Resolves when the tables hold everything that is in their topics now. */
  readonly tablesCaughtUp: () => Promise<void>;
  readonly lists: PositionLists;
  /** Whether the partition was added later and isn't adopted yet. */
  readonly isHeld: (at: TopicPartition) => boolean;
  /** What a claimed commit carries, completed from the tables where it says too little. Throws when they lack it. */
  readonly carriedBy: (claim: Claim) => CommitMetadata;
  readonly makeTask: (claim: Claim, taskId: string) => StreamTask;
  readonly onRebalancing: () => void;
  /** Commits every task once more, saying of each whether it is quiet. Never rejects. */
  readonly commitBeforeRejoin: () => Promise<void>;
  /** All assigned partitions were claimed, and are fetched from now on. */
  readonly onClaimed: () => void;
}

interface Assignment {
  readonly partitions: readonly TopicPartition[];
  readonly generation: Generation;
}

/**
 * Which partitions this instance owns, and the task of each: follows the group, claims what is assigned, closes what is
 * lost, and hands batches to their tasks.
 */
export class TaskAssignment implements GroupListener {
  readonly #options: TaskAssignmentOptions;
  readonly #tasks = new Map<string, StreamTask>();
  #generation: Generation | null = null;
  /** From the end of a claim until the next join: only then the commits say what the tasks know. */
  #isClaimed = false;
  /** What may be claimed; null once its membership ends. A claim of any other one is abandoned. */
  #assignment: Assignment | null = null;
  #held: readonly TopicPartition[] = [];
  /** Topics that were made anew under a task: Kafka has dropped the group's offsets then, and nothing may be skipped. */
  readonly #madeAnew = new Set<string>();

  constructor(options: TaskAssignmentOptions) {
    this.#options = options;
  }

  get tasks(): IterableIterator<StreamTask> {
    return this.#tasks.values();
  }

  /** The tasks with the generation under which they are owned; null while they aren't claimed. */
  get owned(): { readonly tasks: Iterable<StreamTask>; readonly generation: Generation } | null {
    return this.#generation && this.#isClaimed
      ? { tasks: this.#tasks.values(), generation: this.#generation }
      : null;
  }

  /** Assigned partitions that nobody works on before they are adopted (PROTOCOL C6). */
  get held(): readonly TopicPartition[] {
    return this.#held;
  }

  /** Partitions may have been adopted: those that were held are claimed. */
  onAdopted(): void {
    if (this.#held.some((at) => !this.#options.isHeld(at))) this.#claimAgain();
  }

  owns(at: TopicPartition): boolean {
    return this.#tasks.has(keyOf(at));
  }

  onRebalancing(): void {
    this.#options.lease.suspend();
    this.#options.onRebalancing();
  }

  onProven(sentAt: Instant): void {
    this.#options.lease.renew(sentAt);
  }

  /** Quiet time (PROTOCOL A3): waits until no attempt is in flight, and says so in a commit for the next owners. */
  async beforeRejoin(): Promise<void> {
    this.#options.lease.suspend();
    this.#assignment = null;
    if (!this.#isClaimed || this.#tasks.size === 0) return;
    await this.untilQuiet(ATTEMPT_DEADLINE_MS);
    const never = new AbortController().signal;
    await Promise.race([
      this.#options.commitBeforeRejoin(),
      sleep(this.#options.clock, LAST_COMMIT_MS, never),
    ]);
    this.#isClaimed = false;
  }

  /** Waits until every task is quiet, for `limitMs` at most. */
  async untilQuiet(limitMs: number): Promise<void> {
    const { clock } = this.#options;
    const deadline = clock.monotonic() + limitMs;
    const never = new AbortController().signal;
    const isQuiet = (): boolean => [...this.#tasks.values()].every((task) => task.isQuiet);
    while (!isQuiet() && clock.monotonic() < deadline) await sleep(clock, QUIET_CHECK_MS, never);
  }

  onAssigned(partitions: readonly TopicPartition[], generation: Generation): void {
    // Not every one is announced by `onRebalancing`.
    if (this.#generation) this.#options.metrics.rebalances.add(1);
    this.#generation = generation;
    this.#isClaimed = false;
    const owned = new Set(partitions.map(keyOf));
    for (const [key, task] of this.#tasks) {
      if (owned.has(key)) continue;
      task.close();
      this.#tasks.delete(key);
    }
    this.#claim({ partitions, generation });
  }

  onBatch(batch: ConsumedBatch): void {
    const task = this.#tasks.get(keyOf(batch));
    // What was fetched before the stop would be sent after the last commit, and once more by the next owner.
    if (!task || this.#options.signal.aborted) return;
    if (batch.fetchedOffset === task.fetchPosition) {
      task.accept(batch);
      return;
    }
    this.#onUnexpectedBatch(task, batch);
  }

  onFetched(): void {
    // Only the consumer's supervisor listens to this.
  }

  onCrash(): void {
    this.#options.lease.suspend();
  }

  /** Fetches nothing more and takes up nothing more; the tasks go on delivering. */
  pause(): void {
    this.#assignment = null;
    for (const task of this.#tasks.values()) this.#options.consumer.pause(task.scope);
  }

  /** A claim that is under way is of a membership that has ended. */
  abandonClaim(): void {
    this.#assignment = null;
  }

  /** Closes every task. */
  close(): void {
    for (const task of this.#tasks.values()) task.close();
    this.#tasks.clear();
  }

  /** Nothing while the membership ends: what is assigned next is claimed as it is then. */
  #claimAgain(): void {
    if (this.#assignment) this.#claim({ ...this.#assignment });
  }

  #claim(assignment: Assignment): void {
    this.#assignment = assignment;
    void this.#claimUntilDone(assignment);
  }

  /**
   * Claim by commit (PROTOCOL A2): reads the commit of every assigned partition; a task that this instance already has
   * goes on only if the commit is its own; a new one commits what it read under its own id before it does anything.
   */
  async #claimUntilDone(assignment: Assignment): Promise<void> {
    const { clock, random, logger } = this.#options;
    const isCurrent = (): boolean => this.#assignment === assignment && !this.#options.signal.aborted;
    for (let attempt = 0; isCurrent(); attempt += 1) {
      try {
        await this.#tryClaim(assignment, isCurrent);
        return;
      } catch (error) {
        logger[attempt % 10 === 3 ? 'warn' : 'debug'](
          { error },
          'claiming the partitions failed; trying again',
        );
        await sleep(clock, backoffMs(Math.min(attempt, 4), false, random), this.#options.signal);
      }
    }
  }

  async #tryClaim({ partitions: assigned, generation }: Assignment, isCurrent: () => boolean): Promise<void> {
    const { startFrom, logger, metrics, isHeld } = this.#options;
    const partitions = assigned.filter((at) => !isHeld(at));
    const committed = partitions.length === 0 ? [] : await this.#options.consumer.committed(partitions);
    await this.#options.tablesCaughtUp();
    if (!isCurrent()) return;
    this.#hold(assigned.filter(isHeld));
    const claims = committed.map((commit) => {
      const from = this.#madeAnew.has(keyOf(commit)) ? 'earliest' : startFrom;
      const claim = claimOf(commit, from, this.#tasks.get(keyOf(commit))?.taskId ?? null);
      const carried = this.#options.carriedBy(claim);
      return { ...claim, carried: { ...carried, x: withinLog(carried.x, commit) } };
    });
    const fresh = claims.filter(({ isKept }) => !isKept).map((claim) => ({ claim, taskId: randomUUID() }));
    for (const { claim } of fresh) {
      this.#tasks.get(keyOf(claim.at))?.close();
      this.#tasks.delete(keyOf(claim.at));
      if (claim.problem === null) continue;
      metrics.offsetResets.add(1, claim.at.topic, String(claim.at.partition));
      logger.error({ ...claim.at, offset: claim.offset }, claim.problem);
    }
    // A kept task whose last commit says that it is quiet must take that back before it sends.
    const noLongerQuiet = claims.flatMap((claim) => {
      const task = claim.isKept && claim.carried.isQuiet ? this.#tasks.get(keyOf(claim.at)) : undefined;
      return task ? [{ claim, taskId: task.taskId }] : [];
    });
    if (fresh.length + noLongerQuiet.length > 0) {
      const { lists } = this.#options;
      const claiming = [...fresh, ...noLongerQuiet];
      const offsets = await Promise.all(
        claiming.map(async ({ claim: { at, offset, carried }, taskId }) => ({
          ...at,
          offset,
          metadata: await lists.encode(at, taskId, { ...carried, isQuiet: false }),
        })),
      );
      if (!isCurrent()) return;
      await this.#options.consumer.commit(offsets, generation);
      if (!isCurrent()) return;
      for (const { claim, taskId } of claiming) {
        lists.acknowledged(taskId);
        lists.forgetOthers(claim.at, taskId);
      }
    }
    for (const at of partitions) this.#madeAnew.delete(keyOf(at));
    for (const { claim, taskId } of fresh)
      this.#tasks.set(keyOf(claim.at), this.#options.makeTask(claim, taskId));
    for (const task of this.#tasks.values()) this.#options.consumer.resumeAt(task.scope, task.fetchPosition);
    for (const task of this.#tasks.values()) if (task.isPaused) this.#options.consumer.pause(task.scope);
    this.#isClaimed = true;
    this.#options.lease.resume();
    logger.info(
      { partitions: partitions.map(keyOf), generation: generation.generationId },
      'partitions claimed',
    );
    this.#options.onClaimed();
  }

  #hold(held: readonly TopicPartition[]): void {
    this.#held = held;
    if (held.length === 0) return;
    this.#options.logger.error(
      { partitions: held.map(keyOf) },
      'partitions were added to a mutation topic; their records are held until `datamart-replication partitions adopt`',
    );
  }

  /**
   * A batch that wasn't fetched from the task's position: of an earlier assignment, which is dropped, or fetched after
   * kafkajs moved to the log's start because retention has passed the position, or because the topic was made anew.
   */
  #onUnexpectedBatch(task: StreamTask, batch: ConsumedBatch): void {
    const { logger, metrics } = this.#options;
    void this.#options.reader
      .bounds(task.scope)
      .then(({ start, end }) => {
        if (this.#tasks.get(keyOf(task.scope)) !== task) return;
        const position = task.fetchPosition;
        if (position > end) {
          metrics.offsetResets.add(1, task.scope.topic, String(task.scope.partition));
          logger.error(
            { ...task.scope, offset: position },
            `the position ${position} is beyond the log’s end ${end}: the topic was made anew; it is read from its start`,
          );
          this.#madeAnew.add(keyOf(task.scope));
          this.#claimAgain();
          return;
        }
        if (start > position) {
          metrics.offsetResets.add(1, task.scope.topic, String(task.scope.partition));
          logger.error(
            { ...task.scope, offset: position, lost: start - position },
            `retention has passed the position: offsets ${position} to ${start - 1} are lost`,
          );
          task.skipTo(start);
        }
        this.#options.consumer.resumeAt(task.scope, task.fetchPosition);
      })
      .catch((error: unknown) => {
        logger.warn(
          { ...task.scope, offset: batch.fetchedOffset, error: error },
          'a stale batch was dropped',
        );
        this.#options.consumer.resumeAt(task.scope, task.fetchPosition);
      });
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}
