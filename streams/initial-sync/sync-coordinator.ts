import { advance, isProgressOnly, type ExecutionFacts } from '../../processors/initial-sync/advance.ts';
import {
  executionKey,
  resultKey,
  taskKey,
  type SnapshotPartition,
} from '../../processors/initial-sync/execution-keys.ts';
import { writeExecution } from '../../processors/initial-sync/execution-record.ts';
import type { ExecutionChange, ExecutionTable } from '../../processors/initial-sync/execution-table.ts';
import { isEnded, type Execution } from '../../processors/initial-sync/execution.ts';
import { judgeLaunch, runningProblem } from '../../processors/initial-sync/launch-rules.ts';
import {
  pendingExecution,
  refusedExecution,
  unstartedExecution,
} from '../../processors/initial-sync/launch.ts';
import type {
  RequestChange,
  RequestedLaunch,
  RequestTable,
  SyncRequest,
} from '../../processors/initial-sync/request-table.ts';
import { snapshotProblem, type SnapshotTopic } from '../../processors/initial-sync/snapshot-readiness.ts';
import { writeTask, type PartOutcome } from '../../processors/initial-sync/task-record.ts';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import { identityHash } from '../../processors/replication-identity.ts';
import type { ReplicationState } from '../../processors/replication-state.ts';
import type { ReplicationTable } from '../../processors/replication-table.ts';
import { backoffMs, type Random } from '../backoff.ts';
import { sleep, type Clock } from '../clock.ts';
import type { Logger } from '../logger.ts';
import type { EngineMetrics } from '../metrics.ts';
import type { StatusWriter } from '../status-writer.ts';

/** Counts alone are written this often. */
const PROGRESS_MS = 5_000;
/** Reports of tasks come in swarms: they are looked at together. */
const REPORTS_MS = 100;

export interface SyncCoordinatorOptions {
  readonly requests: RequestTable;
  readonly executions: ExecutionTable;
  readonly replications: ReplicationTable;
  readonly stateOf: (config: ReplicationConfig) => ReplicationState;
  /** Of `initial-sync-executions`. */
  readonly writer: StatusWriter;
  /** Whether this instance owns partition 0 of the first mutation topic: then it judges and writes for all. */
  readonly isCoordinator: () => boolean;
  /** Resolves when the tables hold everything that is in their topics now. */
  readonly caughtUp: () => Promise<void>;
  /** How far the control topic was read. */
  readonly configPosition: () => number;
  /** Asks the cluster for the snapshot topics, in the order of the mutation topics. */
  readonly snapshotTopics: () => Promise<readonly SnapshotTopic[]>;
  /** How long a succeeded synchronization blocks the next one of its replications, in ms; 0 for not at all. */
  readonly windowMs: number;
  readonly metrics: EngineMetrics;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Aborts when the application stops. */
  readonly signal: AbortSignal;
}

/**
 * Judges requests of initial synchronizations, each once, and leads the executions from PENDING to their end.
 *
 * What it writes follows from the tables: the requests, what was written of the executions, what their tasks report, and
 * the replications' states. So a new coordinator does what is left to do, and two for a moment do no harm.
 */
export class SyncCoordinator {
  readonly #options: SyncCoordinatorOptions;
  /** What this instance has decided and the table doesn't hold yet. */
  readonly #decided = new Map<string, Execution>();
  /** On the monotonic clock: when a record of the execution was written last. */
  readonly #writtenAtMs = new Map<string, number>();
  /** Executions whose facts have changed, to be looked at soon. */
  readonly #changed = new Set<string>();
  #isJudging = false;

  constructor(options: SyncCoordinatorOptions) {
    this.#options = options;
  }

