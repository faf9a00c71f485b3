import type { ExecutionStatus } from '../../processors/initial-sync/execution.ts';
import { DONE } from '../cli-process.ts';
import { writeJson } from '../text-output.ts';
import { detailsText, listText } from './execution-text.ts';
import { allExecutions, datamartOf, type ExecutionsSession } from './session.ts';

export interface ListOptions {
  readonly keywords: string | null;
  readonly status: ExecutionStatus | null;
}

/** `initial-sync list`. Resolves with the exit code, as every command here does. */
export async function runList(options: ListOptions, session: ExecutionsSession): Promise<number> {
  const { datamartId, isJson, out, errors } = session;
  const executions = await allExecutions(session, datamartId, options);
  if (isJson) writeJson(out, executions);
  else if (executions.length > 0) out.write(listText(executions));
  else errors.write('no such initial synchronizations\n');
  return DONE;
}

/** `initial-sync get` */
export async function runGet(executionId: string, session: ExecutionsSession): Promise<number> {
  const datamartId = await datamartOf(session, executionId);
  const execution = await session.operations.get(datamartId, executionId);
  if (session.isJson) writeJson(session.out, execution);
  else session.out.write(detailsText(execution));
  return DONE;
}
