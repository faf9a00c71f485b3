import type { BrokerAnswer } from '../../streams/inspection-port.ts';
import { checkTopics } from '../../streams/topics/create-topics.ts';
import type { TopicAdmin } from '../../streams/topics/topic-admin-port.ts';
import type { TopicNames } from '../../streams/topics/topic-plan.ts';
import type { ControlView } from '../control-view.ts';
import { failed, ok, warning, type CheckGroup, type Finding, type Prerequisite } from './check.ts';

const TIMEOUT_MS = 30_000;

export interface TopicCheckOptions {
  readonly admin: TopicAdmin;
  readonly names: TopicNames;
  readonly reachable: Prerequisite<BrokerAnswer>;
  /** The partitions that are worked on are on the status topic. */
  readonly pins: () => ControlView['pins'] | null;
}

/** The program's topics: missing, with settings that would lose data, with partitions that wait to be adopted. */
export function topicChecks({ admin, names, reachable, pins }: TopicCheckOptions): CheckGroup {
  return {
    name: 'topics',
    concurrency: 1,
    checks: [
      {
        name: 'topics',
        timeoutMs: TIMEOUT_MS,
        run: async () => {
          reachable.get();
          const pinned = pins();
          const verdict = await checkTopics(admin, names, pinned?.counts ?? null);
          const { create, refused, warnings, partitions } = verdict;
          const findings: Finding[] = [
            ...create.map(({ name, namedBy }) =>
              failed(name, "it isn't there", `\`topics create\` makes it; ${namedBy} names another`),
            ),
            ...refused.map(({ topic, setting, value, remedy }) =>
              failed(topic, `${setting} is ${value}: data would be lost`, remedy),
            ),
            ...warnings.map(({ topic, setting, value, remedy }) =>
              warning(topic, `${setting} is ${value}`, remedy),
            ),
            ...[...(pinned?.counts ?? [])].flatMap(([topic, count]) =>
              names.mutations.includes(topic) ? heldPartitions(topic, count, partitions.get(topic) ?? 0) : [],
            ),
          ];
          const named = new Set(findings.map(({ name }) => name));
          const good = [...partitions].filter(([name]) => !named.has(name));
          return [
            ...findings,
            ...good.map(([name, count]) => ok(name, `${count} partition${count === 1 ? '' : 's'}`)),
          ];
        },
      },
    ],
  };
}

function heldPartitions(topic: string, pinned: number, partitions: number): Finding[] {
  if (partitions <= pinned) return [];
  return [
    warning(
      topic,
      `partitions ${pinned} to ${partitions - 1} were added and are held: ${pinned} of ${partitions} are worked on`,
      'run `partitions adopt` once all producers know of the new partitions',
    ),
  ];
}
