import {
  NotConfirmedError,
  type ControlLog,
  type ControlState,
  type CredentialsSealer,
  type DestinationChecker,
  type DestinationRefusal,
  type PartitionOffsets,
} from '../../api/control-plane.ts';
import { observedState } from '../../api/replication-resource.ts';
import { ExecutionTable } from '../../processors/initial-sync/execution-table.ts';
import { RequestTable } from '../../processors/initial-sync/request-table.ts';
import type { ConfigRules } from '../../processors/replication-config.ts';
import type { ReplicationState, Verdict } from '../../processors/replication-state.ts';
import { ReplicationTable } from '../../processors/replication-table.ts';
import {
  partitionKey,
  replicationKey,
  writePartitionReport,
  writeReplicationStatus,
  type PartitionReport,
} from '../../processors/status-record.ts';
import { StatusTable } from '../../processors/status-table.ts';
import type { Clock } from '../../streams/clock.ts';
import { SyncCoordinator } from '../../streams/initial-sync/sync-coordinator.ts';
import type { Producer } from '../../streams/kafka-port.ts';
import { EngineMetrics } from '../../streams/metrics.ts';
import { TableWriter } from '../../streams/table-writer.ts';
import { silentLogger } from './silent-logger.ts';

type Fields = Readonly<Record<string, unknown>>;

const NOW_MS = 1_763_900_000_000;

/** Stands still, and whatever waits for it comes at once. */
const IMPATIENT_CLOCK: Clock = {
  now: () => NOW_MS,
  monotonic: () => 0,
  schedule: (_delayMs, task) => {
    const immediate = setImmediate(task);
    return () => {
      clearImmediate(immediate);
    };
  },
};

/** How long a succeeded initial synchronization blocks the next one. */
export const SYNC_WINDOW_MS = 168 * 3_600_000;

/** A control plane without Kafka: the real tables, and a log that they apply at once. */
export class ControlPlaneInMemory implements ControlState, ControlLog {
  isCaughtUp = true;
  readonly status = new StatusTable();
  /** What was written, in order. */
  readonly written: { readonly key: string; readonly record: Fields | null }[] = [];
  /** The sealed records, by replication. */
  readonly sealed = new Map<string, Buffer>();
  /** Runs before the next write is applied: somebody else's write that comes first. */
  interloper: (() => void) | null = null;
  /** The next writes are applied, and not seen in time. */
  isUnconfirmed = false;
  /** Null when Kafka can't be asked. */
  offsets: readonly PartitionOffsets[] | null = [];
  readonly executions = new ExecutionTable();
  readonly requests = new RequestTable();
  /** Whether a processor judges requests. */
  hasCoordinator = true;
  /** Partitions of the snapshot topic; null when it isn't there. */
  snapshotPartitions: number | null = 4;
  readonly #coordinator: SyncCoordinator;
  #requests = 0;

  readonly replications: ReplicationTable;
  #offset = -1;

  constructor(rules: ConfigRules, maxPerDatamart = 100) {
    this.replications = new ReplicationTable(rules, { maxPerDatamart });
    const shared = {
      clock: IMPATIENT_CLOCK,
      random: () => 0.5,
      logger: silentLogger,
      signal: new AbortController().signal,
    };
    this.#coordinator = new SyncCoordinator({
      ...shared,
      requests: this.requests,
      executions: this.executions,
      replications: this.replications,
      stateOf: (config) => observedState(config, this),
      writer: new TableWriter({ ...shared, topic: 'executions', producer: this.#executionsProducer() }),
      isCoordinator: () => this.hasCoordinator,
      caughtUp: () => Promise.resolve(),
      configPosition: () => this.#offset + 1,
      missedBy: () => Promise.resolve(new Map()),
      snapshotTopics: async () => [
        {
          snapshot: 'datamart-snapshot',
          snapshotPartitions: this.snapshotPartitions,
          mutations: 'datamart-mutations',
          mutationPartitions: 4,
          pinnedPartitions: 4,
        },
      ],
      windowMs: SYNC_WINDOW_MS,
      metrics: new EngineMetrics(),
    });
  }

  readonly credentials = {
    versionOf: (id: string): number | null => {
      const record = this.sealed.get(id);
      return record ? (JSON.parse(record.toString()) as { version: number }).version : null;
    },
  };

