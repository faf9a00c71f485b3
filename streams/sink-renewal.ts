import type { SinkError } from '../sinks/sink.ts';
import { backoffMs, type Random } from './backoff.ts';
import { sleep, type Clock } from './clock.ts';
import type { Logger } from './logger.ts';
import type { OpenedSink } from './opened-sink.ts';
import { RebuildLimit } from './rebuild-limit.ts';

/** What a renewal does with the sinks of its destination. */
export interface RenewableSinks {
  /** The sink that serves, if it was opened with other credentials or options than those of now. */
  outdated(): OpenedSink | null;
  /** Resolves when nothing is being opened. */
  untilSettled(): Promise<void>;
  /** Whether messages of the sink look as they should by now. */
  hasPresentOptions(sink: OpenedSink): boolean;
  /** Whether the credentials turn out to be those of the sink after all; it isn't outdated then. */
  confirm(sink: OpenedSink): Promise<boolean>;
  /** Opens and checks another with what is known now, and lets it take over. Resolves with why it can't be, or null. */
  replace(): Promise<{ readonly failure: SinkError | null; readonly isLatest: boolean }>;
  /** Takes the sink that serves out of service: the next attempt opens another. */
  retire(): void;
}

export interface SinkRenewalOptions {
  readonly replicationId: string;
  readonly sinks: RenewableSinks;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Aborts when the destination is closed. */
  readonly signal: AbortSignal;
}

/**
 * Brings the sink that serves up to date after credentials or options have changed.
 *
 * Other credentials are tried on another sink beside it, again and again with backoff while they don't work. Other
 * options take it out of service. Clients that are made anew all the time are damped (`RebuildLimit`).
 */
export class SinkRenewal {
  readonly #options: SinkRenewalOptions;
  readonly #limit = new RebuildLimit();
  #running: Promise<SinkError | null> | null = null;
  #failures = 0;
  #cancelRetry: (() => void) | null = null;

  constructor(options: SinkRenewalOptions) {
    this.#options = options;
  }

  /** A sink was opened. */
  noteOpened(): void {
    this.#limit.note(this.#options.clock.monotonic());
  }

  /** Something has changed. Single flight, and no change is lost. Resolves with why the new credentials don't work. */
  start(): Promise<SinkError | null> {
    this.#failures = 0;
    return this.#run();
  }

  /** Starts nothing more. Resolves when what has begun is over. */
  async close(): Promise<void> {
    this.#cancelRetry?.();
    await this.#running;
  }

  #run(): Promise<SinkError | null> {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.#running ??= this.#renew();
    return this.#running;
  }

  async #renew(): Promise<SinkError | null> {
    const { sinks, clock, signal } = this.#options;
    try {
      for (;;) {
        // What is being opened may have begun before the change.
        await sinks.untilSettled();
        const serving = sinks.outdated();
        if (!serving) return null;
        const waitMs = this.#limit.waitMs(clock.monotonic());
        if (waitMs > 0) await sleep(clock, waitMs, signal);
        else if (!sinks.hasPresentOptions(serving)) sinks.retire();
        else if (!(await sinks.confirm(serving))) {
          const { failure, isLatest } = await sinks.replace();
          if (!failure) this.#succeeded();
          else if (isLatest) {
            if (sinks.outdated()) this.#failed(failure);
            return failure;
          }
        }
      }
    } finally {
      // In the step that looked for changes last: the next one begins anew.
      this.#running = null;
    }
  }

  #succeeded(): void {
    const { logger, replicationId } = this.#options;
    this.#failures = 0;
    logger.info({ replication_id: replicationId }, 'the new credentials work and are used from now on');
  }

  #failed(failure: SinkError): void {
    const { clock, random, logger, replicationId } = this.#options;
    const { code, remedy, message } = failure;
    if (this.#failures === 0) {
      const fields = { replication_id: replicationId, code, remedy, error: failure };
      logger.warn(fields, `the new credentials don't work, those before stay in use: ${message}`);
    }
    const delayMs = backoffMs(this.#failures, true, random);
    this.#failures += 1;
    this.#cancelRetry?.();
    this.#cancelRetry = clock.schedule(delayMs, () => {
      void this.#run();
    });
  }
}
