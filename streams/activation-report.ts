import type { SinkError, SinkErrorCode } from '../sinks/sink.ts';

/** What trying a destination came to, as the API's `details`, the CLI and `doctor` show it. Holds no secret. */
export interface ActivationReport {
  /** The reason class; `ok` when the destination can be used. */
  readonly code: SinkErrorCode | 'ok';
  readonly message: string;
  /** What to do about it: the role to grant, the command to run. Null when nothing is wrong or known to help. */
  readonly remedy: string | null;
  /** What doesn't keep the replication from being activated, but will matter. */
  readonly warnings: readonly string[];
}

/** Pure: the report of a check that ended with this failure, or with none. */
export function activationReport(failure: SinkError | null, warnings: readonly string[]): ActivationReport {
  if (failure === null) return { code: 'ok', message: 'the destination can be used', remedy: null, warnings };
  return { code: failure.code, message: failure.message, remedy: failure.remedy, warnings };
}

/** Pure: the report in lines for a terminal. */
export function activationText({ code, message, remedy, warnings }: ActivationReport): string {
  return [
    `${code}: ${message}`,
    ...(remedy === null ? [] : [`remedy: ${remedy}`]),
    ...warnings.map((warning) => `warning: ${warning}`),
  ].join('\n');
}
