import { partitionName, taskKey } from '../../processors/initial-sync/execution-keys.ts';
import type { ExecutionTable } from '../../processors/initial-sync/execution-table.ts';
import { writeTask } from '../../processors/initial-sync/task-record.ts';
import { datamartKey } from '../../schemas/mutation.ts';
import type { Clock } from '../clock.ts';
import type { TopicPartition } from '../kafka-port.ts';
import type { TableWriter } from '../table-writer.ts';
import type { SyncExecution, SyncPort, TaskReport } from './sync-port.ts';

export interface TableSyncsOptions {
  readonly executions: ExecutionTable;
  /** Of `initial-sync-executions`. */
  readonly writer: TableWriter;
  readonly clock: Clock;
  /** Names this instance in what it reports. */
  readonly instance: string;
}

/** Answers the tasks of initial synchronizations from the table of executions, and stores what they report. */
export class TableSyncs implements SyncPort {
  readonly #options: TableSyncsOptions;

  constructor(options: TableSyncsOptions) {
    this.#options = options;
  }

  *running(): Generator<SyncExecution> {
    for (const execution of this.#options.executions.unended()) {
      const { id, datamartId, status, replicationIds, active, numTasks } = execution;
      if (status !== 'RUNNING' || datamartId === null) continue;
      const replications = new Map(
        replicationIds.map((replication) => [replication, active.get(replication)?.identity ?? 0]),
      );
      yield { id, datamart: datamartKey(datamartId), replications, taskCount: numTasks };
    }
  }

  allowanceOf(executionId: string, partition: TopicPartition): number | null {
    const allowances = this.#options.executions.get(executionId)?.allowances ?? null;
    return allowances && (allowances.get(partitionName(partition)) ?? 0);
  }

  taskOf(executionId: string, partition: TopicPartition): TaskReport | null {
    return this.#options.executions.task(executionId, partition);
  }

  store(report: TaskReport): Promise<boolean> {
    const { writer, clock, instance } = this.#options;
    const record = writeTask({ ...report, owner: instance, updatedAt: clock.now() });
    return writer.write(taskKey(report.executionId, report.at), record);
  }
}
