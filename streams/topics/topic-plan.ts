import type { ClusterDescription, ExistingTopic, NewTopic } from './topic-admin-port.ts';

/** The topic slice of the settings. `snapshots[i]` belongs to `mutations[i]`. */
export interface TopicNames {
  readonly mutations: readonly string[];
  readonly snapshots: readonly string[];
  readonly replicationConfig: string;
  readonly replicationCredentials: string;
  readonly replicationStatus: string;
  readonly initialSyncRequests: string;
  readonly initialSyncExecutions: string;
  readonly deadLetters: string;
  readonly deadLettersRetentionHours: number;
}

export type TopicKind = 'mutations' | 'control' | 'snapshot' | 'dead_letters';

/** A topic as it should be. */
export interface DesiredTopic extends NewTopic {
  readonly kind: TopicKind;
  /** The setting that holds the topic's name; part of remedies. */
  readonly namedBy: string;
  /** Of a snapshot topic: the mutation topic that it belongs to. */
  readonly mutationTopic: string | null;
  /** `max.message.bytes` that the topic should take at least; 0 when it doesn't matter. */
  readonly minMessageBytes: number;
}

export interface TopicPlanOptions {
  /** Of mutation topics that are made. */
  readonly partitions: number;
  /** Null chooses: 3, or as many as there are brokers. */
  readonly replicationFactor: number | null;
  readonly cluster: ClusterDescription;
}

/** A setting of an existing topic that would lose data. */
export interface RefusedTopic {
  readonly topic: string;
  readonly setting: string;
  readonly value: string;
  readonly remedy: string;
}

/** What an existing topic could do better. */
export type TopicWarning = RefusedTopic;

export interface TopicVerdict {
  readonly create: readonly DesiredTopic[];
  readonly refused: readonly RefusedTopic[];
  readonly warnings: readonly TopicWarning[];
}

export const DEFAULT_MUTATION_PARTITIONS = 8;
const DEAD_LETTER_PARTITIONS = 8;
const PREFERRED_REPLICATION_FACTOR = 3;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const KIBIBYTE = 1024;
/** A snapshot record is a mutation with the header `source`; a dead letter has a dozen headers, one of them words. */
const SNAPSHOT_OVERHEAD_BYTES = 16 * KIBIBYTE;
const DEAD_LETTER_OVERHEAD_BYTES = 64 * KIBIBYTE;

/**
 * The topics that the settings name, as CONTRACT section 1 wants them. What depends on a mutation topic (partitions of
 * its snapshot, sizes) follows the existing one; a missing one is taken as it will be made. Pure.
 */
export function desiredTopics(
  names: TopicNames,
  existing: readonly ExistingTopic[],
  options: TopicPlanOptions,
): readonly DesiredTopic[] {
  const replicationFactor =
    options.replicationFactor ?? Math.min(PREFERRED_REPLICATION_FACTOR, options.cluster.brokerCount);
  const durability = replicationFactor >= 3 ? { 'min.insync.replicas': '2' } : {};
  const topic = (
    kind: TopicKind,
    namedBy: string,
    name: string,
    partitions: number,
    settings: Readonly<Record<string, string>>,
    details: Partial<Pick<DesiredTopic, 'mutationTopic' | 'minMessageBytes'>> = {},
  ): DesiredTopic => ({
    kind,
    namedBy,
    name,
    partitions,
    replicationFactor,
    settings: { ...settings, ...durability },
    mutationTopic: details.mutationTopic ?? null,
    minMessageBytes: details.minMessageBytes ?? 0,
  });
  const mutationTopics = names.mutations.map((name) => {
    const known = existing.find((candidate) => candidate.name === name);
    const maxBytes = Number(known?.settings['max.message.bytes'] ?? options.cluster.defaultMaxMessageBytes);
    return { name, partitions: known?.partitions ?? options.partitions, maxBytes };
  });
  const control = (namedBy: string, name: string): DesiredTopic =>
    topic('control', namedBy, name, 1, {
      'cleanup.policy': 'compact',
      'max.compaction.lag.ms': String(DAY_MS),
      'delete.retention.ms': String(DAY_MS),
    });
  const deadLetterBytes =
    Math.max(...mutationTopics.map(({ maxBytes }) => maxBytes)) + DEAD_LETTER_OVERHEAD_BYTES;
  return [
    ...mutationTopics.map(({ name, partitions }) =>
      topic('mutations', 'TOPICS_MUTATIONS', name, partitions, {
        'cleanup.policy': 'delete',
        'retention.ms': String(7 * DAY_MS),
      }),
    ),
    control('TOPICS_REPLICATION_CONFIG', names.replicationConfig),
    control('TOPICS_REPLICATION_CREDENTIALS', names.replicationCredentials),
    control('TOPICS_REPLICATION_STATUS', names.replicationStatus),
    control('TOPICS_INITIAL_SYNC_REQUESTS', names.initialSyncRequests),
    control('TOPICS_INITIAL_SYNC_EXECUTIONS', names.initialSyncExecutions),
    ...mutationTopics.flatMap(({ name: mutationTopic, partitions, maxBytes }, position) => {
      const name = names.snapshots[position];
      const minMessageBytes = maxBytes + SNAPSHOT_OVERHEAD_BYTES;
      const settings = {
        'cleanup.policy': 'compact',
        'max.compaction.lag.ms': String(DAY_MS),
        'delete.retention.ms': String(7 * DAY_MS),
        'max.message.bytes': String(minMessageBytes),
      };
      return name === undefined
        ? []
        : [
            topic('snapshot', 'TOPICS_SNAPSHOT', name, partitions, settings, {
              mutationTopic,
              minMessageBytes,
            }),
          ];
    }),
    topic(
      'dead_letters',
      'TOPICS_DEAD_LETTERS',
      names.deadLetters,
      DEAD_LETTER_PARTITIONS,
      {
        'cleanup.policy': 'delete',
        'retention.ms': String(names.deadLettersRetentionHours * HOUR_MS),
        'max.message.bytes': String(deadLetterBytes),
      },
      { minMessageBytes: deadLetterBytes },
    ),
  ];
}

