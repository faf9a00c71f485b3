import { createInterface } from 'node:readline';
import { ConfigError } from '../config/config-error.ts';
import type { TextOutput } from './text-output.ts';

/** Where the operator's answers come from; `process.stdin` is one. */
export type AnswerSource = NodeJS.ReadableStream & { readonly isTTY?: boolean };

/** Where somebody can answer. Throws a ConfigError, which ends in `hint`, where nobody can. */
export function requireTerminal(stdin: AnswerSource | undefined, hint = ''): AnswerSource {
  if (stdin?.isTTY === true) return stdin;
  throw new ConfigError([`--yes: not given, and there is no terminal to ask on${hint && `; ${hint}`}`]);
}

/** Asks on the terminal; anything but a yes, and the end of the input or of the command, is a no. */
export async function askOperator(
  question: string,
  input: AnswerSource,
  output: TextOutput,
  signal: AbortSignal,
): Promise<boolean> {
  output.write(`${question} [y/N] `);
  const lines = createInterface({ input });
  const { promise, resolve } = Promise.withResolvers<string>();
  const giveUp = (): void => {
    resolve('');
  };
  lines.once('line', resolve);
  lines.once('close', giveUp);
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    return /^y(?:es)?$/i.test((await promise).trim());
  } finally {
    signal.removeEventListener('abort', giveUp);
    lines.close();
  }
}
