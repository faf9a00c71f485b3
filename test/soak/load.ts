import { setTimeout as sleep } from 'node:timers/promises';
import type { Producer } from '../../streams/kafka/kafkajs.ts';
import { kafkaClient } from '../support/kafka.ts';
import type { ProducedDocuments } from './ledger.ts';
import type { SoakMutations } from './soak-mutations.ts';

const TICK_MS = 50;
const RETRY_MS = 500;

export interface LoadOptions {
  readonly brokers: readonly string[];
  readonly topic: string;
  readonly partitions: number;
  readonly mutations: SoakMutations;
  readonly produced: ProducedDocuments;
  /** Mutations a second. */
  readonly rate: number;
}

/**
 * Writes mutations at a constant rate, each user's to one partition, in order. While the broker is away it waits, and
 * doesn't make up for it. A batch that may not have been stored is written again before anything else is.
 */
export class Load {
  readonly #options: LoadOptions;
  readonly #stopping = new AbortController();
  #isAbandoned = false;
  #done: Promise<void> = Promise.resolve();
  /** Mutations that may be on the topic twice. */
  repeated = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  /** Resolves after `stop`; rejects when it can't go on. */
  start(): Promise<void> {
    this.#done = this.#run();
    return this.#done;
  }

  /** Resolves when everything that was numbered is stored. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  /** Sends nothing more, and gives up what isn't stored. */
  abandon(): void {
    this.#isAbandoned = true;
    this.#stopping.abort();
  }

  async #run(): Promise<void> {
    const { brokers, rate } = this.#options;
    const producer = kafkaClient(brokers).producer({ allowAutoTopicCreation: false });
    await producer.connect();
    let dueSinceMs = performance.now();
    while (!this.#stopping.signal.aborted) {
      const now = performance.now();
      const due = Math.floor(((now - dueSinceMs) * rate) / 1_000);
      if (due > rate) {
        dueSinceMs = now;
        continue;
      }
      dueSinceMs += (due * 1_000) / rate;
      if (due > 0) await this.#send(producer, due);
      await sleep(TICK_MS);
    }
    await producer.disconnect();
  }

  async #send(producer: Producer, count: number): Promise<void> {
    const { topic, partitions, mutations, produced } = this.#options;
    const messages = Array.from({ length: count }, () => {
      const { user, key, value } = mutations.record(produced.next());
      return { key, value, partition: user % partitions };
    });
    for (;;) {
      try {
        await producer.send({ topic, messages, acks: -1 });
        return;
      } catch {
        // The broker is away, which is what a soak is for; whether it took the batch nobody knows.
        this.repeated += count;
        if (this.#isAbandoned) return;
        await sleep(RETRY_MS);
      }
    }
  }
}
