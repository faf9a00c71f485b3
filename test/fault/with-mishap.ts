import type { ProcessorProcess } from '../support/processor-process.ts';

const MODULE = new URL('mishap.ts', import.meta.url).href;

/** What can befall a process; mishap.ts says what each is. */
export type Mishap = 'block' | 'leak' | 'clock';

/** The environment of a processor that has this mishap when it is told to. */
export function withMishap(mishap: Mishap, durationMs = 0): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--import=${MODULE}`, MISHAP: mishap, MISHAP_MS: String(durationMs) };
}

/** Makes it happen, now. */
export function trigger(processor: ProcessorProcess): void {
  process.kill(processor.pid, 'SIGUSR2');
}