  /** A record of the requests was read. */
  onRequest({ kind, id, offset }: RequestChange): void {
    if (!this.#options.isCoordinator()) return;
    const isItself = this.#current(id)?.requestOffset === offset;
    if (kind === 'unusable') this.#ignore(offset, null, 'its key is no id of [A-Za-z0-9_.-]{1,64}');
    else if (kind === 'repeated' && !isItself)
      this.#ignore(offset, id, 'the id is known, and it is neither a cancel nor a higher budget');
    else if (kind === 'cancel' && !this.#isCancelable(id))
      this.#ignore(offset, id, 'there is nothing to cancel');
    else this.#coordinate(id);
  }

  /** A record of the executions was read, whoever wrote it. */
  onExecution(change: Exclude<ExecutionChange, { kind: 'none' }>): void {
    const { executions, writer, isCoordinator } = this.#options;
    const { id } = change;
    const [stored, decided] = [executions.get(id), this.#decided.get(id)];
    if (stored && decided && (isEnded(stored) || stored.revision >= decided.revision))
      this.#decided.delete(id);
    if (!isCoordinator()) return;
    if (change.isStale && change.kind === 'task') {
      const task = executions.task(id, change.at);
      if (task) void writer.write(taskKey(id, change.at), writeTask(task));
    } else if (change.isStale && stored) {
      this.#write(stored);
    }
    if (change.kind === 'task') this.#coordinateSoon(id);
    else this.#coordinate(id);
  }

  /** A replication is another, or in another state. */
  onReplication(id: string): void {
    if (!this.#options.isCoordinator()) return;
    for (const execution of this.#unended())
      if (execution.replicationIds.includes(id)) this.#coordinateSoon(execution.id);
  }

  /** This instance has become the coordinator: does what is left to do. */
  onCoordinator(): void {
    const { requests, executions } = this.#options;
    for (const id of new Set([...executions.ids(), ...requests.ids()])) this.#coordinate(id);
  }

  /** Called every second: writes how far those that run have come. */
  refresh(): void {
    const { clock, isCoordinator } = this.#options;
    if (!isCoordinator()) return;
    const now = clock.monotonic();
    for (const { id, status } of this.#unended()) {
      const isDue = now - (this.#writtenAtMs.get(id) ?? -Infinity) >= PROGRESS_MS;
      if (status === 'RUNNING' && isDue) this.#coordinate(id, 'withProgress');
    }
  }

  /** What was decided of the execution, here or by whoever wrote it. */
  #current(id: string): Execution | null {
    return this.#decided.get(id) ?? this.#options.executions.get(id);
  }

  *#unended(): Generator<Execution> {
    const ids = new Set(this.#decided.keys());
    for (const { id } of this.#options.executions.unended()) ids.add(id);
    for (const id of ids) {
      const execution = this.#current(id);
      if (execution && !isEnded(execution)) yield execution;
    }
  }

  #coordinateSoon(id: string): void {
    if (this.#changed.size === 0)
      this.#options.clock.schedule(REPORTS_MS, () => {
        const ids = [...this.#changed];
        this.#changed.clear();
        for (const changed of ids) this.#coordinate(changed);
      });
    this.#changed.add(id);
  }

  #coordinate(id: string, progress: 'withProgress' | 'withoutProgress' = 'withoutProgress'): void {
    const { requests, isCoordinator } = this.#options;
    if (!isCoordinator()) return;
    const request = requests.get(id);
    const execution = this.#current(id);
    if (!execution) {
      if (request?.launch) void this.#judge();
      else this.#remove(id);
      return;
    }
    if (isEnded(execution)) {
      if (request?.isRemoved) this.#remove(id);
      return;
    }
    const next = advance(execution, this.#factsOf(execution, request));
    if (next === execution || (progress === 'withoutProgress' && isProgressOnly(execution, next))) return;
    this.#decide(next);
  }

  /** Judges what isn't judged yet, in the order of the requests. */
  async #judge(): Promise<void> {
    if (this.#isJudging) return;
    this.#isJudging = true;
    const { isCoordinator, clock, random, logger, signal } = this.#options;
    for (let attempt = 0; !signal.aborted && isCoordinator() && this.#unjudged().length > 0;) {
      try {
        const snapshot = await this.#options.snapshotTopics();
        await this.#options.caughtUp();
        for (const { id, launch } of this.#unjudged()) this.#judgeOne(id, launch, snapshot);
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
      return launch && !this.#current(id) ? [{ id, launch }] : [];
    });
    return launches.sort((a, b) => a.launch.offset - b.launch.offset);
  }

  #judgeOne(id: string, launch: RequestedLaunch, snapshot: readonly SnapshotTopic[]): void {
    const { requests, replications, stateOf, windowMs, configPosition, isCoordinator } = this.#options;
    if (!isCoordinator()) return;
    const { request, problem, requestedAt, datamartId } = launch;
    if (!request || datamartId === null) {
      if (problem) this.#refuse(refusedExecution(id, launch, problem));
      return;
    }
    if (requests.get(id)?.canceledFor === datamartId) {
      this.#decide(unstartedExecution(id, launch));
      return;
    }
    const executions = this.#executionsOf(datamartId);
    const judgement = judgeLaunch(request, { replications, stateOf, executions, requestedAt, windowMs });
    const refused = judgement.kind === 'refused' ? judgement.problem : snapshotProblem(snapshot);
    if (refused) {
      this.#refuse(refusedExecution(id, launch, refused));
      return;
    }
    this.#decide(
      pendingExecution(id, launch, {
        replications: judgement.kind === 'accepted' ? judgement.replications : [],
        active: replications.ofDatamart(datamartId).filter(({ status }) => status === 'ACTIVE'),
        partitions: partitionsOf(snapshot),
        configOffset: configPosition(),
      }),
    );
  }

  #executionsOf(datamartId: string): readonly Execution[] {
    const { executions } = this.#options;
    const ids = new Set([...executions.ids(), ...this.#decided.keys()]);
    return [...ids].flatMap((id) => {
      const execution = this.#current(id);
      return execution?.datamartId === datamartId ? [execution] : [];
    });
  }

  #factsOf(execution: Execution, request: SyncRequest | null): ExecutionFacts {
    const { executions, clock } = this.#options;
    const { id, datamartId, replicationIds } = execution;
    return {
      tasks: executions.tasksOf(id),
      isCanceled: request !== null && request.canceledFor === datamartId,
      maxOperations: request?.maxOperations ?? null,
      endedParts: this.#endedPartsOf(execution),
      rival: runningProblem(
        replicationIds.map((replication) => ({ id: replication })),
        this.#rivalsOf(execution),
      ),
      nowMs: clock.now(),
    };
  }

  #endedPartsOf({ replicationIds, active }: Execution): ExecutionFacts['endedParts'] {
    const { replications, stateOf } = this.#options;
    const ended = new Map<string, Exclude<PartOutcome, 'succeeded'>>();
    for (const id of replicationIds) {
      const config = replications.get(id);
      if (!config || identityHash(config) !== active.get(id)?.identity) ended.set(id, 'deleted');
      else if (stateOf(config) === 'ERROR') ended.set(id, 'error');
    }
    return ended;
  }

  /** Others of the datamart that came first: two coordinators for a moment may have accepted one each. */
  *#rivalsOf({ id, datamartId, requestOffset }: Execution): Generator<Execution> {
    for (const other of this.#unended()) {
      if (other.id === id || other.datamartId !== datamartId) continue;
      if (other.status === 'RUNNING' || other.requestOffset < requestOffset) yield other;
    }
  }

  #isCancelable(id: string): boolean {
    const request = this.#options.requests.get(id);
    const execution = this.#current(id);
    if (!execution) return request?.launch !== null && request?.launch !== undefined;
    return !isEnded(execution) && execution.datamartId === request?.canceledFor;
  }

  #refuse(execution: Execution): void {
    this.#options.metrics.syncRequestsRefused.add(1, execution.error?.code ?? 'unknown');
    this.#decide(execution);
  }

