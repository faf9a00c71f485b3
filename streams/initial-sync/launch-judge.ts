import type { SnapshotPartition } from '../../processors/initial-sync/execution-keys.ts';
import type { Execution } from '../../processors/initial-sync/execution.ts';
import type { GapFinding } from '../../processors/initial-sync/gap-finding.ts';
import { judgeLaunch } from '../../processors/initial-sync/launch-rules.ts';
import {
  pendingExecution,
  refusedExecution,
  unstartedExecution,
} from '../../processors/initial-sync/launch.ts';
import type { RequestedLaunch, RequestTable } from '../../processors/initial-sync/request-table.ts';
import { snapshotProblem, type SnapshotTopic } from '../../processors/initial-sync/snapshot-readiness.ts';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import type { ReplicationState } from '../../processors/replication-state.ts';
import type { ReplicationTable } from '../../processors/replication-table.ts';
import { backoffMs, type Random } from '../backoff.ts';
import { sleep, type Clock } from '../clock.ts';
import type { Logger } from '../logger.ts';
import type { DecidedExecutions } from './decided-executions.ts';

export interface LaunchJudgeOptions {
  readonly requests: RequestTable;
  readonly replications: ReplicationTable;
  readonly stateOf: (config: ReplicationConfig) => ReplicationState;
  /** Whether this instance judges for all. */
  readonly isCoordinator: () => boolean;
  /** Resolves when the tables hold everything that is in their topics now. */
  readonly caughtUp: () => Promise<void>;
  /** How far the control topic was read. */
  readonly configPosition: () => number;
  /** Asks the cluster for the snapshot topics, in the order of the mutation topics. */
  readonly snapshotTopics: () => Promise<readonly SnapshotTopic[]>;
  /** What each replication has missed since its last synchronization, by id, where it has. Never rejects. */
  readonly missedBy: (replications: readonly ReplicationConfig[]) => Promise<ReadonlyMap<string, GapFinding>>;
  /** How long a succeeded synchronization blocks the next one of its replications, in ms; 0 for not at all. */
  readonly windowMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Aborts when the application stops. */
  readonly signal: AbortSignal;
}

/** Judges requests that have no execution yet, each once and in their order: PENDING, or FAILED with the reason. */
export class LaunchJudge {
  readonly #options: LaunchJudgeOptions;
  readonly #executions: DecidedExecutions;
  readonly #decide: (execution: Execution) => void;
  #isJudging = false;

  /** `decide` takes a judgement into `executions`, and has it written. */
  constructor(
    options: LaunchJudgeOptions,
    executions: DecidedExecutions,
    decide: (execution: Execution) => void,
  ) {
    this.#options = options;
    this.#executions = executions;
    this.#decide = decide;
  }

  /** There may be something to judge. Never rejects: what can't be judged now is tried again. */
  async judge(): Promise<void> {
    if (this.#isJudging) return;
    this.#isJudging = true;
    const { isCoordinator, snapshotTopics, caughtUp, clock, random, logger, signal } = this.#options;
    for (let attempt = 0; !signal.aborted && isCoordinator() && this.#unjudged().length > 0;) {
      try {
        const snapshot = await snapshotTopics();
        await caughtUp();
        for (const { id, launch } of this.#unjudged()) {
          const gaps = await this.#gapsFor(launch);
          if (isCoordinator()) this.#decide(this.#judgementOf(id, launch, snapshot, gaps));
        }
        attempt = 0;
      } catch (error) {
        logger[attempt % 10 === 3 ? 'warn' : 'debug'](
          { error },
          'initial synchronizations can’t be judged yet; trying again',
        );
        await sleep(clock, backoffMs(Math.min(attempt, 6), false, random), signal);
        attempt += 1;
      }
    }
    this.#isJudging = false;
  }

  #unjudged(): readonly { readonly id: string; readonly launch: RequestedLaunch }[] {
    const { requests } = this.#options;
    const launches = [...requests.ids()].flatMap((id) => {
      const launch = requests.get(id)?.launch;
      return launch && !this.#executions.get(id) ? [{ id, launch }] : [];
    });
    return launches.sort((a, b) => a.launch.offset - b.launch.offset);
  }

  /** What any that it may be for has missed. */
  async #gapsFor({ asked }: RequestedLaunch): Promise<ReadonlyMap<string, GapFinding>> {
    const { replications, missedBy } = this.#options;
    if (asked.kind === 'refused') return new Map();
    const { datamartId, replicationIds } = asked.launch;
    const candidates = replications
      .ofDatamart(datamartId)
      .filter(({ id, status }) => status === 'ACTIVE' && (replicationIds?.includes(id) ?? true));
    return missedBy(candidates);
  }

  /** The execution's first record. */
  #judgementOf(
    id: string,
    launch: RequestedLaunch,
    snapshot: readonly SnapshotTopic[],
    gaps: ReadonlyMap<string, GapFinding>,
  ): Execution {
    const { requests, replications, stateOf, windowMs, configPosition } = this.#options;
    const { asked, requestedAt } = launch;
    if (asked.kind === 'refused') return refusedExecution(id, launch, asked.problem);
    const { datamartId } = asked.launch;
    if (requests.get(id)?.canceledFor === datamartId) return unstartedExecution(id, launch);
    const executions = [...this.#executions.ofDatamart(datamartId)];
    const situation = { replications, stateOf, executions, requestedAt, windowMs };
    const judgement = judgeLaunch(asked.launch, situation);
    if (judgement.kind === 'refused') return refusedExecution(id, launch, judgement.problem);
    const problem = snapshotProblem(snapshot);
    if (problem) return refusedExecution(id, launch, problem);
    return pendingExecution(id, launch, {
      replications: judgement.replications,
      gaps,
      active: replications.ofDatamart(datamartId).filter(({ status }) => status === 'ACTIVE'),
      partitions: partitionsOf(snapshot),
      configOffset: configPosition(),
    });
  }
}

function partitionsOf(topics: readonly SnapshotTopic[]): readonly SnapshotPartition[] {
  return topics.flatMap(({ snapshot, pinnedPartitions }) =>
    Array.from({ length: pinnedPartitions }, (_, partition) => ({ topic: snapshot, partition })),
  );
}
