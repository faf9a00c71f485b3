import {
  NotConfirmedError,
  type ControlLog,
  type ControlState,
  type CredentialsSealer,
  type DestinationChecker,
  type DestinationRefusal,
  type PartitionOffsets,
} from '../../api/control-plane.ts';
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

type Fields = Readonly<Record<string, unknown>>;

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

  readonly replications: ReplicationTable;
  #offset = -1;

  constructor(rules: ConfigRules, maxPerDatamart = 100) {
    this.replications = new ReplicationTable(rules, { maxPerDatamart });
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
    const status = { replicationId: id, datamartId: config.datamartId, state, verdict, lostOffsets };
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
