import type { ExecutionResource } from '../../api/execution-resource.ts';
import { durationText } from '../duration-text.ts';
import { operationsOf, percentText } from './execution-text.ts';

/** Long enough that a report every few seconds gives a steady rate. */
const WINDOW_MS = 30_000;
const BAR_CHARACTERS = 24;

interface Sample {
  readonly atMs: number;
  readonly operations: number;
  readonly progress: number;
}

/** How fast an execution goes, by what was seen of it in the last half minute. */
export class SyncPace {
  #samples: Sample[] = [];

  /** `atMs` is of a clock that only goes forward. */
  note(atMs: number, execution: ExecutionResource): void {
    const { progress } = execution;
    const recent = this.#samples.filter((sample) => atMs - sample.atMs <= WINDOW_MS);
    this.#samples = [...recent, { atMs, operations: operationsOf(execution), progress }];
  }

  /** Operations per second; null while too little was seen. */
  get rate(): number | null {
    const [first, last] = this.#ends;
    if (!first || !last || last.atMs === first.atMs) return null;
    return Math.max(0, ((last.operations - first.operations) * 1_000) / (last.atMs - first.atMs));
  }

  /** Until the end at this pace, in ms; null while nothing moves. */
  get remainingMs(): number | null {
    const [first, last] = this.#ends;
    if (!first || !last || last.progress <= first.progress) return null;
    return ((1 - last.progress) * (last.atMs - first.atMs)) / (last.progress - first.progress);
  }

  get #ends(): readonly [Sample | undefined, Sample | undefined] {
    return [this.#samples[0], this.#samples.at(-1)];
  }
}

/** One line: a bar, the share, the rate, the estimated end, the tasks, and what it is held by. */
export function progressText(execution: ExecutionResource, pace: SyncPace): string {
  const { progress, status, held, completed_tasks: done, num_tasks: all } = execution;
  const filled = Math.floor(progress * BAR_CHARACTERS);
  const bar = `[${'#'.repeat(filled)}${'.'.repeat(BAR_CHARACTERS - filled)}]`;
  const { rate, remainingMs } = pace;
  return [
    `${bar} ${percentText(progress)}`,
    status === 'PENDING' ? 'waits for a processor' : `${operationsOf(execution)} operations`,
    ...(rate === null || status === 'PENDING' ? [] : [`${Math.round(rate)}/s`]),
    ...(remainingMs === null || held !== null ? [] : [`${durationText(remainingMs / 1_000)} to go`]),
    `${done} of ${all} tasks`,
    ...(held === null ? [] : [`held by ${held}`]),
  ].join(', ');
}
