import type { MutationWriter } from '../local/mutation-writer.ts';
import type { SampleMutation } from '../local/sample-mutations.ts';
import type { Producer } from '../streams/kafka-port.ts';
import type { MutationOutput } from './generate.ts';
import type { TextOutput } from './text-output.ts';

export interface KafkaOutputOptions {
  readonly topic: string;
  readonly producer: Producer;
  readonly write: MutationWriter;
  /** Resolves after so many ms. */
  readonly sleep: (ms: number) => Promise<void>;
}

const TRIES = 5;
const PAUSE_MS = 500;

/**
 * Stores mutations on a topic, keyed by user point. Tries again for a moment: a new topic isn't known to all brokers
 * at once. Order holds, because nothing else is sent meanwhile.
 */
export function kafkaOutput({ topic, producer, write, sleep }: KafkaOutputOptions): MutationOutput {
  return async (mutations) => {
    const records = mutations.map((mutation) => ({
      key: Buffer.from(mutation.userPointId),
      value: write(mutation),
      headers: {},
    }));
    for (let attempt = 1; ; attempt++) {
      try {
        await producer.send(topic, records);
        return;
      } catch (error) {
        if (attempt >= TRIES) {
          const reason = error instanceof Error ? error.message : String(error);
          throw new Error(
            `storing mutations in ${topic}: ${reason}; does the topic exist? \`topics create\` makes it`,
            {
              cause: error,
            },
          );
        }
        await sleep(PAUSE_MS);
      }
    }
  };
}

/** Writes mutations as lines, no faster than they are read. Also ends when `signal` aborts, because nobody reads on. */
export function lineOutput(
  out: TextOutput,
  line: (mutation: SampleMutation) => string,
  signal: AbortSignal,
): MutationOutput {
  return async (mutations) => {
    if (out.write(mutations.map((mutation) => `${line(mutation)}\n`).join(''))) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    out.once('drain', resolve);
    signal.addEventListener(
      'abort',
      () => {
        resolve();
      },
      { once: true },
    );
    if (!signal.aborted) await promise;
  };
}
