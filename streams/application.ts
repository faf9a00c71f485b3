import type { CredentialsTable } from '../processors/credentials-table.ts';
import type { SnapshotTopic } from '../processors/initial-sync/snapshot-readiness.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import { Topology } from '../processors/topology.ts';
import type { MutationDecoder } from '../schemas/mutation-decoder.ts';
import type { OperationEncoder, OperationVersion } from '../schemas/operation-encoder.ts';
import type { CredentialsResolver } from '../sinks/credentials.ts';
import type { SinkRegistry } from '../sinks/registry.ts';
import type { Random } from './backoff.ts';
import type { Claim } from './claim.ts';
import { sleep, type Clock } from './clock.ts';
import { CommitLoop } from './commit-loop.ts';
import type { ControlTopics } from './control-tables.ts';
import { DeadLetters } from './dead-letters.ts';
import type { Destination } from './destination.ts';
import { Destinations } from './destinations.ts';
import type { FatalStreamsError } from './errors.ts';
import { FileCredentialsWatch } from './file-credentials-watch.ts';
import { registerGauges } from './gauges.ts';
import { ReadSlots } from './initial-sync/read-slots.ts';
import { SharedSetMemory } from './initial-sync/set-memory.ts';
import type { GroupConsumer, KafkaPort, PartitionReader, PartitionWriter, Producer } from './kafka-port.ts';
import { Lease } from './lease.ts';
import { Linger } from './linger.ts';
import type { Logger } from './logger.ts';
import { memoryHogs } from './memory-hogs.ts';
import type { EngineMetrics } from './metrics.ts';
import { ReaderPerTopic } from './reader-per-topic.ts';
import { ReplayTurns } from './replay-turns.ts';
import { ReplicationControl } from './replication-control.ts';
import type { SchemaLoader } from './schema-loader.ts';
import { SegmentPool } from './segment-pool.ts';
import { StreamTask, type StreamTaskContext, type StreamTaskOwner } from './stream-task.ts';
import { SupervisedConsumer } from './supervised-consumer.ts';
import { TaskAssignment } from './task-assignment.ts';
import { awaitTopics, type CheckedTopics } from './topics/awaited-topics.ts';

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

/** A rebalance shorter than this doesn't make the instance unready. */
const REBALANCE_READY_MS = 60_000;
const DRAIN_CHECK_MS = 10;
/** Beyond the drain: what is in flight then to destinations that don't answer is given up. */
const LAST_ATTEMPTS_MS = 2_000;
/** Without time to drain, too: what was delivered is committed only if the snapshot has it. */
const LAST_SNAPSHOT_MS = 1_000;
/** A coordinator that doesn't answer must not keep the process from ending. */
const LAST_COMMIT_MS = 2_500;
const LAGGARD_CHECK_MS = 100;
const NOBODY: ReadonlySet<Destination> = new Set();

/** How many partitions each topic has, by its name. */
type PartitionCounts = ReadonlyMap<string, number>;

/** What a stop has not finished, for the line that says why it was forced. */
export interface Unfinished {
  /** Partitions with something that no destination has acknowledged, as `topic/partition`. */
  readonly partitions: readonly string[];
  /** Replications that those wait for. */
  readonly replications: readonly string[];
  /** What is still being closed. */
  readonly closing: readonly string[];
}

