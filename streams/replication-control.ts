import { sealedVersionOf, type CredentialsTable } from '../processors/credentials-table.ts';
import type { GapFinding } from '../processors/initial-sync/gap-finding.ts';
import { gapsOf } from '../processors/initial-sync/gaps.ts';
import type { SnapshotTopic } from '../processors/initial-sync/snapshot-readiness.ts';
import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { ReplicationState } from '../processors/replication-state.ts';
import type { ReplicationTable, TableChange } from '../processors/replication-table.ts';
import type { PartitionReport } from '../processors/status-record.ts';
import type { StatusTable } from '../processors/status-table.ts';
import type { CredentialsRequest } from '../sinks/credentials.ts';
import type { SinkError } from '../sinks/sink.ts';
import type { Random } from './backoff.ts';
import type { Claim } from './claim.ts';
import { sleep, type Clock } from './clock.ts';
import type { CommitMetadata, OwnPosition } from './commit-metadata.ts';
import { ConfigJudgements } from './config-judgements.ts';
import { ControlTables, type ControlTopics } from './control-tables.ts';
import { CredentialsShredding } from './credentials-shredding.ts';
import type { Destinations } from './destinations.ts';
import type { FatalStreamsError } from './errors.ts';
import { findingOf } from './initial-sync/gap-finding.ts';
import { SyncCoordinator } from './initial-sync/sync-coordinator.ts';
import type { SyncPort } from './initial-sync/sync-port.ts';
import { TableSyncs } from './initial-sync/table-syncs.ts';
import type { PartitionReader, Producer, TopicPartition } from './kafka-port.ts';
import type { Logger } from './logger.ts';
import type { EngineMetrics } from './metrics.ts';
import { PartitionPins } from './partition-pins.ts';
import { PartitionReports } from './partition-reports.ts';
import { PositionLists } from './position-lists.ts';
import { identityHash, identityOf } from './replication-identity.ts';
import { ReplicationStates, type Stance } from './replication-states.ts';
import type { StreamTask } from './stream-task.ts';
import { TableWriter } from './table-writer.ts';

const REPORT_EVERY_MS = 1_000;

export interface ReplicationControlOptions {
  readonly topics: ControlTopics;
  readonly table: ReplicationTable;
  readonly credentials: CredentialsTable;
  readonly reader: PartitionReader;
  readonly producer: Producer;
  readonly destinations: () => Destinations;
  readonly tasks: () => Iterable<StreamTask>;
  /** Whether this instance owns partition 0 of the first mutation topic. */
  readonly isCoordinator: () => boolean;
  /** Whether the lease holds: what this instance sees of its partitions may be told. */
  readonly mayWrite: () => boolean;
  readonly generation: () => number;
  /** Names this instance in reports. */
  readonly instance: string;
  /** Asks the cluster for the snapshot topics, in the order of the mutation topics. */
  readonly snapshotTopics: () => Promise<readonly SnapshotTopic[]>;
  /** How long the snapshot topics keep tombstones, in ms; null when the cluster doesn't tell. Never rejects. */
  readonly tombstonesKeptMs: () => Promise<number | null>;
  /** How long a succeeded initial synchronization blocks the next one, in ms; 0 for not at all. */
  readonly syncWindowMs: number;
  /** As in `ApplicationOptions`. */
  readonly maxMetadataLength: number | undefined;
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
  /** What `syncs` answers may be another: executions began or ended, or may send more. */
  readonly onSyncsChanged: () => void;
  readonly onFatal: (error: FatalStreamsError) => void;
}

/**
 * What is desired and what was observed: follows the control and state topics as global tables, lets tasks and
 * destinations know of every change, and writes what this instance finds out.
 */
export class ReplicationControl {
  readonly #options: ReplicationControlOptions;
  readonly #tables: ControlTables;
  readonly #states: ReplicationStates;
  readonly #judgements: ConfigJudgements;
  readonly #shredding: CredentialsShredding;
  readonly #reports: PartitionReports;
  readonly #coordinator: SyncCoordinator;
  /** What the tasks of initial synchronizations ask. */
  readonly syncs: SyncPort;
  readonly pins: PartitionPins;
  /** Own positions that are too many for a commit. */
  readonly lists: PositionLists;

