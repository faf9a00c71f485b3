import { sleep, type Clock } from '../../streams/clock.ts';
import type {
  BrokerAnswer,
  GroupDescription,
  GroupMember,
  InspectionAdmin,
} from '../../streams/inspection-port.ts';
import type { PartitionReader } from '../../streams/kafka-port.ts';
import { failed, ok, warning, type CheckGroup, type Finding, type Prerequisite } from './check.ts';

const TIMEOUT_MS = 40_000;
/** Two commits of a healthy instance lie a second apart. */
const WATCHED_MS = 4_000;
const ASSIGNOR = 'RoundRobinAssigner';

export interface GroupCheckOptions {
  readonly groupId: string;
  readonly mutationTopics: readonly string[];
  readonly admin: Pick<InspectionAdmin, 'describeGroup' | 'committedOffsets' | 'partitionCounts'>;
  readonly reader: PartitionReader;
  /** How many partitions of a topic are worked on; null when that isn't known. */
  readonly pinned: (topic: string) => number | null;
  readonly clock: Clock;
  readonly reachable: Prerequisite<BrokerAnswer>;
}

/** The consumer group: its members, what they agreed on, and how far they are. */
export function groupChecks(options: GroupCheckOptions): CheckGroup {
  const { groupId, mutationTopics, admin, reachable } = options;
  return {
    name: 'group',
    concurrency: 1,
    checks: [
      {
        name: groupId,
        timeoutMs: TIMEOUT_MS,
        run: async () => {
          reachable.get();
          return judgeGroup(groupId, mutationTopics, await admin.describeGroup(groupId));
        },
      },
      ...mutationTopics.map((topic) => ({
        name: topic,
        timeoutMs: TIMEOUT_MS,
        run: async (signal: AbortSignal) => {
          reachable.get();
          return judgeLag(topic, options, signal);
        },
      })),
    ],
  };
}

function judgeGroup(groupId: string, topics: readonly string[], group: GroupDescription): Finding[] {
  const { state, members, protocol, protocolType } = group;
  if (state === 'Dead' || state === 'Empty')
    return [
      warning(
        groupId,
        state === 'Dead' ? 'the group does not exist: no instance ever ran' : 'no instance runs',
        'start an instance with the role replicate; is KAFKA_GROUP_ID right?',
      ),
    ];
  const findings: Finding[] = [];
  if (protocolType !== 'consumer' || (protocol !== '' && protocol !== ASSIGNOR))
    findings.push(
      failed(
        groupId,
        `its members agreed on ${protocolType}/${protocol}, not on this program's consumer/${ASSIGNOR}`,
        'something else uses this group: give it, or this program, a group of its own (KAFKA_GROUP_ID)',
      ),
    );
  const others = members.filter(({ topics: of }) => of !== null && !isSame(of, topics));
  if (others.length > 0)
    findings.push(
      failed(
        groupId,
        `${others.map(nameOf).join(', ')}: other topics than these settings name (${topics.join(', ')})`,
        'start all instances with the same TOPICS_MUTATIONS: partitions of a topic that one lacks may be read by nobody',
      ),
    );
  if (findings.length > 0) return findings;
  if (state !== 'Stable')
    return [
      warning(
        groupId,
        `the group rebalances (${state}), with ${members.length} members`,
        'look again in a minute; when it goes on, instances start and stop, or can’t keep their session',
      ),
    ];
  const shares = members.map((member) => `${nameOf(member)}: ${member.partitions.length} partitions`);
  return [ok(groupId, `stable, ${members.length} members (${shares.join('; ')})`)];
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((topic) => b.includes(topic));
}

function nameOf({ clientId, host }: GroupMember): string {
  return `${clientId}@${host}`;
}

interface PartitionLag {
  readonly partition: number;
  readonly committed: number | null;
  readonly lag: number;
  /** Retention took this many before they were committed. */
  readonly lost: number;
}

/** Looked at twice when there is a lag: a member that is stuck doesn't commit. */
async function judgeLag(
  topic: string,
  options: GroupCheckOptions,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const { admin, clock } = options;
  const count = (await admin.partitionCounts([topic])).get(topic) ?? 0;
  if (count === 0) return [failed(topic, "the topic isn't there", '`topics create` makes it')];
  const partitions = Math.min(count, options.pinned(topic) ?? count);
  const before = await lagsOf(topic, partitions, options);
  const behind = before.filter(({ lag }) => lag > 0);
  const findings: Finding[] = before
    .filter(({ lost }) => lost > 0)
    .map(({ partition, lost }) =>
      failed(
        topic,
        `partition ${partition}: retention took ${lost} records before they were delivered`,
        'start an initial synchronization; keep the topic longer than the longest outage (retention.ms)',
      ),
    );
  const total = before.reduce((sum, { lag }) => sum + lag, 0);
  if (behind.length === 0) return [...findings, ok(topic, `${partitions} partitions, no lag`)];
  await sleep(clock, WATCHED_MS, signal);
  const after = await lagsOf(topic, partitions, options);
  const stuck = behind.filter(({ partition, committed }) => after[partition]?.committed === committed);
  const lags = behind.map(({ partition, lag }) => `${partition}: ${lag}`).join(', ');
  return [
    ...findings,
    stuck.length > 0
      ? warning(
          topic,
          `${total} records behind (by partition ${lags}), and nothing was committed in ${WATCHED_MS / 1_000} s on ` +
            stuck.map(({ partition }) => partition).join(', '),
          'runs an instance with the role replicate? Its metric partition_blocked and its log say what a partition waits for',
        )
      : ok(topic, `${total} records behind, and going on (by partition ${lags})`),
  ];
}

async function lagsOf(
  topic: string,
  partitions: number,
  { admin, reader, groupId }: GroupCheckOptions,
): Promise<readonly PartitionLag[]> {
  const commits = await admin.committedOffsets(groupId, topic);
  return Promise.all(
    Array.from({ length: partitions }, async (_, partition) => {
      const { start, end } = await reader.bounds({ topic, partition });
      const committed = commits.get(partition)?.offset ?? null;
      // Beyond the end is a topic that was made anew, which is read from its start.
      const from = committed === null || committed > end ? start : Math.max(committed, start);
      const lost = committed === null || committed > end ? 0 : Math.max(0, start - committed);
      return { partition, committed, lag: end - from, lost };
    }),
  );
}
