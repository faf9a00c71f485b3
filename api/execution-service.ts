import { isEnded, type Execution } from '../processors/initial-sync/execution.ts';
import { requestedExecution } from '../processors/initial-sync/launch.ts';
import { SYNC_PROBLEM_CODES } from '../processors/initial-sync/sync-problem.ts';
import { parseSyncRecord, type LaunchRequest } from '../processors/initial-sync/sync-request.ts';
import { ApiError, notFound } from './api-error.ts';
import type { ControlLog, ControlState } from './control-plane.ts';
import type { ExecutionOperations, ExecutionPageRequest } from './execution-operations.ts';
import { executionResource, type ExecutionResource } from './execution-resource.ts';
import { launchRecordOf, refusedLaunch } from './launch-body.ts';
import { knownExecutions, launchable } from './launch-judgement.ts';
import type { Caller, Page } from './replication-operations.ts';
import { assertReady, hasWords } from './replication-reader.ts';
import { confirmed } from './replication-writer.ts';
import { SerialByKey } from './serial-by-key.ts';

export interface ExecutionServiceOptions {
  readonly state: ControlState;
  readonly log: ControlLog;
  /** As the processors' own: how long a succeeded one blocks the next of its replications, in ms. */
  readonly windowMs: number;
  /** ms since 1970 UTC. */
  readonly now: () => number;
  /** For a launch that names no id. */
  readonly newId: () => string;
  readonly sleep: (ms: number) => Promise<void>;
}

/** So long an answer waits for the processors; with the 10 s for the write itself it stays below what callers wait. */
const JUDGED_WITHIN_MS = 5_000;
const CHECK_MS = 20;

/** The operations on initial synchronizations, over this instance's tables and the topic of requests. */
export class ExecutionService implements ExecutionOperations {
  readonly #options: ExecutionServiceOptions;
  readonly #turns = new SerialByKey();

  constructor(options: ExecutionServiceOptions) {
    this.#options = options;
  }

