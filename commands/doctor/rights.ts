import type { TopicSettings } from '../../config/settings.ts';
import type { BrokerAnswer, InspectionAdmin } from '../../streams/inspection-port.ts';
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
  readonly groupId: string;
  readonly admin: Pick<InspectionAdmin, 'partitionCounts' | 'describeGroup'>;
  readonly reader: PartitionReader;
  readonly reachable: Prerequisite<BrokerAnswer>;
}

/** What the principal of these settings may do, as far as that shows without writing. */
export function rightsChecks({ topics, groupId, admin, reader, reachable }: RightsCheckOptions): CheckGroup {
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
          const refused: Finding[] = [];
          for (const topic of present.keys()) {
            const problem = await readProblem(topic, reader);
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
        run: () =>
          Promise.resolve([
            skipped(
              'WRITE',
              'can’t be told without writing: see the table of rights; a processor that lacks one logs it',
            ),
          ]),
      },
    ],
  };
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
