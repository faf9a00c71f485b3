import { ApiError } from '../api/api-error.ts';
import { ConfigError } from '../config/config-error.ts';
import { redactText } from '../config/redaction.ts';
import { ApiConnectionError } from './api-connection.ts';
import { FAILED, WRONG_USAGE } from './cli-process.ts';
import { reasonsOf } from './error-text.ts';
import { safeWords } from './safe-text.ts';
import type { TextOutput } from './text-output.ts';

/** What went wrong, as `--json` prints it. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly field: string | null;
  readonly hint: string | null;
  /** What else the API told. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Says what went wrong: in words, or as one JSON object a line. Returns the exit code: 2 for wrong usage, else 1. */
export function reportFailure(error: unknown, isJson: boolean, errors: TextOutput): number {
  const failure = failureOf(error);
  errors.write(isJson ? `${JSON.stringify(failure)}\n` : `${failureText(failure)}\n`);
  return error instanceof ConfigError ? WRONG_USAGE : FAILED;
}

export function failureOf(error: unknown): Failure {
  if (error instanceof ApiError) {
    const { code, message, field, hint, details } = error;
    return { code, message, field, hint, ...(Object.keys(details).length > 0 ? { details } : {}) };
  }
  if (error instanceof ApiConnectionError) {
    const { code, message, hint } = error;
    return { code, message, field: null, hint };
  }
  const code = error instanceof ConfigError ? 'wrong_usage' : 'failed';
  return { code, message: redactText(reasonsOf(error)), field: null, hint: null };
}

/** In words: what, the code and the field that scripts and searches know it by, and what to do. */
export function failureText({ code, message, field, hint }: Failure): string {
  const lines = message.split('\n').map(safeWords).join('\n');
  const isOwn = code === 'wrong_usage' || code === 'failed';
  const known = isOwn ? '' : ` (${safeWords(field === null ? code : `${code}, ${field}`)})`;
  return `${lines}${known}${hint === null ? '' : `\n  ${safeWords(hint)}`}`;
}
