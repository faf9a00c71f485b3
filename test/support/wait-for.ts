import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 25;

/** How long `waitFor` tries, and what it says when the condition doesn't come true. */
export interface WaitOptions {
  /** Default 10 seconds. */
  readonly timeoutMs?: number;
  /** What was waited for, in words; a function is asked at the end, so that it can tell how far things got. */
  readonly message?: string | (() => string);
}

/**
 * Waits until `condition` gives something truthy and resolves with that. What it throws counts as not yet, and is the
 * cause of the error with which `waitFor` rejects after the time is up.
 */
export async function waitFor<Value>(
  condition: () => Value | Promise<Value>,
  options: WaitOptions = {},
): Promise<NonNullable<Value>> {
  const timeoutMs = options.timeoutMs ?? 10_000;
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    let cause: unknown;
    try {
      const value = await condition();
      if (value) return value;
    } catch (error) {
      cause = error;
    }
    if (Date.now() >= deadline) {
      const message = typeof options.message === 'function' ? options.message() : options.message;
      throw new Error(`waited ${timeoutMs} ms in vain for ${message ?? 'a condition'}`, { cause });
    }
    await sleep(POLL_MS);
  }
}
