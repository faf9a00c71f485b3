import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { ReplicationState } from '../processors/replication-state.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import { StateTooNewError, type PartitionReport } from '../processors/status-record.ts';
import { StatusTable } from '../processors/status-table.ts';
import type { SinkError } from '../sinks/sink.ts';
import type { Random } from './backoff.ts';
import type { Claim } from './claim.ts';
import { sleep, type Clock } from './clock.ts';
import type { CommitMetadata, OwnPosition } from './commit-metadata.ts';
import type { Destinations } from './destinations.ts';
import { FatalStreamsError } from './errors.ts';
import { GlobalTable } from './global-table.ts';
import type { ConsumedRecord, PartitionReader, Producer, TopicPartition } from './kafka-port.ts';
import type { Logger } from './logger.ts';
import type { EngineMetrics } from './metrics.ts';
import { PartitionPins } from './partition-pins.ts';
import { PartitionReports } from './partition-reports.ts';
import { PositionLists } from './position-lists.ts';
import { identityHash, identityOf } from './replication-identity.ts';
import { ReplicationStates, type Stance } from './replication-states.ts';
import { StatusWriter } from './status-writer.ts';
import type { StreamTask } from './stream-task.ts';

const REPORT_EVERY_MS = 1_000;

export interface ReplicationControlOptions {
  readonly topics: { readonly replicationConfig: string; readonly replicationStatus: string };
  readonly table: ReplicationTable;
  readonly reader: PartitionReader;
  readonly producer: Producer;
  readonly destinations: () => Destinations;
  readonly tasks: () => Iterable<StreamTask>;
  /** Whether this instance owns partition 0 of the first mutation topic. */
  readonly isCoordinator: () => boolean;
  readonly generation: () => number;
  /** Names this instance in reports. */
  readonly instance: string;
  readonly metrics: EngineMetrics;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Aborts when the application stops. */
  readonly signal: AbortSignal;
  /** Aborts when nothing is to be written any more. */
  readonly writing: AbortSignal;
  /** The number of partitions that are worked on may have changed. */
  readonly onPinned: () => void;
  readonly onFatal: (error: FatalStreamsError) => void;
}

/**
 * What is desired and what was observed: follows `replication-config` and `replication-status` as global tables, lets
 * tasks and destinations know of every change, and writes what this instance finds out.
 */
export class ReplicationControl {
  readonly #options: ReplicationControlOptions;
  readonly #status = new StatusTable();
  readonly #configTable: GlobalTable;
  readonly #statusTable: GlobalTable;
  readonly #states: ReplicationStates;
  readonly #reports: PartitionReports;
  readonly pins: PartitionPins;
  /** Own positions that are too many for a commit. */
  readonly lists: PositionLists;