  constructor(options: ReplicationControlOptions) {
    this.#options = options;
    const { topics, table, credentials, reader, producer, clock, random, logger, signal } = options;
    const writerOf = (topic: string): TableWriter =>
      new TableWriter({ topic, producer, clock, random, logger, signal: options.writing });
    const writer = writerOf(topics.replicationStatus);
    this.#tables = new ControlTables({
      topics,
      replications: table,
      credentials,
      reader,
      clock,
      random,
      logger,
      listener: {
        takeStatus: (key, value) => this.#takeStatus(key, value),
        onStatus: (change) => {
          if (change.kind === 'judgement') this.#judgements.onStored(change.name);
          else if (change.kind !== 'none') {
            this.#states.onStatusChanged(change.id);
            if (change.kind === 'replication') this.#coordinator.onReplication(change.id);
          }
        },
        onConfig: (change) => {
          this.#onConfig(change);
        },
        onJudged: (name) => {
          this.#judgements.onJudged(name);
        },
        onCredentials: (id) => {
          this.#onCredentials(id);
        },
        onSyncRequest: (change) => {
          this.#coordinator.onRequest(change);
        },
        onExecution: (change) => {
          this.#coordinator.onExecution(change);
          if (change.kind === 'execution') options.onSyncsChanged();
        },
        onFatal: options.onFatal,
      },
    });
    const { status } = this.#tables;
    this.#states = new ReplicationStates({
      table,
      status,
      writer,
      destinations: options.destinations,
      clock,
      random,
      logger,
      signal,
      isCoordinator: options.isCoordinator,
      credentialsVersionOf: (config) => sealedVersionOf(config, credentials),
      onStance: (config, stance) => {
        this.#onStance(config, stance);
      },
    });
    this.#judgements = new ConfigJudgements({
      table,
      status,
      writer,
      isCoordinator: options.isCoordinator,
      progress: () => this.#tables.configProgress,
    });
    const executionsWriter = writerOf(topics.initialSyncExecutions);
    const { executions, requests } = this.#tables;
    this.syncs = new TableSyncs({ executions, writer: executionsWriter, clock, instance: options.instance });
    this.#coordinator = new SyncCoordinator({
      requests,
      executions,
      replications: table,
      stateOf: (config) => this.#states.stateOf(config),
      writer: executionsWriter,
      isCoordinator: options.isCoordinator,
      caughtUp: () => this.#tables.caughtUp(signal),
      configPosition: () => this.#tables.configProgress.position,
      snapshotTopics: options.snapshotTopics,
      missedBy: (replications) => this.#missedBy(replications),
      windowMs: options.syncWindowMs,
      metrics: options.metrics,
      clock,
      random,
      logger,
      signal,
    });
    this.#shredding = new CredentialsShredding({
      replications: table,
      credentials,
      writer: writerOf(topics.replicationCredentials),
      isCoordinator: options.isCoordinator,
      caughtUp: () => this.#tables.caughtUp(signal),
    });
    this.lists = new PositionLists(writer, options.maxMetadataLength);
    this.pins = new PartitionPins(writer);
    this.#reports = new PartitionReports({
      status,
      writer,
      clock,
      owner: options.instance,
      generation: options.generation,
    });
  }

  /** The cluster is asked once, and only when there are gaps. */
  async #missedBy(replications: readonly ReplicationConfig[]): Promise<ReadonlyMap<string, GapFinding>> {
    const { reader, clock } = this.#options;
    const findings = new Map<string, GapFinding>();
    const gaps = replications
      .map(({ id }) => ({ id, ofReplication: gapsOf(this.#tables.status.reports(id)) }))
      .filter(({ ofReplication }) => ofReplication.length > 0);
    if (gaps.length === 0) return findings;
    const known = { reader, nowMs: clock.now(), tombstonesKeptMs: await this.#options.tombstonesKeptMs() };
    for (const { id, ofReplication } of gaps) {
      const finding = await findingOf(ofReplication, known);
      if (finding) findings.set(id, finding);
    }
    return findings;
  }

  /** The tables that are followed; others may look at them. */
  get tables(): ControlTables {
    return this.#tables;
  }

  /** Reads the tables to their ends, the observed state first. Rejects when that takes too long. */
  async restore(): Promise<void> {
    await this.#tables.restore(this.#options.signal);
  }

  /** Follows the tables and reports, until the application stops. Never rejects. */
  async follow(): Promise<void> {
    await Promise.all([this.#tables.follow(this.#options.signal), this.#report()]);
  }

  /** Resolves when everything that is in the topics now was applied. */
  async caughtUp(): Promise<void> {
    await this.#tables.caughtUp(this.#options.signal);
  }

  /** Partitions were claimed: a new coordinator does what is left to do. */
  onClaimed(): void {
    if (!this.#options.isCoordinator()) return;
    this.#judgements.onCoordinator();
    this.#states.onCoordinator();
    this.#shredding.onCoordinator();
    this.#coordinator.onCoordinator();
  }

  get #status(): StatusTable {
    return this.#tables.status;
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
    if (!isNew && carried.isReadable) return this.lists.resolve(at, carried);
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

  /** A permanent fault of a destination was confirmed on this instance, with these credentials. */
  onFault(config: ReplicationConfig, failure: SinkError, credentialsVersion: number | null): void {
    const current = this.#options.table.get(config.id);
    if (current && identityOf(current) === identityOf(config))
      void this.#states.destinationFailed(current, failure, credentialsVersion);
  }

  /** Credentials that this instance looks after: of its destinations, and of those in ERROR that it would check again. */
  *credentialsInUse(): Generator<CredentialsRequest> {
    const { destinations, table, isCoordinator } = this.#options;
    const configs = new Set([...destinations().all()].map(({ config }) => config));
    if (isCoordinator())
      for (const config of table.all()) if (this.stateOf(config) === 'ERROR') configs.add(config);
    for (const { id, datamartId, credentialsUri } of configs)
      if (credentialsUri !== null) yield { uri: credentialsUri, replicationId: id, datamartId };
  }

  /** The content of a `file:` has changed. */
  onFileChanged(uri: string): void {
    const { table, clock } = this.#options;
    for (const config of table.all())
      if (config.credentialsUri === uri) this.#onOtherCredentials(config, clock.now());
  }

  /** Sealed credentials were uploaded, or are gone. */
  #onCredentials(id: string): void {
    this.#shredding.onCredentials(id);
    const config = this.#options.table.get(id);
    if (config?.credentialsUri === `sealed:${id}`) this.#onOtherCredentials(config, null);
  }

  #onOtherCredentials(config: ReplicationConfig, seenMs: number | null): void {
    void this.#options.destinations().find(config)?.renew();
    this.#states.onCredentialsChanged(config, seenMs);
  }

  async #report(): Promise<void> {
    const { clock, signal, tasks, mayWrite } = this.#options;
    while (!signal.aborted) {
      if (mayWrite()) this.#reports.refresh(tasks());
      this.#coordinator.refresh();
      await sleep(clock, REPORT_EVERY_MS, signal);
    }
  }

  #onStance(config: ReplicationConfig, stance: Stance): void {
    const destination = this.#options.destinations().find(config);
    for (const task of this.#options.tasks()) task.replications.onStance(config, stance);
    if (stance.state === 'ACTIVE') destination?.resume();
    else destination?.suspend();
  }

  /** Lists of positions and partition counts, which are the processor's own. */
  #takeStatus(key: string, value: Buffer | null): boolean {
    if (this.lists.apply(key, value)) return true;
    if (!this.pins.apply(key, value)) return false;
    this.#options.onPinned();
    return true;
  }

  #onConfig(change: Exclude<TableChange, { kind: 'unchanged' }>): void {
    const { table, metrics, logger, tasks } = this.#options;
    if (change.kind === 'refused') {
      const { offset, problem } = change;
      const { code, field, message } = problem;
      metrics.configRefused.add(1, code);
      logger.warn({ offset, code, field }, `a record of the control topic is refused: ${message}`);
      return;
    }
    const { previous, next } = change;
    if (previous && !next) metrics.forgetReplication(previous.id);
    if (previous && (!next || identityOf(previous) !== identityOf(next)))
      for (const task of tasks()) task.replications.onReplicationDeleted(previous);
    this.#options
      .destinations()
      .apply(previous, next)
      .catch((error: unknown) => {
        logger.warn({ replication_id: (next ?? previous)?.id, error }, 'closing a destination failed');
      });
    this.#states.onConfigChanged(previous, next);
    if (previous && !next) this.#shredding.onDeleted(previous.id);
    const id = (next ?? previous)?.id;
    if (id !== undefined) this.#coordinator.onReplication(id);
    for (const config of new Set([previous, next])) {
      if (!config) continue;
      const plan = table.plan(config.datamart);
      for (const task of tasks()) task.replications.onTableChanged(config.datamart, plan);
    }
  }
}
