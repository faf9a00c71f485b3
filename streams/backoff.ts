/** A random number in [0, 1), injected so that a simulation owns it. */
export type Random = () => number;

const BASE_MS = 200;
const THROTTLED_BASE_MS = 1_000;
const CAP_MS = 30_000;

/** Exponential backoff with full jitter: a random time between 0 and the bound that doubles with every attempt. */
export function backoffMs(attempt: number, isThrottled: boolean, random: Random): number {
  const base = isThrottled ? THROTTLED_BASE_MS : BASE_MS;
  return Math.ceil(random() * Math.min(CAP_MS, base * 2 ** Math.min(attempt, 20)));
}