  constructor(options: ReplicationControlOptions) {
    this.#options = options;
    const { topics, table, reader, producer, clock, random, logger, signal } = options;
    const writer = new StatusWriter({
      topic: topics.replicationStatus,
      producer,
      clock,
      random,
      logger,
      signal: options.writing,
    });
    this.#states = new ReplicationStates({
      table,
      status: this.#status,
      writer,
      destinations: options.destinations,
      clock,
      random,
      logger,
      signal,
      isCoordinator: options.isCoordinator,
      onStance: (config, stance) => {
        this.#onStance(config, stance);
      },
    });
    this.lists = new PositionLists(writer);
    this.pins = new PartitionPins(writer);
    this.#reports = new PartitionReports({
      status: this.#status,
      writer,
      clock,
      owner: options.instance,
      generation: options.generation,
    });
    const follow = (topic: string, apply: (record: ConsumedRecord) => void): GlobalTable =>
      new GlobalTable({ topic, reader, clock, random, logger, apply });
    this.#configTable = follow(topics.replicationConfig, (record) => {
      this.#applyConfig(record);
    });
    this.#statusTable = follow(topics.replicationStatus, (record) => {
      this.#applyStatus(record);
    });
  }

  /** Records that the tables haven't read yet. */
  get lags(): readonly { readonly topic: string; readonly lag: number }[] {
    const { topics } = this.#options;
    return [
      { topic: topics.replicationConfig, lag: this.#configTable.lag },
      { topic: topics.replicationStatus, lag: this.#statusTable.lag },
    ];
  }

  /** Reads the tables to their ends, the observed state first. Rejects when that takes too long. */
  async restore(): Promise<void> {
    const { signal } = this.#options;
    await this.#statusTable.restore(signal);
    await this.#configTable.restore(signal);
  }

  /** Follows the tables and reports, until the application stops. Never rejects. */
  async follow(): Promise<void> {
    const { signal } = this.#options;
    await Promise.all([this.#statusTable.follow(signal), this.#configTable.follow(signal), this.#report()]);
  }

  /** Resolves when everything that is in the topics now was applied. */
  async caughtUp(): Promise<void> {
    const { signal } = this.#options;
    await Promise.all([this.#statusTable.caughtUp(signal), this.#configTable.caughtUp(signal)]);
  }

  /** Partitions were claimed: a new coordinator does what is left to do. */
  onClaimed(): void {
    if (this.#options.isCoordinator()) this.#states.onCoordinator();
  }

  stateOf(config: ReplicationConfig): ReplicationState {
    return this.#states.stateOf(config);
  }

  lostOffsetsOf(id: string): number {
    return this.#states.lostOffsetsOf(id);
  }

  stanceOf(config: ReplicationConfig): Stance {
    return this.#states.stanceOf(config);
  }

  /** What was last reported of the replication on the partition. */
  reportOf(id: string, { topic, partition }: TopicPartition): PartitionReport | null {
    return this.#status.report(id, topic, partition);
  }

  /**
   * What a claimed commit carries, completed from the status topic: the list that it names, or, where its metadata is
   * gone, what was last reported (PROTOCOL A1). Throws when the named list isn't there.
   */
  carriedBy({ at, offset, carried, isNew }: Claim): CommitMetadata {
    if (carried.isReadable) return this.lists.resolve(at, carried);
    if (isNew) return carried;
    const x: OwnPosition[] = [];
    for (const config of this.#options.table.all()) {
      const report = this.#status.report(config.id, at.topic, at.partition);
      if (!report || report.state === 'ACTIVE') continue;
      const kind = report.state === 'STOPPED' ? 'ERROR' : report.state;
      x.push({ replication: identityHash(config), position: Math.min(report.offset, offset), kind });
    }
    return { ...carried, x };
  }

  /** Resolves when the report is durable; with false when that is given up. */
  storeReport(report: PartitionReport): Promise<boolean> {
    return this.#reports.store(report);
  }

  /** A permanent fault of a destination was confirmed on this instance, with this version of the credentials. */
  onFault(config: ReplicationConfig, failure: SinkError, credentialsVersion: number | null): void {
    const current = this.#options.table.get(config.id);
    if (current && identityOf(current) === identityOf(config))
      void this.#states.destinationFailed(current, failure, credentialsVersion);
  }

  async #report(): Promise<void> {
    const { clock, signal, tasks } = this.#options;
    while (!signal.aborted) {
      this.#reports.refresh(tasks());
      await sleep(clock, REPORT_EVERY_MS, signal);
    }
  }

  #onStance(config: ReplicationConfig, stance: Stance): void {
    const destination = this.#options.destinations().find(config);
    for (const task of this.#options.tasks()) task.replications.onStance(config, stance);
    if (stance.state === 'ACTIVE') destination?.resume();
    else destination?.suspend();
  }

  #applyStatus(record: ConsumedRecord): void {
    const key = record.key?.toString('utf8') ?? '';
    if (this.lists.apply(key, record.value)) return;
    if (this.pins.apply(key, record.value)) {
      this.#options.onPinned();
      return;
    }
    try {
      const change = this.#status.apply(key, record.value);
      if (change.kind !== 'none') this.#states.onStatusChanged(change.id);
    } catch (error) {
      if (!(error instanceof StateTooNewError)) throw error;
      this.#options.onFatal(new FatalStreamsError(error.message, { cause: error }));
    }
  }

  #applyConfig(record: ConsumedRecord): void {
    const { table, metrics, logger, tasks } = this.#options;
    const id = record.key?.toString('utf8') ?? '';
    const change = table.apply(id, record.value, record.offset);
    if (change.kind === 'refused') {
      const { code, field, message } = change.problem;
      metrics.configRefused.add(1, code);
      logger.warn(
        { offset: record.offset, code, field },
        `a record of the control topic is refused: ${message}`,
      );
      return;
    }
    if (change.kind === 'unchanged') return;
    const { previous, next } = change;
    if (previous && !next) metrics.forgetReplication(previous.id);
    if (previous && (!next || identityOf(previous) !== identityOf(next)))
      for (const task of tasks()) task.replications.onReplicationDeleted(previous);
    this.#options
      .destinations()
      .apply(previous, next)
      .catch((error: unknown) => {
        logger.warn({ replication_id: id, error }, 'closing a destination failed');
      });
    this.#states.onConfigChanged(previous, next);
    for (const config of new Set([previous, next])) {
      if (!config) continue;
      const plan = table.plan(config.datamart);
      for (const task of tasks()) task.replications.onTableChanged(config.datamart, plan);
    }
  }
}
