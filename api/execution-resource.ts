import { asReported } from '../processors/initial-sync/advance.ts';
import { executionJson } from '../processors/initial-sync/execution-record.ts';
import type { Execution, ExecutionStatus } from '../processors/initial-sync/execution.ts';
import type { GapJson } from '../processors/initial-sync/gap-finding.ts';
import type { HeldBy, StoredTask, TaskStatus } from '../processors/initial-sync/task-record.ts';

/** How far one partition is. */
export interface TaskResource {
  readonly topic: string;
  readonly partition: number;
  readonly status: TaskStatus;
  readonly offset: string;
  readonly end_offset: string;
  readonly operations: number;
  readonly held: HeldBy | null;
  readonly error: string | null;
  /** ms since 1970 UTC. */
  readonly updated_at: number;
}

/** What one replication got. */
export interface PartResource {
  readonly outcome: 'succeeded' | 'error' | 'deleted' | null;
  readonly documents: Readonly<Record<string, number>>;
  readonly skipped_newer: number;
  readonly rejected: number;
  /** What it had missed when the synchronization was launched; absent: nothing. */
  readonly gap?: GapJson;
}

/** An initial synchronization as the API answers it. */
export interface ExecutionResource {
  readonly id: string;
  readonly datamart_id: string | null;
  readonly status: ExecutionStatus;
  /** ms since 1970 UTC. */
  readonly creation_date: number;
  /** Absent before it runs. */
  readonly start_date?: number;
  /** Until its end, or until now, in ms; absent before it runs. */
  readonly duration?: number;
  readonly num_tasks: number;
  readonly completed_tasks: number;
  readonly erroneous_tasks: number;
  readonly user_id: string | null;
  readonly external_model_name: string;
  readonly parameters: {
    readonly replication_ids: readonly string[];
    readonly max_operations: number | null;
  };
  readonly held: HeldBy | null;
  readonly result: {
    readonly total_failure: number;
    readonly replications: Readonly<Record<string, PartResource>>;
  };
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly replication_ids: readonly string[];
    readonly next_date?: number;
  } | null;
  /** From 0 to 1, by offsets. */
  readonly progress: number;
  /** Lists leave it out. */
  readonly tasks?: readonly TaskResource[];
}

/** The JSON of one execution with its tasks' reports, its fields in the order of the documentation. */
export function executionResource(
  execution: Execution,
  tasks: readonly StoredTask[],
  nowMs: number,
  shows: 'withTasks' | 'withoutTasks',
): ExecutionResource {
  const sorted = tasks.toSorted(
    (a, b) => a.at.topic.localeCompare(b.at.topic) || a.at.partition - b.at.partition,
  );
  return {
    ...(executionJson(asReported(execution, tasks, nowMs)) as unknown as Omit<
      ExecutionResource,
      'progress' | 'tasks'
    >),
    progress: progressOf(execution, tasks),
    ...(shows === 'withTasks' ? { tasks: sorted.map(taskResource) } : {}),
  };
}

/** Each task counts the same, and one that nobody has reported of as not begun. */
function progressOf({ status, numTasks }: Execution, tasks: readonly StoredTask[]): number {
  if (status === 'SUCCEEDED') return 1;
  if (numTasks === 0) return 0;
  let sum = 0;
  for (const { status: ofTask, fromOffset, offset, endOffset } of tasks) {
    const rows = endOffset - fromOffset;
    if (ofTask === 'SUCCEEDED' || rows <= 0) sum += 1;
    else sum += Math.min(1, Math.max(0, (offset - fromOffset) / rows));
  }
  return Math.min(1, Math.round((sum / numTasks) * 10_000) / 10_000);
}

function taskResource({
  at,
  status,
  offset,
  endOffset,
  operations,
  held,
  error,
  updatedAt,
}: StoredTask): TaskResource {
  return {
    topic: at.topic,
    partition: at.partition,
    status,
    offset: String(offset),
    end_offset: String(endOffset),
    operations,
    held,
    error,
    updated_at: updatedAt,
  };
}
