import { partitionKey, writePartitionReport, type PartitionReport } from '../processors/status-record.ts';
import type { StatusTable } from '../processors/status-table.ts';
import type { Clock } from './clock.ts';
import type { StreamTask } from './stream-task.ts';
import type { TableWriter } from './table-writer.ts';

/** A report whose offset alone has changed is at most so old. */
const REFRESH_MS = 5_000;

export interface PartitionReportsOptions {
  readonly status: StatusTable;
  readonly writer: TableWriter;
  readonly clock: Clock;
  /** Names this instance. */
  readonly owner: string;
  readonly generation: () => number;
}

/**
 * Tells in `replication-status` how each owned partition stands for the replications that don't just follow the group's
 * offset. Reports are for people, the API and metrics: nothing starts from them but where the commit's metadata is gone.
 */
export class PartitionReports {
  readonly #options: PartitionReportsOptions;
  readonly #written = new Map<string, { readonly report: PartitionReport; readonly atMs: number }>();

  constructor(options: PartitionReportsOptions) {
    this.#options = options;
  }

  /** Writes what changed since the last call, and takes back what no longer holds. */
  refresh(tasks: Iterable<StreamTask>): void {
    const { status, clock } = this.#options;
    const now = clock.monotonic();
    for (const task of tasks) {
      const { topic, partition } = task.scope;
      const reports = task.replications.reports();
      const reported = new Set(reports.map(({ replicationId }) => replicationId));
      for (const report of reports) {
        const known = this.#written.get(partitionKey(report.replicationId, topic, partition));
        const isSame = known && isSameReport(known.report, report);
        if (isSame && (known.report.offset === report.offset || now - known.atMs < REFRESH_MS)) continue;
        void this.store(report);
      }
      for (const id of status.reportedOn(topic, partition))
        if (!reported.has(id)) this.#takeBack(id, topic, partition);
    }
  }

  /** Resolves when the report is durable; with false when that is given up. */
  store(report: PartitionReport): Promise<boolean> {
    const { writer, clock, owner, generation } = this.#options;
    const key = partitionKey(report.replicationId, report.topic, report.partition);
    this.#written.set(key, { report, atMs: clock.monotonic() });
    return writer.write(key, writePartitionReport(report, owner, generation(), clock.now()));
  }

  #takeBack(id: string, topic: string, partition: number): void {
    const key = partitionKey(id, topic, partition);
    this.#written.delete(key);
    void this.#options.writer.write(key, null);
  }
}

function isSameReport(a: PartitionReport, b: PartitionReport): boolean {
  return (
    a.state === b.state &&
    a.lostOffsets === b.lostOffsets &&
    a.gap?.from === b.gap?.from &&
    a.gap?.to === b.gap?.to
  );
}
