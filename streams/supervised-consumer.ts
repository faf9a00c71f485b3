import { backoffMs, type Random } from './backoff.ts';
import { sleep, type Clock } from './clock.ts';
import { FatalStreamsError } from './errors.ts';
import type {
  CommittedOffset,
  ConsumerCrash,
  Generation,
  GroupConsumer,
  GroupListener,
  OffsetToCommit,
  TopicPartition,
} from './kafka-port.ts';
import type { Logger } from './logger.ts';
import type { EngineMetrics } from './metrics.ts';

const BUDGET = 5;
const BUDGET_MS = 10 * 60_000;
/** Nothing of a member for so long, not even an answered heartbeat or an empty fetch: longer than any rebalance. */
const STANDSTILL_MS = 90_000;
const CHECK_MS = 1_000;

export interface SupervisedConsumerOptions {
  readonly make: () => GroupConsumer;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: EngineMetrics;
  /** The consumer has ended, and another one follows: nothing may start until it has joined. */
  readonly onRestart: () => void;
  /** It can't be helped by another one, or by no further one. */
  readonly onFatal: (error: FatalStreamsError) => void;
}

/**
 * A membership that outlives its consumers: one that has crashed for good, or stands still, is replaced by a new one, five
 * times in ten minutes at most. What the old one still says isn't heard any more.
 */
export class SupervisedConsumer implements GroupConsumer {
  readonly #options: SupervisedConsumerOptions;
  readonly #stopping = new AbortController();
  readonly #restartsAtMs: number[] = [];
  #current: GroupConsumer;
  #listener: GroupListener | null = null;
  #lastSignMs: number;
  #isRestarting = false;

  constructor(options: SupervisedConsumerOptions) {
    this.#options = options;
    this.#current = options.make();
    this.#lastSignMs = options.clock.monotonic();
  }

  async start(listener: GroupListener): Promise<void> {
    this.#listener = listener;
    await this.#startCurrent(listener);
    void this.#watch();
  }

  resumeAt(partition: TopicPartition, offset: number): void {
    this.#current.resumeAt(partition, offset);
  }

  pause(partition: TopicPartition): void {
    this.#current.pause(partition);
  }

  resume(partition: TopicPartition): void {
    this.#current.resume(partition);
  }

  committed(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[]> {
    return this.#current.committed(partitions);
  }

  commit(offsets: readonly OffsetToCommit[], generation: Generation): Promise<void> {
    return this.#current.commit(offsets, generation);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#current.stop();
  }

  #startCurrent(listener: GroupListener): Promise<void> {
    const consumer = this.#current;
    const isCurrent = (): boolean => this.#current === consumer && !this.#isRestarting;
    const sign = (): void => {
      this.#lastSignMs = this.#options.clock.monotonic();
    };
    sign();
    return consumer.start({
      onAssigned: (partitions, generation) => {
        sign();
        if (isCurrent()) listener.onAssigned(partitions, generation);
      },
      onRebalancing: () => {
        if (isCurrent()) listener.onRebalancing();
      },
      beforeRejoin: () => (isCurrent() ? listener.beforeRejoin() : Promise.resolve()),
      onProven: (sentAt) => {
        sign();
        if (isCurrent()) listener.onProven(sentAt);
      },
      onBatch: (batch) => {
        sign();
        if (isCurrent()) listener.onBatch(batch);
      },
      onFetched: sign,
      onCrash: (crash) => {
        if (isCurrent()) void this.#onCrash(crash);
      },
    });
  }

  async #onCrash({ error, isHopeless }: ConsumerCrash): Promise<void> {
    if (isHopeless) this.#options.onFatal(fatal('the consumer stopped', error));
    else await this.#restart('the consumer stopped', error);
  }

  async #watch(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(clock, CHECK_MS, signal);
      if (signal.aborted || this.#isRestarting) continue;
      const silence = clock.monotonic() - this.#lastSignMs;
      if (silence >= STANDSTILL_MS) await this.#restart('the consumer stands still', null);
    }
  }

  async #restart(reason: string, cause: Error | null): Promise<void> {
    if (this.#isRestarting || this.#stopping.signal.aborted) return;
    this.#isRestarting = true;
    const { make, clock, random, logger, metrics, onRestart, onFatal } = this.#options;
    for (let attempt = 0; !this.#stopping.signal.aborted; attempt += 1) {
      if (!this.#spendBudget()) {
        onFatal(fatal(`${reason}; ${BUDGET} restarts in ten minutes did not help`, cause));
        return;
      }
      metrics.restarts.add(1);
      logger.warn({ error: cause, restarts: this.#restartsAtMs.length }, `${reason}: it is started anew`);
      onRestart();
      // It may hang on a broker that doesn't answer; nobody listens to it any more.
      void this.#current.stop().catch(() => undefined);
      await sleep(clock, backoffMs(attempt + 2, false, random), this.#stopping.signal);
      if (this.#stopping.signal.aborted || !this.#listener) return;
      this.#current = make();
      try {
        this.#isRestarting = false;
        await this.#startCurrent(this.#listener);
        return;
      } catch (error) {
        this.#isRestarting = true;
        logger.warn({ error }, 'the consumer could not be started anew');
      }
    }
  }

  #spendBudget(): boolean {
    const now = this.#options.clock.monotonic();
    while ((this.#restartsAtMs[0] ?? Infinity) <= now - BUDGET_MS) this.#restartsAtMs.shift();
    if (this.#restartsAtMs.length >= BUDGET) return false;
    this.#restartsAtMs.push(now);
    return true;
  }
}

function fatal(reason: string, cause: Error | null): FatalStreamsError {
  return new FatalStreamsError(cause ? `${reason}: ${cause.message}` : reason, { cause });
}
