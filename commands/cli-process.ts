import type { Command } from 'commander';
import type { LogOutput } from '../config/logging.ts';
import type { AnswerSource } from './confirmation.ts';
import type { SignalSource } from './stop-signal.ts';
import type { TextOutput } from './text-output.ts';
import type { UncaughtErrorSource } from './uncaught-errors.ts';

/** What the program touches of its process; tests put their own in. */
export interface CliProcess {
  /** Without the program's own two. */
  readonly args: readonly string[];
  /** Variables are taken out of it when emulators aren't allowed. */
  readonly env: Record<string, string | undefined>;
  readonly stdout: TextOutput & LogOutput;
  readonly stderr: TextOutput & LogOutput;
  /** Where an operator can answer; absent where nobody can. */
  readonly stdin?: AnswerSource;
  readonly signals: SignalSource & UncaughtErrorSource;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
}

/** What a command line ends with. */
export const DONE = 0;
export const FAILED = 1;
export const WRONG_USAGE = 2;

export type SetExitCode = (code: number) => void;

/**
 * Makes a command, or a group of them, for commander. Loads nothing heavy: the command's own code is imported when it is
 * called, so that `--help` doesn't wait for the clouds' SDKs.
 */
export type CommandDefinition = (host: CliProcess, setExitCode: SetExitCode) => Command;
