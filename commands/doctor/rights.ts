import type { Role, TopicSettings } from '../../config/settings.ts';
import type { BrokerAnswer, InspectionAdmin, TopicRightsProbe } from '../../streams/inspection-port.ts';
import type { PartitionReader } from '../../streams/kafka-port.ts';
import {
  CheckSkippedError,
  failed,
  ok,
  reasonOf,
  skipped,
  type CheckGroup,
  type Finding,
  type Prerequisite,
} from './check.ts';

const TIMEOUT_MS = 20_000;
const READ_WAIT_MS = 250;

export interface RightsCheckOptions {
  readonly topics: TopicSettings;
  /** What this instance does. */
  readonly roles: readonly Role[];
  /** Whether it keeps the snapshot. */
  readonly writesSnapshot: boolean;
  readonly groupId: string;
  readonly admin: Pick<InspectionAdmin, 'partitionCounts' | 'describeGroup'>;
  readonly reader: PartitionReader;
  readonly topicRights: TopicRightsProbe;
  readonly reachable: Prerequisite<BrokerAnswer>;
}

/** What the principal of these settings may do, as far as that shows without writing. */
export function rightsChecks(options: RightsCheckOptions): CheckGroup {
  const { topics, groupId, admin, reader, topicRights, reachable } = options;
  const names = [
    ...topics.mutations,
    topics.replicationConfig,
    topics.replicationStatus,
    topics.replicationCredentials,
    topics.initialSyncRequests,
    topics.initialSyncExecutions,
    topics.deadLetters,
  ];
  return {
    name: 'rights',
    concurrency: 1,
    checks: [
      {
        name: 'READ',
        timeoutMs: TIMEOUT_MS,
        run: async () => {
          reachable.get();
          const present = await admin.partitionCounts(names);
          if (present.size === 0) throw new CheckSkippedError('none of the topics is there');
          const rights = await topicRights([...present.keys()]);
          const refused: Finding[] = [];
          for (const topic of present.keys()) {
            // An empty log can be looked at without the right to read it.
            const isRefused = rights?.get(topic)?.mayRead === false;
            const problem = isRefused ? 'it may not be read' : await readProblem(topic, reader);
            if (problem !== null)
              refused.push(
                failed(
                  `READ ${topic}`,
                  problem,
                  `give the principal the rights READ and DESCRIBE on ${topic}`,
                ),
              );
          }
          return refused.length > 0 ? refused : [ok('READ', `each of ${present.size} topics can be read`)];
        },
      },
      {
        name: `group ${groupId}`,
        timeoutMs: TIMEOUT_MS,
        run: async () => {
          reachable.get();
          await admin.describeGroup(groupId);
          return [ok(`group ${groupId}`, 'can be described')];
        },
      },
      {
        name: 'WRITE',
        timeoutMs: TIMEOUT_MS,
        run: async () => {
          reachable.get();
          return judgeWriting(await topicRights(topicsToWrite(options)));
        },
      },
    ],
  };
}

/** By role: what an instance without these rights can't do shows only when it does it. */
function topicsToWrite({ topics, roles, writesSnapshot }: RightsCheckOptions): readonly string[] {
  const { replicationConfig, replicationCredentials, replicationStatus } = topics;
  const { initialSyncRequests, initialSyncExecutions, snapshots, deadLetters } = topics;
  const byRole: Readonly<Record<Role, readonly string[]>> = {
    replicate: [
      replicationStatus,
      replicationCredentials,
      initialSyncExecutions,
      deadLetters,
      ...(writesSnapshot ? snapshots : []),
    ],
    api: [replicationConfig, replicationCredentials, initialSyncRequests],
  };
  return [...new Set(roles.flatMap((role) => byRole[role]))];
}

function judgeWriting(rights: Awaited<ReturnType<TopicRightsProbe>>): readonly Finding[] {
  if (rights === null)
    return [
      skipped('WRITE', 'this broker tells nobody’s rights: a processor or an API that lacks one logs it'),
    ];
  if (rights.size === 0) throw new CheckSkippedError('none of the topics is there');
  const refused = [...rights].filter(([, { mayWrite }]) => !mayWrite);
  if (refused.length === 0) return [ok('WRITE', `each of ${rights.size} topics may be written`)];
  return refused.map(([topic]) =>
    failed(`WRITE ${topic}`, 'it may not be written', `give the principal the right WRITE on ${topic}`),
  );
}

/** Null when a record, or the end, can be read from where the log begins. */
async function readProblem(topic: string, reader: PartitionReader): Promise<string | null> {
  try {
    const { start, end } = await reader.bounds({ topic, partition: 0 });
    if (start < end) await reader.read({ topic, partition: 0 }, start, READ_WAIT_MS);
    return null;
  } catch (error) {
    return reasonOf(error);
  }
}
