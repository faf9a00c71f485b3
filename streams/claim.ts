import { parseCommitMetadata, type CommitMetadata, type OwnPosition } from './commit-metadata.ts';
import type { CommittedOffset, TopicPartition } from './kafka-port.ts';

/** Where a newly assigned partition goes on. */
export interface Claim {
  readonly at: TopicPartition;
  readonly offset: number;
  readonly logEnd: number;
  /** What the commit carried: own positions of replications, initial-sync tasks. */
  readonly carried: CommitMetadata;
  /** True when the group had no offset for the partition. */
  readonly isNew: boolean;
  /** True when the last commit is this instance's own task's: nobody owned the partition in between. */
  readonly isKept: boolean;
  /** What retention took between the commit and the log's start, `[from, to)`. */
  readonly lost: { readonly from: number; readonly to: number } | null;
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
  const carried = parseCommitMetadata(commit.metadata);
  const base = { at: { topic, partition }, logEnd, carried, isNew: commit.offset === null, lost: null };
  if (commit.offset === null) {
    return { ...base, offset: startFrom === 'latest' ? logEnd : logStart, isKept: false, problem: null };
  }
  if (commit.offset < logStart) {
    const problem = `retention has passed the committed offset: offsets ${commit.offset} to ${logStart - 1} are lost`;
    const lost = { from: commit.offset, to: logStart };
    return { ...base, offset: logStart, isKept: false, problem, lost };
  }
  if (commit.offset > logEnd) {
    const problem = `the committed offset ${commit.offset} is beyond the log’s end ${logEnd}: the topic was made anew`;
    return { ...base, offset: logStart, isKept: false, problem };
  }
  return {
    ...base,
    offset: commit.offset,
    isKept: ownTaskId !== null && carried.task === ownTaskId,
    problem: null,
  };
}

/**
 * Own positions that a commit carried, each within the log: one beyond its end is of a topic that was made anew while the
 * group's commits stayed, and goes on at the log's start as the offset does. Pure.
 */
export function withinLog(
  positions: readonly OwnPosition[],
  { offset, logStart, logEnd }: Pick<CommittedOffset, 'offset' | 'logStart' | 'logEnd'>,
): readonly OwnPosition[] {
  const isMadeAnew = offset !== null && offset > logEnd;
  return positions.map((own) => (isMadeAnew || own.position > logEnd ? { ...own, position: logStart } : own));
}
