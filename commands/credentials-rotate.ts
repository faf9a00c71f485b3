import type { RotationResult } from '../streams/credentials-rotation.ts';
import { RestoreFailedError } from '../streams/errors.ts';
import type { ProgressLine } from './progress-line.ts';
import { safeName, safeText } from './safe-text.ts';
import { textTable, type TextOutput } from './text-output.ts';

export interface CredentialsRotateOptions {
  readonly isDryRun: boolean;
  readonly isJson: boolean;
}

export interface CredentialsRotatePorts {
  /** The id of CREDENTIALS_KEY. */
  readonly kekId: string;
  /** As `CredentialsRotation`. */
  readonly rotation: {
    plan(signal: AbortSignal): Promise<RotationResult>;
    rotate(signal: AbortSignal): Promise<RotationResult>;
  };
  readonly progress: ProgressLine;
  readonly out: TextOutput;
  readonly errors: TextOutput;
}

/**
 * The `credentials rotate` command: re-wraps sealed credentials under CREDENTIALS_KEY and says how many. Resolves with
 * the exit code: 1 when some can't be opened, 0 otherwise, also when it was stopped.
 */
export async function runCredentialsRotate(
  { isDryRun, isJson }: CredentialsRotateOptions,
  { kekId, rotation, progress, out, errors }: CredentialsRotatePorts,
  signal: AbortSignal,
): Promise<number> {
  let result: RotationResult;
  try {
    result = isDryRun ? await rotation.plan(signal) : await rotation.rotate(signal);
  } catch (error) {
    if (!signal.aborted || !(error instanceof RestoreFailedError)) throw error;
    errors.write('stopped while reading; nothing was changed\n');
    return 0;
  } finally {
    progress.clear();
  }
  out.write(
    isJson ? `${JSON.stringify(jsonOf(result, kekId, isDryRun))}\n` : textOf(result, kekId, isDryRun),
  );
  if (result.left > 0) errors.write(`stopped: ${result.left} are left; run it again\n`);
  return result.unopened.length > 0 ? 1 : 0;
}

function jsonOf(
  { rewrapped, current, unopened, left }: RotationResult,
  kekId: string,
  isDryRun: boolean,
): object {
  return {
    status: unopened.length > 0 ? 'error' : 'ok',
    dry_run: isDryRun,
    kek_id: kekId,
    rewrapped,
    current,
    left,
    unopened: unopened.map((each) => ({
      replication_id: safeName(each.replicationId),
      kek_id: each.kekId,
      code: each.code,
      message: safeText(each.message),
    })),
  };
}

function textOf({ rewrapped, current, unopened }: RotationResult, kekId: string, isDryRun: boolean): string {
  const sums =
    `${isDryRun ? 'would be re-wrapped' : 're-wrapped'} under the key ${kekId}: ${rewrapped}\n` +
    `under it already: ${current}\n` +
    `can't be opened: ${unopened.length}\n`;
  if (unopened.length === 0) return sums;
  const rows = unopened.map((each) => [
    safeName(each.replicationId),
    each.kekId ?? '-',
    each.code,
    safeText(each.message),
  ]);
  const keys = new Set(unopened.flatMap((each) => each.kekId ?? []));
  keys.delete(kekId);
  const remedy =
    keys.size > 0
      ? `put the keys with the ids ${[...keys].join(', ')} into CREDENTIALS_OLD_KEYS, or upload these credentials again\n`
      : 'upload these credentials again\n';
  return `${sums}\n${textTable(['replication', 'key', 'code', 'why'], rows)}${remedy}`;
}
