import { backoffMs, type Random } from './backoff.ts';
import { sleep, type Clock } from './clock.ts';
import type { Producer } from './kafka-port.ts';
import type { Logger } from './logger.ts';

export interface TableWriterOptions {
  readonly topic: string;
  readonly producer: Producer;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Aborts when nothing is to be written any more. */
  readonly signal: AbortSignal;
}

/**
 * Writes records of a compacted topic, one produce at a time, so that a key's last record is the last one written. Of
 * several waiting records of one key only the newest is sent.
 */
export class TableWriter {
  readonly #options: TableWriterOptions;
  #waiting = new Map<string, Buffer | null>();
  #written = Promise.withResolvers<boolean>();
  #isWriting = false;

  constructor(options: TableWriterOptions) {
    this.#options = options;
  }

  /** Resolves when the record, or a newer one of its key, is stored; with false when that is given up. */
  write(key: string, value: Buffer | null): Promise<boolean> {
    this.#waiting.set(key, value);
    const { promise } = this.#written;
    if (!this.#isWriting) {
      this.#isWriting = true;
      queueMicrotask(() => void this.#run());
    }
    return promise;
  }

  async #run(): Promise<void> {
    const { topic, producer, clock, random, logger, signal } = this.#options;
    while (this.#waiting.size > 0) {
      const records = [...this.#waiting].map(([key, value]) => ({
        key: Buffer.from(key),
        value,
        headers: {},
      }));
      const written = this.#written;
      this.#waiting = new Map();
      this.#written = Promise.withResolvers();
      for (let attempt = 0; ; attempt += 1) {
        if (signal.aborted) {
          written.resolve(false);
          this.#written.resolve(false);
          return;
        }
        try {
          await producer.send(topic, records);
          break;
        } catch (error) {
          const log = attempt % 20 === 3 ? 'warn' : 'debug';
          logger[log]({ topic, error }, 'status records can’t be written yet');
          await sleep(clock, backoffMs(Math.min(attempt, 5), false, random), signal);
        }
      }
      written.resolve(true);
    }
    this.#isWriting = false;
  }
}