  async list(
    datamartId: string | null,
    { firstResult, maxResults, keywords, status }: ExecutionPageRequest,
  ): Promise<Page<ExecutionResource>> {
    assertReady(this.#options.state);
    const found = [...knownExecutions(this.#options.state)]
      .filter((execution) => datamartId === null || execution.datamartId === datamartId)
      .filter((execution) => status === null || execution.status === status)
      .filter(({ id }) => hasWords(id, keywords))
      .sort(newestFirst);
    const shown = found.slice(firstResult, firstResult + maxResults);
    return { items: shown.map((execution) => this.#show(execution, 'withoutTasks')), total: found.length };
  }

  async get(datamartId: string, executionId: string): Promise<ExecutionResource> {
    return this.#show(this.#find(datamartId, executionId), 'withTasks');
  }

  /** In turn per datamart: only one may run. */
  launch(datamartId: string, body: unknown, caller: Caller): Promise<ExecutionResource> {
    return this.#turns.run(datamartId, async () => {
      const { state, log, now, newId } = this.#options;
      assertReady(state);
      const record = launchRecordOf(body, { datamartId, caller, nowMs: now(), newId });
      const parsed = parseSyncRecord(record.id, record);
      if (parsed.kind === 'refused') throw refusedLaunch(parsed.problem, now());
      if (parsed.kind === 'cancel')
        throw new Error('launching: the record of a launch was taken for a cancel');
      const known = this.#known(record.id);
      if (known) return this.#repeat(known, datamartId, parsed.launch, caller);
      this.#assertLaunchable(parsed.launch);
      await confirmed(log.writeSyncRequest(record.id, record), 'execution');
      const judged = await this.#until(record.id, () => state.executions.get(record.id) !== null);
      this.#assertNotRefused(judged);
      // By now it may have started, and is answered as it was launched.
      return this.#show({ ...judged, status: 'PENDING', startDate: null, duration: null }, 'withTasks');
    });
  }

  cancel(datamartId: string, executionId: string): Promise<ExecutionResource> {
    return this.#turns.run(datamartId, async () => {
      const { log } = this.#options;
      const { id, status } = this.#assertGoing(this.#find(datamartId, executionId));
      const record = { id, datamart_id: datamartId, cancel: true };
      await confirmed(log.writeSyncRequest(id, record), 'execution');
      const ended = await this.#until(id, (execution) => isEnded(execution));
      if (ended.status !== 'CANCELED' && isEnded(ended)) throw endedBefore(ended, status);
      return this.#show(ended, 'withTasks');
    });
  }

  /** What was launched under the id before: nothing is launched twice. */
  async #repeat(
    known: Execution,
    datamartId: string,
    { maxOperations }: LaunchRequest,
    caller: Caller,
  ): Promise<ExecutionResource> {
    if (known.datamartId !== datamartId)
      throw new ApiError('invalid_id', 'id is taken; choose another one, or leave it out', { field: 'id' });
    this.#assertNotRefused(known);
    const { log, state } = this.#options;
    const isHigher =
      maxOperations !== null && known.maxOperations !== null && maxOperations > known.maxOperations;
    if (!isHigher || isEnded(known)) return this.#show(known, 'withTasks');
    const { id, replicationIds, creationDate, userId } = known;
    const record = {
      id,
      datamart_id: datamartId,
      ...(replicationIds.length > 0 ? { replication_ids: replicationIds } : {}),
      creation_date: creationDate,
      user_id: userId ?? caller.name,
      max_operations: maxOperations,
    };
    await confirmed(log.writeSyncRequest(id, record), 'execution');
    const raised = await this.#until(
      id,
      () => (state.executions.get(id)?.maxOperations ?? 0) >= maxOperations,
    );
    return this.#show(raised, 'withTasks');
  }

  /** Nothing is written that would be refused. */
  #assertLaunchable(request: LaunchRequest): void {
    const { state, windowMs, now } = this.#options;
    launchable(request, state, { windowMs, nowMs: now() });
  }

  /** What the processors have refused is answered as what is refused here. */
  #assertNotRefused({ status, numTasks, error }: Execution): void {
    const code = SYNC_PROBLEM_CODES.find((known) => known === error?.code);
    if (status !== 'FAILED' || numTasks > 0 || !error || !code) return;
    const field = error.replicationIds.length > 0 ? 'replication_ids' : null;
    throw refusedLaunch({ ...error, code, field }, this.#options.now());
  }

  #find(datamartId: string, executionId: string): Execution {
    assertReady(this.#options.state);
    const execution = this.#known(executionId);
    if (execution?.datamartId !== datamartId) throw notFound();
    return execution;
  }

  #assertGoing(execution: Execution): Execution {
    if (!isEnded(execution)) return execution;
    throw endedBefore(execution, execution.status);
  }

  /** The execution, or the request of one that no processor has judged yet. */
  #known(id: string): Execution | null {
    const { executions, requests } = this.#options.state;
    const execution = executions.get(id);
    if (execution) return execution;
    const launch = requests.get(id)?.launch;
    return launch ? requestedExecution(id, launch) : null;
  }

  /** Waits until this instance's table shows what is awaited, or for some seconds: a processor may not be there. */
  async #until(id: string, isReached: (execution: Execution) => boolean): Promise<Execution> {
    const { now, sleep } = this.#options;
    const deadline = now() + JUDGED_WITHIN_MS;
    for (;;) {
      const execution = this.#known(id);
      if (!execution) throw notFound();
      if (isReached(execution) || now() >= deadline) return execution;
      await sleep(CHECK_MS);
    }
  }

  #show(execution: Execution, shows: 'withTasks' | 'withoutTasks'): ExecutionResource {
    const { state, now } = this.#options;
    return executionResource(execution, state.executions.tasksOf(execution.id), now(), shows);
  }
}

function endedBefore({ status }: Execution, before: Execution['status']): ApiError {
  const message =
    status === before
      ? `the execution is ${status}: it has ended`
      : `the execution came to its end: ${status}`;
  return new ApiError('execution_ended', message);
}

function newestFirst(a: Execution, b: Execution): number {
  return b.creationDate - a.creationDate || b.requestOffset - a.requestOffset;
}
