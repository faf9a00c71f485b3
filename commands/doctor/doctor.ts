import type { Clock } from '../../streams/clock.ts';
import { ProgressLine } from '../progress-line.ts';
import type { TextOutput } from '../text-output.ts';
import type { CheckGroup } from './check.ts';
import { countsOf, reportJson, reportText } from './report.ts';
import { runChecks, type GroupReport } from './run-checks.ts';

export interface DoctorOptions {
  readonly isJson: boolean;
  /** Colours only where somebody sees them. */
  readonly hasColours: boolean;
}

export interface DoctorPorts {
  /** Those that can be made from the settings alone. */
  readonly first: readonly CheckGroup[];
  /** Those that depend on what the first ones found: one for each replication, say. */
  readonly then: () => readonly CheckGroup[];
  readonly clock: Clock;
  readonly out: TextOutput;
  readonly errors: TextOutput;
}

/**
 * The `doctor` command: makes all checks and reports them, with what to do. Changes nothing. Resolves with the exit code:
 * 1 when a check failed.
 */
export async function runDoctor(
  { isJson, hasColours }: DoctorOptions,
  { first, then, clock, out, errors }: DoctorPorts,
  signal: AbortSignal,
): Promise<number> {
  const progress = new ProgressLine({ errors, now: () => clock.monotonic(), isPlainToo: false });
  const onCheck = (group: string, check: string): void => {
    progress.maybeShow(() => `checking ${group}: ${check}`);
  };
  const reports: GroupReport[] = [...(await runChecks(first, { clock, onCheck }, signal))];
  reports.push(...(await runChecks(then(), { clock, onCheck }, signal)));
  progress.clear();
  out.write(isJson ? `${JSON.stringify(reportJson(reports))}\n` : reportText(reports, hasColours));
  if (signal.aborted) errors.write('stopped before all checks were made\n');
  return countsOf(reports).failed > 0 ? 1 : 0;
}
