import type { ControlTopics } from '../../streams/control-tables.ts';
import type { BrokerAnswer, InspectionAdmin } from '../../streams/inspection-port.ts';
import type { ControlView } from '../control-view.ts';
import { CheckSkippedError, ok, type CheckGroup, type Prerequisite } from './check.ts';
import type { SealedHeads } from './sealed-heads.ts';

/** A control topic of thousands of replications, over a slow network. */
const TIMEOUT_MS = 60_000;

export interface TableCheckOptions {
  readonly topics: ControlTopics;
  readonly admin: Pick<InspectionAdmin, 'partitionCounts'>;
  readonly readView: (signal: AbortSignal) => Promise<ControlView>;
  readonly readSealed: (signal: AbortSignal) => Promise<SealedHeads>;
  readonly reachable: Prerequisite<BrokerAnswer>;
  readonly view: Prerequisite<ControlView>;
  readonly sealed: Prerequisite<SealedHeads>;
}

/** Reads what the later checks need: what is desired, what was observed, and under which keys credentials are sealed. */
export function tableChecks(options: TableCheckOptions): CheckGroup {
  const { topics, admin, readView, readSealed, reachable, view, sealed } = options;
  // Reading a topic that isn't there would be tried for minutes; that it isn't there says the group of topics.
  const assertThere = async (names: readonly string[]): Promise<void> => {
    reachable.get();
    const counts = await admin.partitionCounts(names);
    const missing = names.find((name) => !counts.has(name));
    if (missing !== undefined) throw new CheckSkippedError(`topic ${missing} isn't there`);
  };
  const control = [
    topics.replicationStatus,
    topics.initialSyncExecutions,
    topics.replicationConfig,
    topics.initialSyncRequests,
  ];
  return {
    name: 'tables',
    concurrency: 1,
    checks: [
      {
        name: 'replications',
        timeoutMs: TIMEOUT_MS,
        run: async (signal) => {
          await assertThere(control);
          const read = await readView(signal);
          view.set(read);
          const { size, activeCount } = read.replications;
          return [ok('replications', `${size}, of which ${activeCount} want to be ACTIVE`)];
        },
      },
      {
        name: 'sealed credentials',
        timeoutMs: TIMEOUT_MS,
        run: async (signal) => {
          await assertThere([topics.replicationCredentials]);
          const heads = await readSealed(signal);
          sealed.set(heads);
          return [ok('sealed credentials', `${heads.size} records`)];
        },
      },
    ],
  };
}