  #ignore(offset: number, id: string | null, why: string): void {
    const { metrics, logger } = this.#options;
    metrics.syncRequestsRefused.add(1, 'ignored');
    logger.warn({ offset, execution_id: id }, `a request of an initial synchronization is ignored: ${why}`);
  }

  #decide(execution: Execution): void {
    const { logger } = this.#options;
    const { id, status, held, error, datamartId } = execution;
    const previous = this.#current(id);
    if (previous?.status !== status)
      logger[error ? 'warn' : 'info'](
        { execution_id: id, datamart_id: datamartId, state: status, code: error?.code },
        `initial synchronization: ${previous?.status ?? 'new'} → ${status}${error ? `: ${error.message}` : ''}`,
      );
    else if (previous.held !== held)
      logger.info({ execution_id: id, held }, 'initial synchronization: what it is held by has changed');
    this.#decided.set(id, execution);
    this.#write(execution);
  }

  #write(execution: Execution): void {
    const { writer, clock } = this.#options;
    const { id } = execution;
    const record = writeExecution(execution);
    void writer.write(executionKey(id), record);
    if (isEnded(execution)) {
      void writer.write(resultKey(id), record);
      this.#writtenAtMs.delete(id);
    } else {
      this.#writtenAtMs.set(id, clock.monotonic());
    }
  }

  /** Removes every record of an execution, or tasks that were reported after theirs was removed. */
  #remove(id: string): void {
    const { executions, writer, logger } = this.#options;
    this.#decided.delete(id);
    const keys = executions.keys(id);
    if (keys.length === 0) return;
    for (const key of keys) void writer.write(key, null);
    logger.info({ execution_id: id }, 'the records of an initial synchronization are removed');
  }
}

function partitionsOf(topics: readonly SnapshotTopic[]): readonly SnapshotPartition[] {
  return topics.flatMap(({ snapshot, pinnedPartitions }) =>
    Array.from({ length: pinnedPartitions }, (_, partition) => ({ topic: snapshot, partition })),
  );
}
