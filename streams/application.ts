import { randomUUID } from 'node:crypto';
import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import { Topology } from '../processors/topology.ts';
import type { MutationDecoder } from '../schemas/mutation-decoder.ts';
import type { OperationEncoder, OperationVersion } from '../schemas/operation-encoder.ts';
import type { CredentialsResolver } from '../sinks/credentials.ts';
import type { SinkRegistry } from '../sinks/registry.ts';
import { backoffMs, type Random } from './backoff.ts';
import { claimOf, commitMetadata, type Claim } from './claim.ts';
import { sleep, type Clock } from './clock.ts';
import { CommitLoop } from './commit-loop.ts';
import { DeadLetters } from './dead-letters.ts';
import { Destinations } from './destinations.ts';
import { FatalStreamsError } from './errors.ts';
import { registerGauges } from './gauges.ts';
import { GlobalTable } from './global-table.ts';
import type {
  ConsumedBatch,
  ConsumedRecord,
  Generation,
  GroupConsumer,
  GroupListener,
  KafkaPort,
  PartitionReader,
  Producer,
  TopicPartition,
} from './kafka-port.ts';
import { Linger } from './linger.ts';
import type { Logger } from './logger.ts';
import type { EngineMetrics } from './metrics.ts';
import { SegmentPool } from './segment-pool.ts';
import {
  StreamTask,
  type SchemaLoader,
  type StreamTaskContext,
  type StreamTaskOwner,
} from './stream-task.ts';

/** Where the application is in its life; the names are Kafka Streams'. */
export const APPLICATION_STATES = [
  'CREATED',
  'REBALANCING',
  'RUNNING',
  'PENDING_SHUTDOWN',
  'NOT_RUNNING',
  'ERROR',
] as const;
export type ApplicationState = (typeof APPLICATION_STATES)[number];

const TRANSITIONS: Readonly<Record<ApplicationState, readonly ApplicationState[]>> = {
  CREATED: ['REBALANCING', 'PENDING_SHUTDOWN', 'ERROR'],
  REBALANCING: ['REBALANCING', 'RUNNING', 'PENDING_SHUTDOWN', 'ERROR'],
  RUNNING: ['REBALANCING', 'PENDING_SHUTDOWN', 'ERROR'],
  PENDING_SHUTDOWN: ['NOT_RUNNING', 'ERROR'],
  NOT_RUNNING: [],
  ERROR: ['PENDING_SHUTDOWN'],
};

const TOPIC_CHECK_MS = 30_000;
/** A rebalance shorter than this doesn't make the instance unready. */
const REBALANCE_READY_MS = 60_000;
const DRAIN_CHECK_MS = 10;

