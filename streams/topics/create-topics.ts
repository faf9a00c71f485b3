import type { TopicAdmin } from './topic-admin-port.ts';
import {
  desiredTopics,
  judgeTopics,
  type DesiredTopic,
  type RefusedTopic,
  type TopicKind,
  type TopicNames,
  type TopicVerdict,
  type TopicWarning,
} from './topic-plan.ts';

export interface CreateTopicsOptions {
  readonly partitions: number;
  readonly replicationFactor: number | null;
  readonly isDryRun: boolean;
}

/** What was done about one topic, or would be. */
export interface TopicResult {
  readonly topic: string;
  readonly kind: TopicKind;
  readonly result: 'created' | 'exists' | 'would create' | 'refused' | 'not created';
  readonly partitions: number;
  readonly replicationFactor: number;
  /** The settings that it was made with; those of an existing topic are left alone and not repeated. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface CreateTopicsReport {
  readonly topics: readonly TopicResult[];
  readonly refused: readonly RefusedTopic[];
  readonly warnings: readonly TopicWarning[];
}

/**
 * Makes the topics that are missing, as CONTRACT section 1 wants them, and changes none that exists; a second run does
 * nothing. When an existing topic is refused, nothing is made. Rejects when the brokers do.
 */
export async function createTopics(
  admin: TopicAdmin,
  names: TopicNames,
  options: CreateTopicsOptions,
): Promise<CreateTopicsReport> {
  const { desired, verdict, existing } = await inspectTopics(admin, names, {
    ...options,
    isMaking: true,
    pinnedPartitions: null,
  });
  const isRefused = verdict.refused.length > 0;
  if (!isRefused && !options.isDryRun && verdict.create.length > 0) await admin.createTopics(verdict.create);
  const resultOf = (topic: DesiredTopic): TopicResult['result'] => {
    if (verdict.refused.some((refusal) => refusal.topic === topic.name)) return 'refused';
    if (!verdict.create.includes(topic)) return 'exists';
    if (isRefused) return 'not created';
    return options.isDryRun ? 'would create' : 'created';
  };
  return {
    topics: desired.map((topic) => {
      const actual = existing.find(({ name }) => name === topic.name);
      return {
        topic: topic.name,
        kind: topic.kind,
        result: resultOf(topic),
        partitions: actual?.partitions ?? topic.partitions,
        replicationFactor: actual?.replicationFactor ?? topic.replicationFactor,
        settings: actual ? {} : topic.settings,
      };
    }),
    refused: verdict.refused,
    warnings: verdict.warnings,
  };
}

/** What `start` has to know of the topics before it consumes. */
export interface TopicCheck extends TopicVerdict {
  /** The partition counts of the topics that exist. */
  readonly partitions: ReadonlyMap<string, number>;
}

/**
 * Compares the cluster's topics with what the settings need, and changes nothing. `pinnedPartitions` as in
 * `JudgeOptions`. Rejects when the brokers do.
 */
export async function checkTopics(
  admin: TopicAdmin,
  names: TopicNames,
  pinnedPartitions: ReadonlyMap<string, number> | null,
): Promise<TopicCheck> {
  const { verdict, existing } = await inspectTopics(admin, names, {
    partitions: 1,
    replicationFactor: null,
    isMaking: false,
    pinnedPartitions,
  });
  return { ...verdict, partitions: new Map(existing.map(({ name, partitions }) => [name, partitions])) };
}

async function inspectTopics(
  admin: TopicAdmin,
  names: TopicNames,
  options: {
    readonly partitions: number;
    readonly replicationFactor: number | null;
    readonly isMaking: boolean;
    readonly pinnedPartitions: ReadonlyMap<string, number> | null;
  },
) {
  const cluster = await admin.describeCluster();
  const existing = await admin.describeTopics(topicNames(names));
  const desired = desiredTopics(names, existing, { ...options, cluster });
  const verdict = judgeTopics(desired, existing, { ...options, brokerCount: cluster.brokerCount });
  return { existing, desired, verdict };
}

function topicNames(names: TopicNames): string[] {
  return Object.values(names)
    .flat()
    .filter((name): name is string => typeof name === 'string');
}
