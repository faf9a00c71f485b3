import { judgementName } from '../processors/config-judgement.ts';
import type { CredentialsTable } from '../processors/credentials-table.ts';
import { ExecutionTable, type ExecutionChange } from '../processors/initial-sync/execution-table.ts';
import { RequestTable, type RequestChange } from '../processors/initial-sync/request-table.ts';
import type { ReplicationTable, TableChange } from '../processors/replication-table.ts';
import { StateTooNewError } from '../processors/status-record.ts';
import { StatusTable, type StatusChange } from '../processors/status-table.ts';
import type { Random } from './backoff.ts';
import type { Clock } from './clock.ts';
import { FatalStreamsError } from './errors.ts';
import { GlobalTable } from './global-table.ts';
import type { ConsumedRecord, PartitionReader } from './kafka-port.ts';
import type { Logger } from './logger.ts';

/** What follows the tables. Called synchronously, for the records read at the start and the live ones alike. */
export interface ControlListener {
  /**
   * Any record of `replication-status`, before the tables take it; returns whether it was this listener's own. The
   * timestamp is Kafka's, in ms since 1970 UTC.
   */
  takeStatus?(key: string, value: Buffer | null, timestamp: number): boolean;
  onStatus?(change: StatusChange): void;
  /** The table of replications has changed, or a record of the control topic was refused. */
  onConfig?(change: Exclude<TableChange, { kind: 'unchanged' }>): void;
  /** A record of the control topic was read: what is known of its key, by `judgementName`, may be another. */
  onJudged?(name: string): void;
  /** The replication has other credentials, or none any more. */
  onCredentials?(replicationId: string): void;
  /** A record of `initial-sync-requests` was read. */
  onSyncRequest?(change: RequestChange): void;
  /** An initial synchronization or one of its tasks is another, for the replications of its datamart too. */
  onExecution?(change: Exclude<ExecutionChange, { kind: 'none' }>): void;
  /** A record says more than this program understands: it must end (exit 1). */
  onFatal(error: FatalStreamsError): void;
}

/** The topics of desired and observed state. */
export interface ControlTopics {
  readonly replicationConfig: string;
  readonly replicationCredentials: string;
  readonly replicationStatus: string;
  readonly initialSyncRequests: string;
  readonly initialSyncExecutions: string;
}

/** Their names, in the order in which they are read. */
export function controlTopicsOf(topics: ControlTopics): readonly string[] {
  return [
    topics.replicationStatus,
    topics.initialSyncExecutions,
    topics.replicationCredentials,
    topics.replicationConfig,
    topics.initialSyncRequests,
  ];
}

export interface TableLag {
  readonly topic: string;
  readonly lag: number;
  readonly ageMs: number;
}

export interface ControlTablesOptions {
  readonly topics: ControlTopics;
  /** Still empty. */
  readonly replications: ReplicationTable;
  /** Still empty. */
  readonly credentials: CredentialsTable;
  readonly reader: PartitionReader;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly listener: ControlListener;
}

/**
 * What is desired and what was observed, as global tables: the processor, the API and the commands follow the same ones.
 *
 * The observed state is read first: it holds the records in force, which ones of the control topic were judged, and what
 * initial synchronizations make wait.
 */
export class ControlTables {
  readonly replications: ReplicationTable;
  readonly credentials: CredentialsTable;
  readonly status = new StatusTable();
  readonly executions = new ExecutionTable();
  readonly requests = new RequestTable();
  readonly #options: ControlTablesOptions;
  readonly #statusTable: GlobalTable;
  readonly #credentialsTable: GlobalTable;
  readonly #configTable: GlobalTable;
  readonly #executionsTable: GlobalTable;
  readonly #requestsTable: GlobalTable;
  #isCaughtUp = false;

