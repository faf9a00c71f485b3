import type { SampleMutation } from '../local/sample-mutations.ts';
import type { TextOutput } from './text-output.ts';

export interface GenerateOptions {
  /** 0: until stopped. */
  readonly count: number;
  /** Mutations a second; 0: as fast as it goes. */
  readonly rate: number;
}

/** Where mutations go. Resolves when all are stored, or were taken by the reader. */
export type MutationOutput = (mutations: readonly SampleMutation[]) => Promise<void>;

export interface GeneratePorts {
  readonly mutations: Iterator<SampleMutation, void, void>;
  readonly output: MutationOutput;
  /** Progress, for people. */
  readonly errors: TextOutput;
  /** In ms, of a clock that only goes forward. */
  readonly now: () => number;
  /** Resolves after so many ms, or when `signal` aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

const MAX_BATCH = 500;
/** With a rate, so many batches a second at least, so that it flows evenly. */
const BATCHES_PER_SECOND = 20;
const TERMINAL_PROGRESS_MS = 500;
const PLAIN_PROGRESS_MS = 10_000;

/** The `generate` command: writes sample mutations until `count` is reached or `signal` aborts. Resolves with exit code 0. */
export async function runGenerate(
  { count, rate }: GenerateOptions,
  ports: GeneratePorts,
  signal: AbortSignal,
): Promise<number> {
  const progress = new Progress(ports);
  const batchSize = rate === 0 ? MAX_BATCH : Math.min(MAX_BATCH, Math.ceil(rate / BATCHES_PER_SECOND));
  const startedAt = ports.now();
  let written = 0;
  while (!signal.aborted && (count === 0 || written < count)) {
    const size = count === 0 ? batchSize : Math.min(batchSize, count - written);
    const batch = take(ports.mutations, size);
    if (batch.length === 0) break;
    await ports.output(batch);
    written += batch.length;
    progress.maybeShow(written);
    const dueMs = rate === 0 ? 0 : startedAt + (written / rate) * 1000 - ports.now();
    if (dueMs > 0 && written !== count) await ports.sleep(dueMs, signal);
  }
  progress.end(written);
  return 0;
}

function take(mutations: Iterator<SampleMutation, void, void>, count: number): SampleMutation[] {
  const batch: SampleMutation[] = [];
  while (batch.length < count) {
    const { value, done } = mutations.next();
    if (done) break;
    batch.push(value);
  }
  return batch;
}

/** One line that is written over on a terminal, a line now and then elsewhere. */
class Progress {
  readonly #ports: Pick<GeneratePorts, 'errors' | 'now'>;
  readonly #startedAt: number;
  #shownAt: number;

  constructor(ports: Pick<GeneratePorts, 'errors' | 'now'>) {
    this.#ports = ports;
    this.#startedAt = ports.now();
    this.#shownAt = this.#startedAt;
  }

  maybeShow(written: number): void {
    const { errors, now } = this.#ports;
    const isTerminal = errors.isTTY === true;
    if (now() - this.#shownAt < (isTerminal ? TERMINAL_PROGRESS_MS : PLAIN_PROGRESS_MS)) return;
    this.#shownAt = now();
    errors.write(isTerminal ? `\r${this.#line(written)}\u001b[K` : `${this.#line(written)}\n`);
  }

  end(written: number): void {
    const { errors } = this.#ports;
    errors.write(errors.isTTY === true ? `\r${this.#line(written)}\u001b[K\n` : `${this.#line(written)}\n`);
  }

  #line(written: number): string {
    const seconds = (this.#ports.now() - this.#startedAt) / 1000;
    return `${written} mutations, ${seconds > 0 ? Math.round(written / seconds) : written}/s`;
  }
}