export interface ApplicationOptions {
  readonly groupId: string;
  /** Names this instance in what it reports. */
  readonly instance: string;
  readonly topics: {
    readonly mutations: readonly string[];
    /** `snapshots[i]` belongs to `mutations[i]`. */
    readonly snapshots: readonly string[];
    readonly deadLetters: string;
  } & ControlTopics;
  readonly delivery: {
    readonly memoryBytes: number;
    readonly windowRecords: number;
    readonly windowBytes: number;
    readonly detachAfterMs: number;
  };
  readonly startFrom: 'earliest' | 'latest';
  readonly snapshot: {
    /** The snapshot topic of each mutation topic. */
    readonly topics: ReadonlyMap<string, string>;
    /** Whether this program writes them. */
    readonly isKept: boolean;
  };
  readonly initialSync: {
    /** How long a succeeded one blocks the next one of its replications, in ms; 0 for not at all. */
    readonly windowMs: number;
    /** Operations a second and replication, for the whole group; null: as fast as it goes. */
    readonly maxRate: number | null;
  };
  /** Own positions that make a commit's metadata longer than this are stored apart. Default: what every broker takes. */
  readonly maxMetadataLength?: number;
  readonly kafka: KafkaPort;
  readonly table: ReplicationTable;
  /** Of the sealed credentials, still empty. */
  readonly sealedCredentials: CredentialsTable;
  readonly decoder: MutationDecoder;
  readonly encoders: Readonly<Record<OperationVersion, OperationEncoder>>;
  readonly schemas: SchemaLoader & { close(): Promise<void> };
  readonly sinks: SinkRegistry;
  readonly credentials: CredentialsResolver;
  /**
   * Names topics that aren't there yet. `pinned`: how many partitions of the mutation topics are worked on, as far as
   * they are pinned; null while that isn't known.
   * Rejects with `FatalStreamsError` when a topic has a setting that would lose data.
   */
  readonly checkTopics: (pinned: PartitionCounts | null) => Promise<CheckedTopics>;
  /** How many partitions those of the topics have that exist. Rejects when the cluster can't be asked. */
  readonly partitionCounts: (topics: readonly string[]) => Promise<PartitionCounts>;
  /** How long all of the topics keep tombstones, in ms; null when the cluster doesn't tell. Never rejects. */
  readonly tombstonesKeptMs: (topics: readonly string[]) => Promise<number | null>;
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
export class ReplicationApplication implements StreamTaskOwner {
  readonly #options: ApplicationOptions;
  readonly #stopping = new AbortController();
  readonly #writing = new AbortController();
  readonly #failed = Promise.withResolvers<never>();
  readonly #running = Promise.withResolvers<void>();
  readonly #pool: SegmentPool;
  readonly #syncMemory: SharedSetMemory;
  readonly #syncSlots = new ReadSlots();
  readonly #turns: ReplayTurns;
  #detachedLanes = 0;
  readonly #files: FileCredentialsWatch;
  readonly #destinations: Destinations;
  readonly #assignment: TaskAssignment;
  readonly #consumer: GroupConsumer;
  readonly #reader: PartitionReader;
  readonly #producer: Producer;
  readonly #tableReader: PartitionReader;
  readonly #snapshotWriter: PartitionWriter;
  readonly #control: ReplicationControl;
  readonly #commits: CommitLoop;
  readonly #linger: Linger;
  readonly #lease: Lease;
  readonly #deadLetters: DeadLetters;
  #state: ApplicationState = 'CREATED';
  #stateSinceMs: number;
  #missing: readonly string[] = ['start'];
  #following: Promise<void> | null = null;
  #closing: Promise<void> | null = null;
  /** What was not delivered when the time to drain was over; null before. */
  #givenUp: Omit<Unfinished, 'closing'> | null = null;
  readonly #toClose = new Set<string>();

