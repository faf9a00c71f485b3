import { judgementNameOf, type StoredJudgement } from './config-judgement.ts';
import { strongerVerdict, type Verdict } from './replication-state.ts';
import {
  partitionKey,
  readStatusRecord,
  replicationKey,
  type PartitionReport,
  type ReplicationStatus,
} from './status-record.ts';

/** What a status record changed. */
export type StatusChange =
  | { readonly kind: 'none' }
  | { readonly kind: 'replication'; readonly id: string }
  | { readonly kind: 'partition'; readonly id: string }
  | { readonly kind: 'judgement'; readonly name: string };

/** The observed state of all replications, as `replication-status` tells it. */
export class StatusTable {
  readonly #statuses = new Map<string, ReplicationStatus>();
  readonly #verdicts = new Map<string, Verdict>();
  /** By replication, then key. */
  readonly #reports = new Map<string, Map<string, PartitionReport>>();
  readonly #judgements = new Map<string, StoredJudgement>();
  /** By partition, then replication. */
  readonly #onPartition = new Map<string, Map<string, PartitionReport>>();

  /** Applies one record; null deletes. Throws `StateTooNewError`. */
  apply(key: string, value: Buffer | null): StatusChange {
    if (value === null) return this.#delete(key);
    const record = readStatusRecord(key, value);
    if (record.kind === 'other') return { kind: 'none' };
    if (record.kind === 'judgement') {
      this.#judgements.set(record.name, record.judgement);
      return { kind: 'judgement', name: record.name };
    }
    if (record.kind === 'partition') {
      const { report } = record;
      const reports = this.#reports.get(report.replicationId) ?? new Map<string, PartitionReport>();
      reports.set(key, report);
      this.#reports.set(report.replicationId, reports);
      const at = `${report.topic}/${report.partition}`;
      const neighbours = this.#onPartition.get(at) ?? new Map<string, PartitionReport>();
      neighbours.set(report.replicationId, report);
      this.#onPartition.set(at, neighbours);
      return { kind: 'partition', id: report.replicationId };
    }
    const { status } = record;
    const id = status.replicationId;
    this.#statuses.set(id, status);
    const known = this.#verdicts.get(id);
    if (status.verdict)
      this.#verdicts.set(id, known ? strongerVerdict(known, status.verdict) : status.verdict);
    return { kind: 'replication', id };
  }

  /** The newest record, whatever it is worth. */
  status(id: string): ReplicationStatus | null {
    return this.#statuses.get(id) ?? null;
  }

  /** The verdict in force: that of the newest config record, and of one record's the failure. */
  verdict(id: string): Verdict | null {
    return this.#verdicts.get(id) ?? null;
  }

  /** By name: what the coordinator has written of the keys of the control topic. */
  get judgements(): ReadonlyMap<string, StoredJudgement> {
    return this.#judgements;
  }

  reports(id: string): Iterable<PartitionReport> {
    return this.#reports.get(id)?.values() ?? [];
  }

  report(id: string, topic: string, partition: number): PartitionReport | null {
    return this.#reports.get(id)?.get(partitionKey(id, topic, partition)) ?? null;
  }

  /** Replications that have a report on the partition. */
  reportedOn(topic: string, partition: number): readonly string[] {
    return [...(this.#onPartition.get(`${topic}/${partition}`)?.keys() ?? [])];
  }

  /** Ids of all replications that have any record. */
  *ids(): Generator<string> {
    yield* this.#statuses.keys();
    for (const id of this.#reports.keys()) if (!this.#statuses.has(id)) yield id;
  }

  /** Every key of the replication's records. */
  keys(id: string): readonly string[] {
    return [
      ...(this.#statuses.has(id) ? [replicationKey(id)] : []),
      ...(this.#reports.get(id)?.keys() ?? []),
    ];
  }

  /** The control topic ends here: verdicts beyond speak of a topic that is gone, and no longer outweigh newer ones. */
  forgetVerdictsFrom(end: number): void {
    for (const [id, verdict] of this.#verdicts) {
      if (verdict.configOffset < end) continue;
      const newest = this.#statuses.get(id)?.verdict;
      if (newest && newest.configOffset < end) this.#verdicts.set(id, newest);
      else this.#verdicts.delete(id);
    }
  }

  #delete(key: string): StatusChange {
    const name = judgementNameOf(key);
    if (name !== null) return this.#judgements.delete(name) ? { kind: 'judgement', name } : { kind: 'none' };
    const [, id = ''] = key.split('/');
    if (key === replicationKey(id)) {
      this.#statuses.delete(id);
      this.#verdicts.delete(id);
      return { kind: 'replication', id };
    }
    const reports = this.#reports.get(id);
    const report = reports?.get(key);
    if (!reports || !report) return { kind: 'none' };
    reports.delete(key);
    this.#onPartition.get(`${report.topic}/${report.partition}`)?.delete(id);
    if (reports.size === 0) this.#reports.delete(id);
    return { kind: 'partition', id };
  }
}
