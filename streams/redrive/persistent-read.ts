import { backoffMs, type Random } from '../backoff.ts';
import { sleep, type Clock } from '../clock.ts';

const READ_TRIES = 6;

/** A topic couldn't be read, in several tries. */
export class TopicReadError extends Error {
  override readonly name = 'TopicReadError';
}

export interface PersistentReadOptions {
  readonly topic: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** Tries a read again with backoff, a few times. Rejects with a `TopicReadError`: the topic and the last reason. */
export async function readPersistently<Value>(
  { topic, clock, random, signal }: PersistentReadOptions,
  read: () => Promise<Value>,
): Promise<Value> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await read();
    } catch (error) {
      if (attempt + 1 >= READ_TRIES || signal.aborted) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new TopicReadError(`reading ${topic}: ${reason}`, { cause: error });
      }
      await sleep(clock, backoffMs(attempt, false, random), signal);
    }
  }
}