  constructor(options: ApplicationOptions) {
    this.#options = options;
    const { kafka, clock, random, logger, metrics, delivery } = options;
    this.#stateSinceMs = clock.now();
    this.#failed.promise.catch(() => undefined);
    this.#linger = new Linger(clock);
    this.#turns = new ReplayTurns(clock);
    this.#pool = new SegmentPool(delivery.memoryBytes, () => {
      for (const task of this.#assignment.tasks) task.maybeResume();
    });
    this.#syncMemory = new SharedSetMemory(delivery.memoryBytes);
    this.#reader = kafka.partitionReader();
    this.#tableReader = new ReaderPerTopic(() => kafka.partitionReader());
    this.#producer = kafka.producer();
    this.#snapshotWriter = kafka.partitionWriter();
    this.#consumer = new SupervisedConsumer({
      make: () => kafka.groupConsumer(options.groupId, options.topics.mutations),
      clock,
      random,
      logger,
      metrics,
      onRestart: () => {
        this.#lease.suspend();
        this.#assignment.abandonClaim();
        if (this.#state === 'RUNNING') this.#transitionTo('REBALANCING');
      },
      onFatal: (error) => {
        this.#fail(error);
      },
    });
    this.#lease = new Lease(clock, () => {
      for (const task of this.#assignment.tasks) task.goOn();
      // Without the lease nobody coordinates: what was left undone meanwhile is taken up.
      this.#control.onClaimed();
    });
    this.#files = new FileCredentialsWatch({
      credentials: options.credentials,
      inUse: () => this.#control.credentialsInUse(),
      onChanged: (uri) => {
        this.#control.onFileChanged(uri);
      },
      clock,
      logger,
    });
    this.#destinations = new Destinations(options.sinks, {
      clock,
      random,
      logger,
      metrics,
      credentials: this.#files,
      isActivated: (config) => this.#control.stanceOf(config).state === 'ACTIVE',
      onFault: (config, failure, credentialsVersion) => {
        this.#control.onFault(config, failure, credentialsVersion);
      },
    });
    this.#deadLetters = new DeadLetters({
      topic: options.topics.deadLetters,
      producer: this.#producer,
      clock,
      random,
      metrics,
      logger,
    });
    this.#control = new ReplicationControl({
      topics: options.topics,
      table: options.table,
      credentials: options.sealedCredentials,
      reader: this.#tableReader,
      producer: this.#producer,
      destinations: () => this.#destinations,
      tasks: () => this.#assignment.tasks,
      isCoordinator: () => this.#isCoordinator,
      mayWrite: () => this.#lease.mayStart(),
      generation: () => this.#assignment.owned?.generation.generationId ?? -1,
      instance: options.instance,
      snapshotTopics: () => this.#snapshotTopics(),
      tombstonesKeptMs: () => options.tombstonesKeptMs(options.topics.snapshots),
      syncWindowMs: options.initialSync.windowMs,
      maxMetadataLength: options.maxMetadataLength,
      metrics,
      clock,
      random,
      logger,
      signal: this.#stopping.signal,
      writing: this.#writing.signal,
      onPinned: () => {
        this.#assignment.onAdopted();
      },
      onSyncsChanged: () => {
        for (const task of this.#assignment.tasks) task.syncs.follow();
      },
      onFatal: (error) => {
        this.#fail(error);
      },
    });
    this.#assignment = new TaskAssignment({
      consumer: this.#consumer,
      reader: this.#reader,
      startFrom: options.startFrom,
      clock,
      random,
      logger,
      metrics,
      lease: this.#lease,
      signal: this.#stopping.signal,
      lists: this.#control.lists,
      isHeld: (at) => this.#control.pins.isHeld(at),
      carriedBy: (claim) => this.#control.carriedBy(claim),
      tablesCaughtUp: () => this.#control.caughtUp(),
      makeTask: (claim, taskId) => this.#makeTask(claim, taskId),
      onRebalancing: () => {
        if (this.#state === 'RUNNING') this.#transitionTo('REBALANCING');
        void this.#commits.commitNow();
      },
      commitBeforeRejoin: () => this.#commits.commitLast(),
      onClaimed: () => {
        this.#missing = [];
        this.#transitionTo('RUNNING');
        this.#control.onClaimed();
      },
    });
    this.#commits = new CommitLoop({
      consumer: this.#consumer,
      clock,
      logger,
      lists: this.#control.lists,
      onProven: (sentAt) => {
        this.#lease.renew(sentAt);
      },
      owned: () => this.#assignment.owned,
    });
    registerGauges(metrics, {
      clock,
      table: options.table,
      tasks: () => this.#assignment.tasks,
      destinations: () => this.#destinations.all(),
      heldBytes: () => this.#pool.heldBytes,
      state: () => this.#state,
      held: () => this.#assignment.held,
      executions: () => this.#control.tables.executions,
      tableLag: () => this.#control.tables.lags,
      stateOf: (config) => this.#control.stateOf(config),
      lostOffsetsOf: ({ id }) => this.#control.lostOffsetsOf(id),
    });
  }

  get state(): ApplicationState {
    return this.#state;
  }

  /** What it knows of desired and observed state; others may look at it. */
  get control(): Pick<ReplicationControl, 'tables' | 'pins' | 'lists' | 'syncs'> {
    return this.#control;
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
    await this.#waitForTopics(null);
    this.#missing = this.#control.tables.lags.map(({ topic }) => `table:${topic}`);
    await this.#control.restore();
    const { pins } = this.#control;
    await pins.pin(await this.#waitForTopics(pins.counts));
    this.#following = Promise.all([this.#control.follow(), this.#files.follow(this.#stopping.signal)]).then(
      () => undefined,
    );
    this.#missing = ['group'];
    this.#transitionTo('REBALANCING');
    await this.#consumer.start(this.#assignment);
    this.#commits.start();
    void this.#watchLaggards();
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

  /** What is not delivered, or wasn't when the time to drain was over, and what `close` is still waiting for. */
  unfinished(): Unfinished {
    return { ...(this.#givenUp ?? this.#undelivered()), closing: [...this.#toClose] };
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

  /** Resolves to the partition counts of the mutation topics, once all topics are there. */
  async #waitForTopics(pinned: PartitionCounts | null): Promise<PartitionCounts> {
    const { checkTopics, clock, logger, topics } = this.#options;
    const { partitions } = await awaitTopics({
      check: () => checkTopics(pinned),
      onMissing: (missing) => {
        this.#missing = missing;
      },
      clock,
      logger,
      signal: this.#stopping.signal,
    });
    return new Map([...partitions].filter(([topic]) => topics.mutations.includes(topic)));
  }

  /** Detaches who stands still or slows others down. */
  async #watchLaggards(): Promise<void> {
    const { clock, table } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(clock, LAGGARD_CHECK_MS, signal);
      const tasks = [...this.#assignment.tasks];
      const lanes = tasks.flatMap((task) => [...task.lanes]);
      const active = table.activeCount;
      this.#detachedLanes = lanes.filter(({ isDetached }) => isDetached).length;
      const live = lanes.filter(({ isDetached }) => !isDetached);
      const hogs = this.#pool.isFull ? memoryHogs(live, active, this.#pool.limitBytes) : NOBODY;
      for (const { replications } of tasks) replications.detachLaggards(clock.monotonic(), active, hogs);
    }
  }

  #makeTask(claim: Claim, taskId: string): StreamTask {
    const { topic, partition } = claim.at;
    const scope = { topic, partition, partitionCount: this.#control.pins.countOf(topic) };
    return new StreamTask(scope, taskId, claim, this.#taskContext(topic), this);
  }

  #taskContext(topic: string): StreamTaskContext {
    const { decoder, table, encoders, schemas, delivery, metrics, clock, random, logger } = this.#options;
    const { snapshot, initialSync } = this.#options;
    const snapshotTopic = snapshot.topics.get(topic);
    if (snapshotTopic === undefined) throw new Error(`${topic} has no snapshot topic`);
    return {
      table,
      decoder,
      // All of them go to the snapshot.
      topology: new Topology(decoder, table, snapshot.isKept ? () => true : undefined),
      encoders,
      destinations: this.#destinations,
      deadLetters: this.#deadLetters,
      reader: this.#reader,
      schemas,
      lease: this.#lease,
      snapshotTopic,
      snapshotWriter: snapshot.isKept ? this.#snapshotWriter : null,
      syncs: this.#control.syncs,
      memory: this.#syncMemory,
      slots: this.#syncSlots,
      maxRate: initialSync.maxRate,
      stanceOf: (config) => this.#control.stanceOf(config),
      statusOf: (id, at) => this.#control.reportOf(id, at),
      storeReport: (report) => this.#control.storeReport(report),
      window: { maxRecords: delivery.windowRecords, maxBytes: delivery.windowBytes },
      detachAfterMs: delivery.detachAfterMs,
      pool: this.#pool,
      detachedLanes: () => this.#detachedLanes,
      turns: this.#turns,
      linger: this.#linger,
      metrics,
      clock,
      random,
      logger,
    };
  }

  async #snapshotTopics(): Promise<readonly SnapshotTopic[]> {
    const { mutations, snapshots } = this.#options.topics;
    const counts = await this.#options.partitionCounts([...mutations, ...snapshots]);
    return mutations.map((topic, i) => {
      const snapshot = snapshots[i] ?? '';
      const pinnedPartitions = this.#control.pins.countOf(topic);
      return {
        snapshot,
        snapshotPartitions: counts.get(snapshot) ?? null,
        mutations: topic,
        mutationPartitions: counts.get(topic) ?? pinnedPartitions,
        pinnedPartitions,
      };
    });
  }

  /** The owner of partition 0 of the first mutation topic activates replications and writes their states. */
  get #isCoordinator(): boolean {
    const [topic = ''] = this.#options.topics.mutations;
    return this.#lease.mayStart() && this.#assignment.owns({ topic, partition: 0 });
  }

  async #close(drainMs: number): Promise<void> {
    const { clock, logger } = this.#options;
    if (this.#state !== 'ERROR') this.#transitionTo('PENDING_SHUTDOWN');
    this.#running.resolve();
    this.#stopping.abort();
    this.#assignment.pause();
    const tasks = [...this.#assignment.tasks];
    for (const task of tasks) task.finish();
    const startedAt = clock.monotonic();
    const isWithin = (ms: number): boolean => clock.monotonic() - startedAt < ms;
    const isBusy = (): boolean =>
      (isWithin(drainMs) && tasks.some((task) => !task.isDrained)) ||
      (isWithin(LAST_SNAPSHOT_MS) && tasks.some((task) => task.isStoring));
    const never = new AbortController().signal;
    while (isBusy()) await sleep(clock, DRAIN_CHECK_MS, never);
    this.#givenUp = this.#undelivered();
    if (this.#givenUp.partitions.length > 0)
      logger.warn(this.#givenUp, 'not everything could be delivered in time; it will be sent again');
    this.#lease.suspend();
    for (const task of tasks) task.replications.detachUndelivered();
    await this.#assignment.untilQuiet(LAST_ATTEMPTS_MS);
    await Promise.race([this.#commits.commitLast(), sleep(clock, LAST_COMMIT_MS, never)]);
    this.#writing.abort();
    await this.#commits.stop();
    this.#assignment.close();
    const ends = await Promise.allSettled([
      this.#closed('consumer', this.#consumer.stop()),
      this.#closed('destinations', this.#destinations.close()),
      this.#closed('producer', this.#producer.close()),
      this.#closed('snapshot', this.#snapshotWriter.close()),
      this.#closed('reader', this.#reader.close()),
      this.#closed('table reader', this.#tableReader.close()),
      this.#closed('table', this.#following),
      this.#closed('schemas', this.#options.schemas.close()),
    ]);
    for (const end of ends)
      if (end.status === 'rejected') logger.warn({ error: end.reason as unknown }, 'closing failed');
    if (this.#state === 'PENDING_SHUTDOWN') this.#transitionTo('NOT_RUNNING');
  }

  #undelivered(): Omit<Unfinished, 'closing'> {
    const late = [...this.#assignment.tasks].filter((task) => !task.isDrained);
    const lanes = late.flatMap((task) => [...task.lanes]).filter(({ position }) => position !== null);
    return {
      partitions: late.map(({ scope }) => `${scope.topic}/${scope.partition}`),
      replications: [...new Set(lanes.map(({ destination }) => destination.id))],
    };
  }

  async #closed(name: string, closing: Promise<void> | null): Promise<void> {
    this.#toClose.add(name);
    await closing;
    this.#toClose.delete(name);
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