export interface ApplicationOptions {
  readonly groupId: string;
  readonly topics: {
    readonly mutations: readonly string[];
    readonly replicationConfig: string;
    readonly deadLetters: string;
  };
  readonly delivery: {
    readonly memoryBytes: number;
    readonly windowRecords: number;
    readonly windowBytes: number;
  };
  readonly startFrom: 'earliest' | 'latest';
  readonly kafka: KafkaPort;
  readonly table: ReplicationTable;
  readonly decoder: MutationDecoder;
  readonly encoders: Readonly<Record<OperationVersion, OperationEncoder>>;
  readonly schemas: SchemaLoader;
  readonly sinks: SinkRegistry;
  readonly credentials: CredentialsResolver;
  /** Names topics that aren't there yet. Rejects with `FatalStreamsError` when one has a setting that would lose data. */
  readonly checkTopics: () => Promise<{
    readonly missing: readonly string[];
    readonly partitions: ReadonlyMap<string, number>;
  }>;
  readonly metrics: EngineMetrics;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * The stream processor of one instance: its membership in the group, the global table, one task per owned partition.
 *
 * ```
 *  CREATED ──▶ REBALANCING ◀──▶ RUNNING
 *     │             │              │
 *     └─────────────┴──────┬───────┘
 *                          ▼
 *                  PENDING_SHUTDOWN ──▶ NOT_RUNNING        (ERROR from anywhere: `failed` rejects)
 * ```
 */
export class ReplicationApplication implements GroupListener, StreamTaskOwner {
  readonly #options: ApplicationOptions;
  readonly #stopping = new AbortController();
  readonly #failed = Promise.withResolvers<never>();
  readonly #running = Promise.withResolvers<void>();
  readonly #pool: SegmentPool;
  readonly #destinations: Destinations;
  readonly #tasks = new Map<string, StreamTask>();
  readonly #consumer: GroupConsumer;
  readonly #reader: PartitionReader;
  readonly #producer: Producer;
  readonly #configTable: GlobalTable;
  readonly #commits: CommitLoop;
  readonly #linger: Linger;
  readonly #deadLetters: DeadLetters;
  #partitionCounts: ReadonlyMap<string, number> = new Map();
  #state: ApplicationState = 'CREATED';
  #stateSinceMs: number;
  #missing: readonly string[] = ['start'];
  #generation: Generation | null = null;
  /** Grows with every assignment: a claim of an earlier one is abandoned. */
  #assignment = 0;
  #following: Promise<void> | null = null;
  #closing: Promise<void> | null = null;

