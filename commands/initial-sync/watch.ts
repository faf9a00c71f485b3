import type { ExecutionResource } from '../../api/execution-resource.ts';
import { DONE, FAILED } from '../cli-process.ts';
import { ProgressLine } from '../progress-line.ts';
import { writeJson } from '../text-output.ts';
import { detailsText } from './execution-text.ts';
import { progressText, SyncPace } from './progress-text.ts';
import { datamartOf, type ExecutionsSession } from './session.ts';

const POLL_MS = 1_000;

/** `initial-sync watch`: shows how it goes until it has ended, or the command is stopped. */
export async function runWatch(executionId: string, session: ExecutionsSession): Promise<number> {
  return watch(await datamartOf(session, executionId), executionId, session);
}

/**
 * Follows an execution. Resolves with 0 when every replication got everything, and when the command is stopped: the
 * execution goes on then; else with 1. With `--json` each change is a line.
 */
export async function watch(
  datamartId: string,
  executionId: string,
  session: ExecutionsSession,
): Promise<number> {
  const { operations, isJson, out, errors, now, sleep, signal } = session;
  const progress = new ProgressLine({ errors, now, isPlainToo: true });
  const pace = new SyncPace();
  let shown = '';
  for (;;) {
    const execution = await operations.get(datamartId, executionId);
    if (isJson) {
      // Time that passes is no change.
      const text = JSON.stringify({ ...execution, duration: null });
      if (text !== shown) writeJson(out, execution);
      shown = text;
    } else {
      pace.note(now(), execution);
      progress.maybeShow(() => progressText(execution, pace));
    }
    if (isEnded(execution)) {
      progress.clear();
      if (!isJson) out.write(detailsText(execution));
      return execution.status === 'SUCCEEDED' && execution.result.total_failure === 0 ? DONE : FAILED;
    }
    await sleep(POLL_MS, signal);
    if (signal.aborted) break;
  }
  progress.clear();
  if (!isJson)
    errors.write(`it goes on without this command; \`initial-sync watch ${executionId}\` shows it again\n`);
  return DONE;
}

function isEnded({ status }: ExecutionResource): boolean {
  return status !== 'PENDING' && status !== 'RUNNING';
}
