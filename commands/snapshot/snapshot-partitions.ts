import { ConfigError } from '../../config/config-error.ts';
import type { Settings } from '../../config/settings.ts';
import type { PartitionReader } from '../../streams/kafka-port.ts';
import type { LogRange } from '../../streams/partition-scan.ts';
import type { AdoptionAdmin } from '../../streams/topics/adopt-partitions.ts';
import type { ExistingTopic, TopicAdmin } from '../../streams/topics/topic-admin-port.ts';
import { MissingTopicError } from '../required-topics.ts';

/** One partition of a mutation topic, and where its snapshot lies. */
export interface SnapshotPartition {
  /** What the snapshot must hold: from the log's start to the group's commit, or to the log's end where it has none. */
  readonly mutations: LogRange;
  /** Partitions of the mutation topic that are worked on. */
  readonly partitionCount: number;
  readonly snapshotTopic: string;
}

export interface SnapshotPartitionsPorts {
  readonly admin: Pick<TopicAdmin, 'describeTopics'> & Pick<AdoptionAdmin, 'committedOffsets'>;
  readonly reader: PartitionReader;
  /** How many partitions of the topic are worked on; 0 when no instance has started yet. */
  readonly pinnedCountOf: (topic: string) => number;
}

/**
 * The partitions of the snapshot topics, of one mutation topic or of all. Rejects with what is wrong: a topic that isn't
 * there, or a snapshot with fewer partitions than are worked on.
 */
export async function snapshotPartitions(
  { kafka, topics }: Pick<Settings, 'kafka' | 'topics'>,
  only: string | null,
  { admin, reader, pinnedCountOf }: SnapshotPartitionsPorts,
): Promise<readonly SnapshotPartition[]> {
  const pairs = topics.mutations.map((mutation, i) => [mutation, topics.snapshots[i] ?? ''] as const);
  const chosen = pairs.filter(([mutation]) => only === null || mutation === only);
  if (chosen.length === 0)
    throw new ConfigError([
      `--topic ${only}: not in TOPICS_MUTATIONS, which are ${topics.mutations.join(', ')}`,
    ]);
  const found = new Map((await admin.describeTopics(chosen.flat())).map((topic) => [topic.name, topic]));
  const partitions = await Promise.all(
    chosen.map(async ([mutation, snapshot]) => {
      const pinned = pinnedCountOf(mutation);
      const { partitions: there } = existing(mutation, found);
      const partitionCount = pinned > 0 ? Math.min(pinned, there) : there;
      const { partitions: rows } = existing(snapshot, found);
      if (rows < partitionCount)
        throw new Error(
          `the snapshot topic ${snapshot} has ${rows} partitions, and ${mutation} ${partitionCount}: ` +
            'delete it and let `topics create` make it anew, or name another in TOPICS_SNAPSHOT',
        );
      const commits = await admin.committedOffsets(kafka.groupId, mutation);
      return Promise.all(
        Array.from({ length: partitionCount }, async (_, partition): Promise<SnapshotPartition> => {
          const at = { topic: mutation, partition };
          const { start, end } = await reader.bounds(at);
          const committed = commits.get(partition)?.offset ?? end;
          const mutations = { ...at, start, end: Math.min(end, Math.max(start, committed)) };
          return { mutations, partitionCount, snapshotTopic: snapshot };
        }),
      );
    }),
  );
  return partitions.flat();
}

function existing(topic: string, found: ReadonlyMap<string, ExistingTopic>): ExistingTopic {
  const known = found.get(topic);
  if (!known) throw new MissingTopicError(topic);
  return known;
}
