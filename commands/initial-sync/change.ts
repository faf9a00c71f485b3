import { ConfigError } from '../../config/config-error.ts';
import { DONE } from '../cli-process.ts';
import { writeJson } from '../text-output.ts';
import { datamartOf, type ExecutionsSession } from './session.ts';
import { watch } from './watch.ts';

export interface StartOptions {
  /** Null for every ACTIVE one. */
  readonly replicationIds: readonly string[] | null;
  readonly maxOperations: number | null;
  /** The same id again launches nothing twice; null has one made. */
  readonly id: string | null;
  /** Goes on as `watch` does. */
  readonly watches: boolean;
}

/** `initial-sync start`: launches one, or raises the budget of the one that has the id. */
export async function runStart(options: StartOptions, session: ExecutionsSession): Promise<number> {
  const { operations, caller, datamartId, isJson, out, flagsText } = session;
  if (datamartId === null) throw new ConfigError(['--datamart-id: not given; whose replications?']);
  const { replicationIds, maxOperations, id, watches } = options;
  const body = {
    ...(id === null ? {} : { id }),
    ...(replicationIds === null ? {} : { replication_ids: replicationIds }),
    ...(maxOperations === null ? {} : { max_operations: maxOperations }),
  };
  const execution = await operations.launch(datamartId, body, caller);
  if (watches) return watch(datamartId, execution.id, session);
  if (isJson) {
    writeJson(out, execution);
    return DONE;
  }
  const ids = execution.parameters.replication_ids;
  const whose = ids.length === 0 ? 'every ACTIVE replication' : `replications ${ids.join(', ')}`;
  out.write(
    `initial synchronization ${execution.id} of ${whose}: ${execution.status}\n` +
      `next:\n  datamart-replication initial-sync watch ${execution.id}${flagsText}\n`,
  );
  return DONE;
}

/** `initial-sync cancel`: what was sent stays. */
export async function runCancel(executionId: string, session: ExecutionsSession): Promise<number> {
  const datamartId = await datamartOf(session, executionId);
  const { operations, caller, isJson, out } = session;
  const execution = await operations.cancel(datamartId, executionId, caller);
  if (isJson) writeJson(out, execution);
  else if (execution.status === 'CANCELED') out.write(`canceled ${executionId}; what was sent stays\n`);
  else out.write(`${executionId} is ${execution.status} still: it is canceled when a processor runs\n`);
  return DONE;
}