  constructor(options: ControlTablesOptions) {
    this.#options = options;
    this.replications = options.replications;
    this.credentials = options.credentials;
    const { topics, reader, clock, random, logger } = options;
    const shared = { reader, clock, random, logger };
    this.#statusTable = new GlobalTable({
      ...shared,
      topic: topics.replicationStatus,
      apply: (record) => {
        this.#applyStatus(record);
      },
    });
    this.#credentialsTable = new GlobalTable({
      ...shared,
      topic: topics.replicationCredentials,
      apply: (record) => {
        this.#applyCredentials(record);
      },
    });
    this.#executionsTable = new GlobalTable({
      ...shared,
      topic: topics.initialSyncExecutions,
      apply: (record) => {
        this.#applyExecution(record);
      },
    });
    this.#requestsTable = new GlobalTable({
      ...shared,
      topic: topics.initialSyncRequests,
      apply: (record) => {
        const key = record.key?.toString('utf8') ?? '';
        const change = this.requests.apply(key, record.value, record.offset, record.timestamp);
        this.#options.listener.onSyncRequest?.(change);
      },
    });
    this.#configTable = new GlobalTable({
      ...shared,
      topic: topics.replicationConfig,
      onBegin: (end) => {
        this.#beginConfigs(end);
      },
      apply: (record) => {
        this.#applyConfig(record);
      },
      onComplete: () => {
        for (const change of this.replications.completeRestore()) this.#tell(change);
      },
    });
  }

  /** Whether everything that was there at the start was read. */
  get isCaughtUp(): boolean {
    return this.#isCaughtUp;
  }

  /** How far each table is behind its topic: records not read yet, and the time since the last reading, in ms. */
  get lags(): readonly TableLag[] {
    return this.#all.map(({ topic, lag, ageMs }) => ({ topic, lag, ageMs }));
  }

  /** How far the control topic was read, and where it ends, as last seen. */
  get configProgress(): { readonly position: number; readonly end: number } {
    return this.#configTable.progress;
  }

  /** Reads the tables to their ends. Rejects when that takes too long. */
  async restore(signal: AbortSignal): Promise<void> {
    for (const table of this.#all) await table.restore(signal);
    this.#isCaughtUp = true;
  }

  /** Follows the tables until `signal` aborts. Never rejects. */
  async follow(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#all.map((table) => table.follow(signal)));
  }

  /** Resolves when everything that is in the topics now was applied. `follow` must be running. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#all.map((table) => table.caughtUp(signal)));
  }

  /** Resolves when the record at this offset of the control topic was applied. `follow` must be running. */
  configApplied(offset: number, signal: AbortSignal): Promise<void> {
    return this.#configTable.applied(offset, signal);
  }

  /** Resolves when the record at this offset of `replication-credentials` was applied. `follow` must be running. */
  credentialsApplied(offset: number, signal: AbortSignal): Promise<void> {
    return this.#credentialsTable.applied(offset, signal);
  }

  /** Resolves when the record at this offset of `initial-sync-requests` was applied. `follow` must be running. */
  requestApplied(offset: number, signal: AbortSignal): Promise<void> {
    return this.#requestsTable.applied(offset, signal);
  }

  /** In the order in which they are read. */
  get #all(): readonly GlobalTable[] {
    return [
      this.#statusTable,
      this.#executionsTable,
      this.#credentialsTable,
      this.#configTable,
      this.#requestsTable,
    ];
  }

  #applyStatus(record: ConsumedRecord): void {
    const { listener } = this.#options;
    const key = record.key?.toString('utf8') ?? '';
    if (listener.takeStatus?.(key, record.value, record.timestamp)) return;
    this.#orFatal(() => {
      const change = this.status.apply(key, record.value);
      if (change.kind !== 'none') listener.onStatus?.(change);
    });
  }

  #applyExecution(record: ConsumedRecord): void {
    const key = record.key?.toString('utf8') ?? '';
    this.#orFatal(() => {
      const change = this.executions.apply(key, record.value);
      if (change.kind === 'none') return;
      if (change.kind === 'execution' && change.datamartId !== null) {
        const deferral = this.executions.deferral(change.datamartId);
        for (const deferred of this.replications.deferStatuses(change.datamartId, deferral))
          this.#tell(deferred);
      }
      this.#options.listener.onExecution?.(change);
    });
  }

  #applyCredentials(record: ConsumedRecord): void {
    const key = record.key?.toString('utf8') ?? '';
    this.#orFatal(() => {
      const change = this.credentials.apply(key, record.value);
      if (change === 'changed') this.#options.listener.onCredentials?.(key);
    });
  }

  /** A record of a newer release ends the program: going on without it would undo what it says. */
  #orFatal(apply: () => void): void {
    try {
      apply();
    } catch (error) {
      if (!(error instanceof StateTooNewError)) throw error;
      this.#options.listener.onFatal(new FatalStreamsError(error.message, { cause: error }));
    }
  }

  #beginConfigs(end: number): void {
    const { logger, topics } = this.#options;
    this.status.forgetVerdictsFrom(end);
    const { changes, isMadeAnew } = this.replications.beginRestore(this.status.judgements, end);
    if (isMadeAnew)
      logger.warn(
        { topic: topics.replicationConfig, offset: end },
        'the control topic was made anew: everything on it is judged, and what it lacks is deleted',
      );
    for (const change of changes) this.#tell(change);
  }

  #applyConfig(record: ConsumedRecord): void {
    const { listener } = this.#options;
    const key = record.key?.toString('utf8') ?? '';
    const change = this.replications.apply(key, record.value, record.offset, record.timestamp);
    this.#tell(change);
    listener.onJudged?.(judgementName(key));
  }

  #tell(change: TableChange): void {
    if (change.kind !== 'unchanged') this.#options.listener.onConfig?.(change);
  }
}
