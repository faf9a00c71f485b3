import type { Clock } from '../../streams/clock.ts';
import type { ControlView } from '../control-view.ts';
import {
  CheckSkippedError,
  failed,
  ok,
  skipped,
  warning,
  type CheckGroup,
  type Finding,
  type Prerequisite,
} from './check.ts';

const TIMEOUT_MS = 10_000;
const WARNING_MS = 30_000;
/** Clouds refuse tokens that are signed so far from their own time. */
const FAILED_MS = 300_000;
const REMEDY = 'synchronize the clock (NTP): tokens for Google and Azure are signed with its time';

interface Reading {
  readonly source: string;
  /** How far this machine's clock is ahead, in ms. */
  readonly aheadMs: number;
  /** What the measurement can't tell apart, in ms. */
  readonly uncertaintyMs: number;
}

/** Collects what others' clocks said while they were asked for something else. */
export class ClockReadings {
  readonly #clock: Clock;
  readonly #readings: Reading[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get all(): readonly Reading[] {
    return this.#readings;
  }

  /** To be called before the request; `end` takes the date of its answer, which is exact to the second. */
  begin(source: string): { end(dateMs: number | null): void } {
    const sentMs = this.#clock.now();
    return {
      end: (dateMs) => {
        if (dateMs === null || this.#readings.some((reading) => reading.source === source)) return;
        const answeredMs = this.#clock.now();
        this.#readings.push({
          source,
          aheadMs: (sentMs + answeredMs) / 2 - (dateMs + 500),
          uncertaintyMs: 500 + (answeredMs - sentMs) / 2,
        });
      },
    };
  }
}

/** Somebody who tells the time with an answer: ms since 1970 UTC, null when it doesn't. */
export interface DateSource {
  readonly url: string;
  date(signal: AbortSignal): Promise<number | null>;
}

export interface ClockCheckOptions {
  readonly clock: Clock;
  readonly readings: ClockReadings;
  readonly view: Prerequisite<ControlView>;
  /** Who tells Google's time; null when no replication needs Google, or emulators stand for it. */
  readonly google: () => DateSource | null;
}

/**
 * This machine's clock. Kafka tells its own only with records that are written, and `doctor` writes none: so it is held
 * against the dates of HTTP answers, and against the newest status record, which can't be of the future.
 */
export function clockChecks({ clock, readings, view, google }: ClockCheckOptions): CheckGroup {
  return {
    name: 'clock',
    concurrency: 1,
    checks: [
      {
        name: 'this machine',
        timeoutMs: TIMEOUT_MS,
        run: async (signal) => {
          const source = google();
          if (source) {
            const reading = readings.begin(source.url);
            // Only one of several ways to tell the time: its absence is no finding.
            reading.end(await source.date(signal).catch(() => null));
          }
          return readings.all.length > 0
            ? readings.all.map(judge)
            : [
                skipped(
                  'this machine',
                  "there is nobody whose time can be asked: Kafka doesn't tell its own",
                ),
              ];
        },
      },
      {
        name: 'newest status record',
        timeoutMs: TIMEOUT_MS,
        run: () => Promise.resolve([newestRecord(view.get().newestStatusMs, clock.now())]),
      },
    ],
  };
}

function judge({ source, aheadMs, uncertaintyMs }: Reading): Finding {
  const distance = Math.abs(aheadMs);
  const words = `${seconds(distance)} ${aheadMs > 0 ? 'ahead of' : 'behind'} ${source}`;
  if (distance - uncertaintyMs > FAILED_MS) return failed('this machine', words, REMEDY);
  if (distance - uncertaintyMs > WARNING_MS) return warning('this machine', words, REMEDY);
  return ok('this machine', `as ${source}, within ${seconds(uncertaintyMs + distance)}`);
}

function newestRecord(newestMs: number | null, nowMs: number): Finding {
  const name = 'newest status record';
  if (newestMs === null) throw new CheckSkippedError('no status record was written yet');
  const aheadMs = newestMs - nowMs;
  return aheadMs > WARNING_MS
    ? warning(name, `it is dated ${seconds(aheadMs)} from now: two machines’ clocks differ`, REMEDY)
    : ok(name, 'not dated in the future');
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
