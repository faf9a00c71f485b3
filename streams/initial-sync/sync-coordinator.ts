import { advance, isProgressOnly, type ExecutionFacts } from '../../processors/initial-sync/advance.ts';
import { executionKey, resultKey, taskKey } from '../../processors/initial-sync/execution-keys.ts';
import { writeExecution } from '../../processors/initial-sync/execution-record.ts';
import type { ExecutionChange, ExecutionTable } from '../../processors/initial-sync/execution-table.ts';
import { isEnded, type Execution } from '../../processors/initial-sync/execution.ts';
import { runningProblem } from '../../processors/initial-sync/launch-rules.ts';
import type { RequestChange, SyncRequest } from '../../processors/initial-sync/request-table.ts';
import { writeTask, type PartOutcome } from '../../processors/initial-sync/task-record.ts';
import { identityHash } from '../../processors/replication-identity.ts';
import type { EngineMetrics } from '../metrics.ts';
import type { TableWriter } from '../table-writer.ts';
import { DecidedExecutions } from './decided-executions.ts';
import { LaunchJudge, type LaunchJudgeOptions } from './launch-judge.ts';

/** Counts alone are written this often. */
const PROGRESS_MS = 5_000;
/** Reports of tasks come in swarms: they are looked at together. */
const REPORTS_MS = 100;

export interface SyncCoordinatorOptions extends LaunchJudgeOptions {
  readonly executions: ExecutionTable;
  /** Of `initial-sync-executions`. */
  readonly writer: TableWriter;
  readonly metrics: EngineMetrics;
}

/**
 * Has requests of initial synchronizations judged, and leads the executions from PENDING to their end.
 *
 * What it writes follows from the tables: the requests, what was written of the executions, what their tasks report, and
 * the replications' states. So a new coordinator does what is left to do, and two for a moment do no harm.
 */
export class SyncCoordinator {
  readonly #options: SyncCoordinatorOptions;
  readonly #executions: DecidedExecutions;
  readonly #judge: LaunchJudge;
  /** On the monotonic clock: when a record of the execution was written last. */
  readonly #writtenAtMs = new Map<string, number>();
  /** Executions whose facts have changed, to be looked at soon. */
  readonly #changed = new Set<string>();

  constructor(options: SyncCoordinatorOptions) {
    this.#options = options;
    this.#executions = new DecidedExecutions(options.executions);
    this.#judge = new LaunchJudge(options, this.#executions, (execution) => {
      this.#decide(execution);
    });
  }

  /** A record of the requests was read. */
  onRequest({ kind, id, offset }: RequestChange): void {
    if (!this.#options.isCoordinator()) return;
    const isItself = this.#executions.get(id)?.requestOffset === offset;
    if (kind === 'unusable') this.#ignore(offset, null, 'its key is no id of [A-Za-z0-9_.-]{1,64}');
    else if (kind === 'repeated' && !isItself)
      this.#ignore(offset, id, 'the id is known, and it is neither a cancel nor a higher budget');
    else if (kind === 'cancel' && !this.#isCancelable(id))
      this.#ignore(offset, id, 'there is nothing to cancel');
    else this.#coordinate(id);
  }

  /** A record of the executions was read, whoever wrote it. */
  onExecution(change: Exclude<ExecutionChange, { kind: 'none' }>): void {
    const { id, isStale } = change;
    this.#executions.onStored(id);
    if (!this.#options.isCoordinator()) return;
    if (change.kind === 'task') {
      if (isStale) this.#writeTask(change);
      this.#coordinateSoon(id);
      return;
    }
    const stored = isStale ? this.#options.executions.get(id) : null;
    if (stored) this.#write(stored);
    this.#coordinate(id);
  }

  /** A replication is another, or in another state. */
  onReplication(id: string): void {
    if (!this.#options.isCoordinator()) return;
    for (const execution of this.#executions.unended())
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
    for (const { id, status } of this.#executions.unended()) {
      const isDue = now - (this.#writtenAtMs.get(id) ?? -Infinity) >= PROGRESS_MS;
      if (status === 'RUNNING' && isDue) this.#coordinate(id, 'withProgress');
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
    const execution = this.#executions.get(id);
    if (!execution) {
      if (request?.launch) void this.#judge.judge();
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

  #factsOf(execution: Execution, request: SyncRequest | null): ExecutionFacts {
    const { executions, clock } = this.#options;
    const { id, datamartId, replicationIds } = execution;
    const chosen = replicationIds.map((replication) => ({ id: replication }));
    return {
      tasks: executions.tasksOf(id),
      isCanceled: request !== null && request.canceledFor === datamartId,
      maxOperations: request?.maxOperations ?? null,
      endedParts: this.#endedPartsOf(execution),
      rival: runningProblem(chosen, this.#rivalsOf(execution)),
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
    for (const other of this.#executions.unended()) {
      if (other.id === id || other.datamartId !== datamartId) continue;
      if (other.status === 'RUNNING' || other.requestOffset < requestOffset) yield other;
    }
  }

  #isCancelable(id: string): boolean {
    const request = this.#options.requests.get(id);
    const execution = this.#executions.get(id);
    if (!request) return false;
    if (!execution) return request.launch !== null;
    return !isEnded(execution) && execution.datamartId === request.canceledFor;
  }

  #ignore(offset: number, id: string | null, why: string): void {
    const { metrics, logger } = this.#options;
    metrics.syncRequestsRefused.add(1, 'ignored');
    logger.warn({ offset, execution_id: id }, `a request of an initial synchronization is ignored: ${why}`);
  }

  #decide(execution: Execution): void {
    const { metrics } = this.#options;
    const { id, error } = execution;
    const previous = this.#executions.get(id);
    if (!previous && error) metrics.syncRequestsRefused.add(1, error.code);
    this.#log(previous, execution);
    this.#executions.decide(execution);
    this.#write(execution);
  }

  #log(previous: Execution | null, { id, datamartId, status, held, error }: Execution): void {
    const { logger } = this.#options;
    const before = previous?.status ?? 'new';
    if (before !== status)
      logger[error ? 'warn' : 'info'](
        { execution_id: id, datamart_id: datamartId, state: status, code: error?.code },
        `initial synchronization: ${before} → ${status}${error ? `: ${error.message}` : ''}`,
      );
    else if (previous?.held !== held)
      logger.info(
        { execution_id: id, held },
        `initial synchronization: ${held === null ? 'goes on' : `held by ${held}`}`,
      );
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

  /** A late record says less than what is known: the topic must not end with it. */
  #writeTask({ id, at }: Extract<ExecutionChange, { kind: 'task' }>): void {
    const { executions, writer } = this.#options;
    const task = executions.task(id, at);
    if (task) void writer.write(taskKey(id, at), writeTask(task));
  }

  /** Removes every record of an execution, or tasks that were reported after theirs was removed. */
  #remove(id: string): void {
    const { executions, writer, logger } = this.#options;
    this.#executions.forget(id);
    const keys = executions.keys(id);
    if (keys.length === 0) return;
    for (const key of keys) void writer.write(key, null);
    logger.info({ execution_id: id }, 'the records of an initial synchronization are removed');
  }
}
