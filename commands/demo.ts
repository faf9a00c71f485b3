import type { Logging } from '../config/logging.ts';
import type { Settings } from '../config/settings.ts';
import type { TextOutput } from './text-output.ts';

export interface DemoOptions {
  readonly settings: Settings;
  readonly logging: Logging;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** End after the sample has been delivered, in place of going on until Ctrl-C. */
  readonly isOnce: boolean;
  readonly out: TextOutput;
}

/** The `demo` command: the main job on an embedded Apache Kafka. Resolves with the exit code. */
export async function runDemo(_options: DemoOptions, _signal: AbortSignal): Promise<number> {
  throw new Error('the demo is not wired yet');
}