  constructor(options: ApplicationOptions) {
    this.#options = options;
    const { kafka, clock, random, logger, metrics, delivery } = options;
    this.#stateSinceMs = clock.now();
    this.#failed.promise.catch(() => undefined);
    this.#linger = new Linger(clock);
    this.#pool = new SegmentPool(delivery.memoryBytes, () => {
      for (const task of this.#tasks.values()) task.maybeResume();
    });
    this.#reader = kafka.partitionReader();
    this.#producer = kafka.producer();
    this.#consumer = kafka.groupConsumer(options.groupId, options.topics.mutations);
    this.#destinations = new Destinations(options.sinks, {
      clock,
      logger,
      metrics,
      credentials: options.credentials,
    });
    this.#deadLetters = new DeadLetters({
      topic: options.topics.deadLetters,
      producer: this.#producer,
      clock,
      random,
      metrics,
      logger,
    });
    this.#configTable = new GlobalTable({
      topic: options.topics.replicationConfig,
      reader: kafka.partitionReader(),
      clock,
      random,
      logger,
      apply: (record) => {
        this.#applyConfig(record);
      },
    });
    this.#commits = new CommitLoop({
      consumer: this.#consumer,
      clock,
      logger,
      owned: () => (this.#generation ? { tasks: this.#tasks.values(), generation: this.#generation } : null),
    });
    registerGauges(metrics, {
      clock,
      table: options.table,
      tasks: () => this.#tasks.values(),
      destinations: () => this.#destinations.all(),
      heldBytes: () => this.#pool.heldBytes,
      state: () => this.#state,
      tableLag: () => [{ topic: options.topics.replicationConfig, lag: this.#configTable.lag }],
    });
  }

  get state(): ApplicationState {
    return this.#state;
  }

  /** Rejects when the application can't go on by itself. Never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Whether the process can work: false once it is ending. */
  get isHealthy(): boolean {
    return this.#state !== 'ERROR' && this.#state !== 'NOT_RUNNING' && this.#state !== 'PENDING_SHUTDOWN';
  }

  /** Ready: the tables are caught up and the group is joined, also without a partition and during a short rebalance. */
  readiness(): {
    readonly ready: boolean;
    readonly state: ApplicationState;
    readonly missing: readonly string[];
  } {
    const isShortRebalance =
      this.#state === 'REBALANCING' &&
      this.#missing.length === 0 &&
      this.#options.clock.now() - this.#stateSinceMs < REBALANCE_READY_MS;
    const ready = this.#state === 'RUNNING' || isShortRebalance;
    return {
      ready,
      state: this.#state,
      missing: ready ? [] : this.#missing.length > 0 ? this.#missing : ['group'],
    };
  }

  /**
   * Waits for the topics, reads the tables, joins the group. Resolves when the first partitions were claimed: what is
   * produced from then on is replicated, whatever `startFrom` says.
   * Rejects when that can't be, or when `close` was called meanwhile.
   */
  async start(): Promise<void> {
    const { signal } = this.#stopping;
    await this.#waitForTopics();
    this.#missing = [`table:${this.#options.topics.replicationConfig}`];
    await this.#configTable.restore(signal);
    this.#following = this.#configTable.follow(signal);
    this.#missing = ['group'];
    this.#transitionTo('REBALANCING');
    await this.#consumer.start(this);
    this.#commits.start();
    await this.#running.promise;
  }

  /**
   * Stops cleanly: takes up nothing more, delivers what was taken up (for `drainMs` at most), commits, leaves the group,
   * closes every connection. Idempotent.
   */
  close(drainMs: number): Promise<void> {
    this.#closing ??= this.#close(drainMs);
    return this.#closing;
  }

  onRebalancing(): void {
    this.#options.metrics.rebalances.add(1);
    if (this.#state === 'RUNNING') this.#transitionTo('REBALANCING');
    void this.#commits.commitNow();
  }

  onAssigned(partitions: readonly TopicPartition[], generation: Generation): void {
    this.#assignment += 1;
    this.#generation = generation;
    const owned = new Set(partitions.map(keyOf));
    for (const [key, task] of this.#tasks) {
      if (owned.has(key)) continue;
      task.close();
      this.#tasks.delete(key);
    }
    void this.#claim(partitions, generation, this.#assignment);
  }

  onBatch(batch: ConsumedBatch): void {
    const task = this.#tasks.get(keyOf(batch));
    if (!task) return;
    if (batch.fetchedOffset === task.fetchPosition) {
      task.accept(batch);
      return;
    }
    this.#onUnexpectedBatch(task, batch);
  }

  onCrash(error: Error): void {
    this.#fail(new FatalStreamsError(`the consumer stopped: ${error.message}`, { cause: error }));
  }

  pause(task: StreamTask): void {
    this.#consumer.pause(task.scope);
  }

  resume(task: StreamTask): void {
    if (!this.#stopping.signal.aborted) this.#consumer.resume(task.scope);
  }

  commitSoon(): void {
    this.#commits.commitSoon();
  }

  /** Tries again every 30 s, naming what is missing, until all topics are there. */
  async #waitForTopics(): Promise<void> {
    const { checkTopics, clock, logger } = this.#options;
    const { signal } = this.#stopping;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      let waitMs = TOPIC_CHECK_MS;
      try {
        const { missing, partitions } = await checkTopics();
        this.#partitionCounts = partitions;
        if (missing.length === 0) return;
        this.#missing = missing.map((topic) => `topic:${topic}`);
        logger.warn(
          { missing },
          `topics are missing; create them with \`datamart-replication topics create\``,
        );
      } catch (error) {
        if (error instanceof FatalStreamsError) throw error;
        this.#missing = ['kafka'];
        waitMs = backoffMs(attempt, true, () => 1);
        if (attempt % 5 === 0) logger.warn({ error }, 'Kafka can’t be reached yet; trying again');
      }
      await sleep(clock, waitMs, signal);
    }
    throw new FatalStreamsError('stopped before the topics were there');
  }

  /**
   * Claim by commit (PROTOCOL A2): reads the commit of every assigned partition; a task that this instance already has
   * goes on only if the commit is its own; a new one commits what it read under its own id before it does anything.
   */
  async #claim(
    partitions: readonly TopicPartition[],
    generation: Generation,
    assignment: number,
  ): Promise<void> {
    const { clock, random, logger } = this.#options;
    const isCurrent = (): boolean => this.#assignment === assignment && !this.#stopping.signal.aborted;
    for (let attempt = 0; isCurrent(); attempt += 1) {
      try {
        await this.#tryClaim(partitions, generation, isCurrent);
        return;
      } catch (error) {
        logger[attempt % 10 === 3 ? 'warn' : 'debug'](
          { error },
          'claiming the partitions failed; trying again',
        );
        await sleep(clock, backoffMs(Math.min(attempt, 4), false, random), this.#stopping.signal);
      }
    }
  }

  async #tryClaim(
    partitions: readonly TopicPartition[],
    generation: Generation,
    isCurrent: () => boolean,
  ): Promise<void> {
    const { startFrom, logger, metrics } = this.#options;
    const committed = partitions.length === 0 ? [] : await this.#consumer.committed(partitions);
    await this.#configTable.caughtUp(this.#stopping.signal);
    if (!isCurrent()) return;
    const claims = committed.map((commit) =>
      claimOf(commit, startFrom, this.#tasks.get(keyOf(commit))?.taskId ?? null),
    );
    const fresh = claims.filter(({ isKept }) => !isKept).map((claim) => ({ claim, taskId: randomUUID() }));
    for (const { claim } of fresh) {
      this.#tasks.get(keyOf(claim.at))?.close();
      this.#tasks.delete(keyOf(claim.at));
      if (claim.problem === null) continue;
      metrics.offsetResets.add(1, claim.at.topic, String(claim.at.partition));
      logger.error({ ...claim.at, offset: claim.offset }, claim.problem);
    }
    if (fresh.length > 0) {
      const offsets = fresh.map(({ claim, taskId }) => ({
        ...claim.at,
        offset: claim.offset,
        metadata: commitMetadata(taskId, claim.carried),
      }));
      await this.#consumer.commit(offsets, generation);
      if (!isCurrent()) return;
    }
    for (const { claim, taskId } of fresh) this.#openTask(claim, taskId);
    for (const task of this.#tasks.values()) this.#consumer.resumeAt(task.scope, task.fetchPosition);
    for (const task of this.#tasks.values()) if (task.isPaused) this.#consumer.pause(task.scope);
    this.#missing = [];
    this.#transitionTo('RUNNING');
    logger.info(
      { partitions: partitions.map(keyOf), generation: generation.generationId },
      'partitions claimed',
    );
  }

  #openTask(claim: Claim, taskId: string): void {
    const { topic, partition } = claim.at;
    const scope = { topic, partition, partitionCount: this.#partitionCounts.get(topic) ?? 0 };
    const task = new StreamTask(scope, taskId, claim, this.#taskContext(), this);
    this.#tasks.set(keyOf(task.scope), task);
  }

  #taskContext(): StreamTaskContext {
    const { decoder, table, encoders, schemas, delivery, metrics, clock, random, logger } = this.#options;
    return {
      topology: new Topology(decoder, table),
      encoders,
      destinations: this.#destinations,
      deadLetters: this.#deadLetters,
      reader: this.#reader,
      schemas,
      window: { maxRecords: delivery.windowRecords, maxBytes: delivery.windowBytes },
      pool: this.#pool,
      linger: this.#linger,
      metrics,
      clock,
      random,
      logger,
    };
  }

  /**
   * A batch that wasn't fetched from the task's position: of an earlier assignment, which is dropped, or fetched after
   * kafkajs moved to the log's start because retention has passed the position.
   */
  #onUnexpectedBatch(task: StreamTask, batch: ConsumedBatch): void {
    const { logger, metrics } = this.#options;
    void this.#reader
      .bounds(task.scope)
      .then(({ start }) => {
        if (this.#tasks.get(keyOf(task.scope)) !== task) return;
        const position = task.fetchPosition;
        if (start > position) {
          metrics.offsetResets.add(1, task.scope.topic, String(task.scope.partition));
          logger.error(
            { ...task.scope, offset: position, lost: start - position },
            `retention has passed the position: offsets ${position} to ${start - 1} are lost`,
          );
          task.skipTo(start);
        }
        this.#consumer.resumeAt(task.scope, task.fetchPosition);
      })
      .catch((error: unknown) => {
        logger.warn(
          { ...task.scope, offset: batch.fetchedOffset, error: error },
          'a stale batch was dropped',
        );
        this.#consumer.resumeAt(task.scope, task.fetchPosition);
      });
  }

  #applyConfig(record: ConsumedRecord): void {
    const { table, metrics, logger } = this.#options;
    const id = record.key?.toString('utf8') ?? '';
    const change = table.apply(id, record.value);
    if (change.kind === 'refused') {
      metrics.configRefused.add(1, change.problem.code);
      logger.warn(
        { offset: record.offset, code: change.problem.code, field: change.problem.field },
        `a record of the control topic is refused: ${change.problem.message}`,
      );
      return;
    }
    if (change.kind === 'unchanged') return;
    const { previous, next } = change;
    if (previous && !next) metrics.forgetReplication(previous.id);
    for (const config of new Set([previous, next])) if (config) this.#onDatamartChanged(config);
    this.#destinations.apply(previous, next).catch((error: unknown) => {
      logger.warn({ replication_id: id, error: error }, 'closing a destination failed');
    });
    logger.debug(
      { replication_id: next?.id ?? previous?.id, status: next?.status ?? 'DELETED' },
      'replication changed',
    );
  }

  #onDatamartChanged({ datamart }: ReplicationConfig): void {
    const plan = this.#options.table.plan(datamart);
    for (const task of this.#tasks.values()) task.onTableChanged(datamart, plan);
  }

  async #close(drainMs: number): Promise<void> {
    const { clock, logger } = this.#options;
    const wasStarted = this.#generation !== null;
    if (this.#state !== 'ERROR') this.#transitionTo('PENDING_SHUTDOWN');
    this.#running.resolve();
    this.#stopping.abort();
    this.#assignment += 1;
    const tasks = [...this.#tasks.values()];
    if (wasStarted) for (const task of tasks) this.#consumer.pause(task.scope);
    const deadline = clock.now() + drainMs;
    const never = new AbortController().signal;
    while (tasks.some((task) => !task.isDrained) && clock.now() < deadline)
      await sleep(clock, DRAIN_CHECK_MS, never);
    const undelivered = tasks.filter((task) => !task.isDrained).length;
    if (undelivered > 0)
      logger.warn(
        { partitions: undelivered },
        'not everything could be delivered in time; it will be sent again',
      );
    await this.#commits.commitNow();
    await this.#commits.commitNow();
    await this.#commits.stop();
    for (const task of tasks) task.close();
    this.#tasks.clear();
    const ends = await Promise.allSettled([
      this.#consumer.stop(),
      this.#destinations.close(),
      this.#producer.close(),
      this.#reader.close(),
      this.#following,
    ]);
    for (const end of ends)
      if (end.status === 'rejected') logger.warn({ error: end.reason as unknown }, 'closing failed');
    if (this.#state === 'PENDING_SHUTDOWN') this.#transitionTo('NOT_RUNNING');
  }

  #fail(error: FatalStreamsError): void {
    if (this.#closing || this.#state === 'ERROR') return;
    this.#transitionTo('ERROR');
    this.#failed.reject(error);
  }

  #transitionTo(next: ApplicationState): void {
    if (this.#state === next) return;
    if (!TRANSITIONS[this.#state].includes(next)) {
      this.#options.logger.error({}, `refused to go from ${this.#state} to ${next}`);
      return;
    }
    this.#options.logger.info({ state: next }, `${this.#state} → ${next}`);
    this.#state = next;
    if (next === 'RUNNING') this.#running.resolve();
    this.#stateSinceMs = this.#options.clock.now();
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}
