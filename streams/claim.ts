import type { CommittedOffset, TopicPartition } from './kafka-port.ts';

/** What travels with the offset beside the task's name: parked replications (`x`) and initial-sync tasks (`s`). */
export interface CarriedPositions {
  readonly x: readonly unknown[];
  readonly s: readonly unknown[];
}

const NOTHING_CARRIED: CarriedPositions = { x: [], s: [] };

/** The metadata of a commit (PROTOCOL A1): the task that wrote it and the positions that it carries. */
export function commitMetadata(taskId: string, carried: CarriedPositions): string {
  return JSON.stringify({ task: taskId, x: carried.x, s: carried.s });
}

/** Where a newly assigned partition goes on. */
export interface Claim {
  readonly at: TopicPartition;
  readonly offset: number;
  readonly logEnd: number;
  readonly carried: CarriedPositions;
  /** True when the last commit is this instance's own task's: nobody owned the partition in between. */
  readonly isKept: boolean;
  /** What is wrong with the committed offset, in words; null when nothing is. */
  readonly problem: string | null;
}

/**
 * Decides from the group's commit where a partition goes on, and whether this instance's task may be kept. Pure.
 *
 * An offset that retention has passed goes on at the log's start, and the loss is said; one beyond the log's end means
 * that the topic was made anew, which counts as the log's start too. Never an automatic jump to the end.
 */
export function claimOf(
  commit: CommittedOffset,
  startFrom: 'earliest' | 'latest',
  ownTaskId: string | null,
): Claim {
  const { topic, partition, logStart, logEnd } = commit;
  const { task, carried } = parseMetadata(commit.metadata);
  const base = { at: { topic, partition }, logEnd, carried };
  if (commit.offset === null) {
    return { ...base, offset: startFrom === 'latest' ? logEnd : logStart, isKept: false, problem: null };
  }
  if (commit.offset < logStart) {
    const problem = `retention has passed the committed offset: offsets ${commit.offset} to ${logStart - 1} are lost`;
    return { ...base, offset: logStart, isKept: false, problem };
  }
  if (commit.offset > logEnd) {
    const problem = `the committed offset ${commit.offset} is beyond the log’s end ${logEnd}: the topic was made anew`;
    return { ...base, offset: logStart, isKept: false, problem };
  }
  return { ...base, offset: commit.offset, isKept: ownTaskId !== null && task === ownTaskId, problem: null };
}

function parseMetadata(metadata: string | null): { task: string | null; carried: CarriedPositions } {
  const none = { task: null, carried: NOTHING_CARRIED };
  if (metadata === null) return none;
  try {
    const parsed: unknown = JSON.parse(metadata);
    if (typeof parsed !== 'object' || parsed === null) return none;
    const { task, x, s } = parsed as { task?: unknown; x?: unknown; s?: unknown };
    return {
      task: typeof task === 'string' ? task : null,
      carried: { x: Array.isArray(x) ? x : [], s: Array.isArray(s) ? s : [] },
    };
  } catch {
    return none;
  }
}
