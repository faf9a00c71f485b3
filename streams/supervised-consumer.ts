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
 * A membership that outlives its consumers: one that has crashed, or stands still, is replaced by a new one, five times in
 * ten minutes at most. What the old one still says isn't heard any more.
 *
 * While Kafka is away consumers crash one after the other, which says nothing of them: those count only when Kafka stays
 * away, once for each time that a standstill may last.
 */
export class SupervisedConsumer implements GroupConsumer {
  readonly #options: SupervisedConsumerOptions;
  readonly #stopping = new AbortController();
  readonly #restartsAtMs: number[] = [];
  #current: GroupConsumer;
  #listener: GroupListener | null = null;
  #lastSignMs: number;
  #isRestarting = false;
  /** Since its last restart the member has joined, and was proven after that: its fetches go round. */
  #hasJoined = false;
  #hasWorked = false;
  /** Restarts since one that worked. */
  #vain = 0;
  /** Until then Kafka may be away without that it counts. */
  #toleratedUntilMs = -Infinity;

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
      if (isCurrent()) this.#lastSignMs = this.#options.clock.monotonic();
    };
    sign();
    this.#hasJoined = false;
    this.#hasWorked = false;
    return consumer.start({
      onAssigned: (partitions, generation) => {
        sign();
        if (!isCurrent()) return;
        this.#hasJoined = true;
        listener.onAssigned(partitions, generation);
      },
      onRebalancing: () => {
        if (isCurrent()) listener.onRebalancing();
      },
      beforeRejoin: () => (isCurrent() ? listener.beforeRejoin() : Promise.resolve()),
      onProven: (sentAt) => {
        sign();
        if (!isCurrent()) return;
        this.#hasWorked = this.#hasJoined;
        if (this.#hasWorked) this.#vain = 0;
        listener.onProven(sentAt);
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

  async #onCrash({ error, isHopeless, isTransient }: ConsumerCrash): Promise<void> {
    if (isHopeless) this.#options.onFatal(fatal('the consumer stopped', error));
    else await this.#restart('the consumer stopped', error, isTransient);
  }

  async #watch(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(clock, CHECK_MS, signal);
      if (signal.aborted || this.#isRestarting) continue;
      const silence = clock.monotonic() - this.#lastSignMs;
      if (silence >= STANDSTILL_MS) await this.#restart('the consumer stands still', null, false);
    }
  }

  async #restart(reason: string, cause: Error | null, isTransient: boolean): Promise<void> {
    if (this.#isRestarting || this.#stopping.signal.aborted) return;
    this.#isRestarting = true;
    const { make, clock, random, logger, metrics, onRestart, onFatal } = this.#options;
    let isKafkaAway = isTransient;
    while (!this.#stopping.signal.aborted) {
      if (!(isKafkaAway && this.#isTolerated()) && !this.#spendBudget()) {
        onFatal(fatal(`${reason}; ${BUDGET} restarts in ten minutes did not help`, cause));
        return;
      }
      metrics.restarts.add(1);
      logger.warn({ error: cause, restarts: this.#restartsAtMs.length }, `${reason}: it is started anew`);
      onRestart();
      // It may hang on a broker that doesn't answer; nobody listens to it any more.
      void this.#current.stop().catch(() => undefined);
      await sleep(clock, backoffMs(Math.min(this.#vain, 3) + 2, false, random), this.#stopping.signal);
      this.#vain += 1;
      if (this.#stopping.signal.aborted || !this.#listener) return;
      this.#current = make();
      try {
        this.#isRestarting = false;
        await this.#startCurrent(this.#listener);
        return;
      } catch (error) {
        this.#isRestarting = true;
        isKafkaAway = true;
        logger.warn({ error }, 'the consumer could not be started anew');
      }
    }
  }

  /** Whether Kafka may be away for now: the member had worked until a moment ago. */
  #isTolerated(): boolean {
    const now = this.#options.clock.monotonic();
    if (this.#hasWorked) this.#toleratedUntilMs = now + STANDSTILL_MS;
    this.#hasWorked = false;
    if (now < this.#toleratedUntilMs) return true;
    this.#toleratedUntilMs = now + STANDSTILL_MS;
    return false;
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