  async partitionOffsets(): Promise<readonly PartitionOffsets[]> {
    if (this.offsets === null) throw new Error('Kafka can’t be asked');
    return this.offsets;
  }

  async writeConfig(id: string, record: Fields | null): Promise<number> {
    const { interloper } = this;
    this.interloper = null;
    interloper?.();
    const offset = this.apply(id, record);
    if (this.isUnconfirmed) throw new NotConfirmedError('not seen');
    return offset;
  }

  async writeCredentials(id: string, record: Buffer | null): Promise<number> {
    if (record === null) this.sealed.delete(id);
    else this.sealed.set(id, record);
    if (this.isUnconfirmed) throw new NotConfirmedError('not seen');
    return this.sealed.size;
  }

  async writeSyncRequest(id: string, record: Fields): Promise<number> {
    this.request(id, record);
    if (this.isUnconfirmed) throw new NotConfirmedError('not seen');
    return this.#requests - 1;
  }

  /** Applies a record as if anybody had written it to the topic of requests, at this time. */
  request(id: string, record: Fields, timestamp = NOW_MS): void {
    const change = this.requests.apply(id, Buffer.from(JSON.stringify(record)), this.#requests, timestamp);
    this.#requests += 1;
    this.#coordinator.onRequest(change);
  }

  /** A processor has written this record of the executions, or one of their tasks. */
  applyExecution(key: string, value: Buffer | null): void {
    const change = this.executions.apply(key, value);
    if (change.kind === 'none') return;
    if (change.kind === 'execution' && change.datamartId !== null)
      this.replications.deferStatuses(change.datamartId, this.executions.deferral(change.datamartId));
    this.#coordinator.onExecution(change);
  }

  #executionsProducer(): Producer {
    return {
      send: async (_topic, records) => {
        for (const { key, value } of records) this.applyExecution(String(key), value);
        return [];
      },
      close: () => Promise.resolve(),
    };
  }

  /** Applies a record as if anybody had written it to the control topic. Returns its offset. */
  apply(key: string, record: Fields | null): number {
    this.#offset += 1;
    this.written.push({ key, record });
    const value = record && Buffer.from(JSON.stringify(record));
    this.replications.apply(key, value, this.#offset, 1_763_900_000_000);
    return this.#offset;
  }

  /** Puts a replication into the table, and returns its id. */
  given(record: Fields & { readonly id: string }): string {
    this.apply(record.id, record);
    const refused = this.replications.judgement(record.id)?.refused;
    if (refused) throw new Error(`the test's own record is refused: ${refused.message}`);
    return record.id;
  }

  /** What a processor reports of a replication. */
  observe(id: string, state: ReplicationState, failure: Verdict['failure'] = null, lostOffsets = 0): void {
    const config = this.replications.get(id);
    if (!config) throw new Error(`no replication ${id}`);
    const verdict = { configOffset: config.offset, credentialsVersion: null, failure };
    const { datamartId, deferredStatus } = config;
    const status = { replicationId: id, datamartId, state, verdict, lostOffsets, deferredStatus };
    const since = 1_763_900_000_000;
    this.status.apply(replicationKey(id), writeReplicationStatus({ ...status, since }, since));
  }

  report(report: PartitionReport): void {
    const { replicationId, topic, partition } = report;
    const record = writePartitionReport(report, 'host-1', 1, 1_763_900_000_000);
    this.status.apply(partitionKey(replicationId, topic, partition), record);
  }
}

/** Destinations that work, but for those of the replications that a test names. */
export class TriedDestinations implements DestinationChecker {
  readonly refusals = new Map<string, DestinationRefusal>();
  /** In order: which replication, and with which new credentials. */
  readonly tried: { readonly id: string; readonly credentials: string | null }[] = [];

  async check(
    config: { readonly id: string },
    credentials: string | null,
  ): Promise<DestinationRefusal | null> {
    this.tried.push({ id: config.id, credentials });
    return this.refusals.get(config.id) ?? null;
  }
}

/** Seals nothing, but says whose and which version it is. */
export const openSealer: CredentialsSealer = {
  seal: ({ datamartId, replicationId, version }, text) =>
    Buffer.from(
      JSON.stringify({ v: 1, replication_id: replicationId, datamart_id: datamartId, version, text }),
    ),
};