export interface JudgeOptions {
  readonly brokerCount: number;
  /** Whether missing topics are about to be made as `desired` says; else a snapshot waits for its mutation topic. */
  readonly isMaking: boolean;
  /**
   * How many partitions of each mutation topic are worked on: after one got more, its snapshot has the pinned count until
   * `partitions adopt`, and that is no reason to refuse it. Null: that isn't known, and no snapshot's count is judged.
   */
  readonly pinnedPartitions: ReadonlyMap<string, number> | null;
}

/**
 * Compares what should be with what is: which topics to make, which existing ones are refused because they would lose
 * data, and which could do better. Pure.
 */
export function judgeTopics(
  desired: readonly DesiredTopic[],
  existing: readonly ExistingTopic[],
  options: JudgeOptions,
): TopicVerdict {
  const byName = new Map(existing.map((topic) => [topic.name, topic]));
  const create = desired.filter(({ name }) => !byName.has(name));
  const found = desired.flatMap((wanted) => {
    const actual = byName.get(wanted.name);
    return actual ? [{ wanted, actual }] : [];
  });
  const countsFor = (wanted: DesiredTopic): readonly number[] | null => {
    const mutationTopic = wanted.mutationTopic ?? '';
    if (options.isMaking) return [wanted.partitions];
    if (!options.pinnedPartitions || !byName.has(mutationTopic)) return null;
    // Fewer than pinned is another topic under the old name. An adoption grows the snapshot before it moves the pin.
    const pinned = options.pinnedPartitions.get(mutationTopic) ?? wanted.partitions;
    return [Math.min(pinned, wanted.partitions), wanted.partitions];
  };
  return {
    create,
    refused: found.flatMap(({ wanted, actual }) => refusals(wanted, actual, countsFor(wanted))),
    warnings: found.flatMap(({ wanted, actual }) => warningsOf(wanted, actual, options.brokerCount)),
  };
}

/** `snapshotPartitions`: what a snapshot topic may have; null while that isn't known. */
function refusals(
  wanted: DesiredTopic,
  actual: ExistingTopic,
  snapshotPartitions: readonly number[] | null,
): RefusedTopic[] {
  const refused: RefusedTopic[] = [];
  const policy = normalPolicy(actual.settings['cleanup.policy'] ?? null);
  const wantedPolicy = wanted.settings['cleanup.policy'] ?? '';
  if (policy !== null && policy !== wantedPolicy) {
    refused.push({
      topic: wanted.name,
      setting: 'cleanup.policy',
      value: policy,
      remedy: `set it to ${wantedPolicy}: ${alterCommand(wanted.name, 'cleanup.policy', wantedPolicy)}`,
    });
  }
  if (wanted.kind === 'control' && actual.partitions !== 1) {
    refused.push({
      topic: wanted.name,
      setting: 'partitions',
      value: String(actual.partitions),
      remedy: `it needs exactly 1, because order across keys decides: make it anew, or name another topic in ${wanted.namedBy}`,
    });
  }
  const isSnapshot = wanted.kind === 'snapshot';
  if (isSnapshot && snapshotPartitions !== null && !snapshotPartitions.includes(actual.partitions)) {
    refused.push({
      topic: wanted.name,
      setting: 'partitions',
      value: String(actual.partitions),
      remedy:
        `it needs ${snapshotPartitions[0]}, as many as its mutation topic ${wanted.mutationTopic}: ` +
        `name another topic in ${wanted.namedBy}, or delete it and let \`topics create\` and \`snapshot rebuild\` make it anew; ` +
        `where partitions were added to ${wanted.mutationTopic}, \`partitions adopt\` sees to it`,
    });
  }
  return refused;
}

function warningsOf(wanted: DesiredTopic, actual: ExistingTopic, brokerCount: number): TopicWarning[] {
  const warnings: TopicWarning[] = [];
  const maxBytes = actual.settings['max.message.bytes'] ?? null;
  if (maxBytes !== null && Number(maxBytes) < wanted.minMessageBytes) {
    warnings.push({
      topic: wanted.name,
      setting: 'max.message.bytes',
      value: maxBytes,
      remedy:
        'the largest mutations would not fit: ' +
        alterCommand(wanted.name, 'max.message.bytes', String(wanted.minMessageBytes)),
    });
  }
  // With one broker there is no other value that works.
  if (brokerCount > 1 && actual.settings['min.insync.replicas'] === '1') {
    warnings.push({
      topic: wanted.name,
      setting: 'min.insync.replicas',
      value: '1',
      remedy:
        actual.replicationFactor >= 3
          ? `what only one broker has is lost with it: ${alterCommand(wanted.name, 'min.insync.replicas', '2')}`
          : 'what only one broker has is lost with it: raise the replication factor to 3, then set it to 2',
    });
  }
  return warnings;
}

/** `compact, delete` and `delete,compact` are the same policy. */
function normalPolicy(policy: string | null): string | null {
  if (policy === null) return null;
  return policy
    .split(',')
    .map((part) => part.trim())
    .sort()
    .join(',');
}

function alterCommand(topic: string, setting: string, value: string): string {
  return `kafka-configs.sh --alter --topic ${topic} --add-config ${setting}=${value}`;
}
