import type { TextOutput } from './text-output.ts';

const TERMINAL_MS = 500;
const PLAIN_MS = 10_000;

export interface ProgressLineOptions {
  readonly errors: TextOutput;
  /** In ms, of a clock that only goes forward. */
  readonly now: () => number;
  /** False shows nothing but on a terminal. */
  readonly isPlainToo: boolean;
}

/** One line that is written over on a terminal, a line now and then elsewhere. */
export class ProgressLine {
  readonly #options: ProgressLineOptions;
  #shownAt: number;
  #isOpen = false;

  constructor(options: ProgressLineOptions) {
    this.#options = options;
    this.#shownAt = options.now();
  }

  /** Shows what `line` says, unless something was shown a moment ago. */
  maybeShow(line: () => string): void {
    const { errors, now, isPlainToo } = this.#options;
    const isTerminal = errors.isTTY === true;
    if (!isTerminal && !isPlainToo) return;
    if (now() - this.#shownAt < (isTerminal ? TERMINAL_MS : PLAIN_MS)) return;
    this.#shownAt = now();
    errors.write(isTerminal ? `\r${line()}\u001b[K` : `${line()}\n`);
    this.#isOpen = isTerminal;
  }

  /** Takes the line off the terminal, so that something else can be written. */
  clear(): void {
    if (this.#isOpen) this.#options.errors.write('\r\u001b[K');
    this.#isOpen = false;
  }
}

/** How much of a work is done, in words. */
export function percentOf(done: number, total: number): string {
  return `${total === 0 ? 100 : Math.floor((done * 100) / total)} %`;
}
