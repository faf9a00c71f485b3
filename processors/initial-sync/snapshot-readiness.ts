import type { SyncProblem } from './sync-problem.ts';

/** A mutation topic with its snapshot topic, as the cluster has them. */
export interface SnapshotTopic {
  readonly snapshot: string;
  /** Null when it isn't there. */
  readonly snapshotPartitions: number | null;
  readonly mutations: string;
  readonly mutationPartitions: number;
  /** How many partitions of the mutation topic are worked on. */
  readonly pinnedPartitions: number;
}

/** Why the snapshot can't be sent from now, or null: a whole one has as many partitions as its mutation topic. Pure. */
export function snapshotProblem(topics: readonly SnapshotTopic[]): SyncProblem | null {
  for (const topic of topics) {
    const message = problemOf(topic);
    if (message !== null)
      return { code: 'snapshot_stale', field: null, message, replicationIds: [], nextDate: null };
  }
  return null;
}

function problemOf(topic: SnapshotTopic): string | null {
  const { snapshot, snapshotPartitions, mutations, mutationPartitions, pinnedPartitions } = topic;
  if (snapshotPartitions === null)
    return `the snapshot topic ${snapshot} isn't there; \`topics create\` makes it, \`snapshot rebuild\` fills it`;
  if (mutationPartitions > pinnedPartitions)
    return (
      `${mutations} has ${mutationPartitions} partitions, and ${pinnedPartitions} are worked on: ` +
      'the snapshot lacks what comes in the others until `partitions adopt`'
    );
  if (snapshotPartitions !== pinnedPartitions)
    return (
      `the snapshot topic ${snapshot} has ${snapshotPartitions} partitions, its mutation topic ${pinnedPartitions}; ` +
      '`snapshot rebuild` makes one that fits'
    );
  return null;
}
