import { backoffMs } from '../backoff.ts';
import { sleep, type Clock } from '../clock.ts';
import { FatalStreamsError } from '../errors.ts';
import type { Logger } from '../logger.ts';

const TOPIC_CHECK_MS = 30_000;
/** Of checks that can't reach Kafka, each so many is logged. */
const LOGGED_EVERY = 5;

/** What was found of the topics. */
export interface CheckedTopics {
  /** Names of those that aren't there yet. */
  readonly missing: readonly string[];
  /** How many partitions each of the others has. */
  readonly partitions: ReadonlyMap<string, number>;
}

export interface TopicsAwait {
  /** Rejects with a `FatalStreamsError` when a topic has a setting that would lose data. */
  readonly check: () => Promise<CheckedTopics>;
  /** Hears what an instance lacks meanwhile: `topic:<name>`, or `kafka`. */
  readonly onMissing: (missing: readonly string[]) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Tries again every 30 s, naming what is missing, until all topics are there. Rejects with a `FatalStreamsError`, also
 * when `signal` aborts.
 */
export async function awaitTopics({
  check,
  onMissing,
  clock,
  logger,
  signal,
}: TopicsAwait): Promise<CheckedTopics> {
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    let waitMs = TOPIC_CHECK_MS;
    try {
      const checked = await check();
      if (checked.missing.length === 0) return checked;
      onMissing(checked.missing.map((topic) => `topic:${topic}`));
      logger.warn(
        { missing: checked.missing },
        'topics are missing; create them with `datamart-replication topics create`',
      );
    } catch (error) {
      if (error instanceof FatalStreamsError) throw error;
      onMissing(['kafka']);
      waitMs = backoffMs(attempt, true, () => 1);
      if (attempt % LOGGED_EVERY === 0) logger.warn({ error }, 'Kafka can’t be reached yet; trying again');
    }
    await sleep(clock, waitMs, signal);
  }
  throw new FatalStreamsError('stopped before the topics were there');
}
