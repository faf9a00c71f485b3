import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 200;

/** Resolves when `hasCome`, which is asked every `pollMs`; rejects with `what` was waited for after the limit. */
export async function until(
  hasCome: () => boolean | Promise<boolean>,
  limitMs: number,
  what: string,
  pollMs = POLL_MS,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await hasCome())) {
    if (performance.now() > deadline) throw new Error(`waited ${limitMs / 1_000} s for ${what}`);
    await sleep(pollMs);
  }
}
