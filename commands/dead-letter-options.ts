import { InvalidArgumentError } from 'commander';
import { DEAD_LETTER_REASONS } from '../schemas/mutation.ts';
import type { DeadLetterFilter } from '../streams/redrive/stored-dead-letter.ts';

/** The flags that select dead letters. */
export interface DeadLetterFlags {
  readonly replicationId?: string;
  readonly reason?: string;
  readonly since?: number;
  readonly until?: number;
  readonly topic?: string;
}

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const ISO_TIME = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;

export const DEAD_LETTER_REASON_CHOICES: readonly string[] = DEAD_LETTER_REASONS;

export function filterOf({ replicationId, reason, since, until, topic }: DeadLetterFlags): DeadLetterFilter {
  return {
    datamartId: null,
    replicationId: replicationId ?? null,
    reason: reason ?? null,
    since: since ?? null,
    until: until ?? null,
    topic: topic ?? null,
  };
}

/** Parses a time: `2026-11-24T08:00:00Z` (UTC where no zone is said), a day, ms since 1970, or `90m` for so long ago. */
export function pointInTime(text: string, now: number = Date.now()): number {
  const ago = /^(\d{1,9})([smhd])$/.exec(text);
  if (ago) return now - Number(ago[1]) * (UNIT_MS[ago[2] ?? ''] ?? 0);
  if (/^\d{11,15}$/.test(text)) return Number(text);
  const time = ISO_TIME.test(text) ? Date.parse(withZone(text.replace(' ', 'T'))) : Number.NaN;
  if (!Number.isNaN(time)) return time;
  throw new InvalidArgumentError(
    'Allowed is a time as 2026-11-24T08:00:00Z, a day as 2026-11-24, ms since 1970, or 30m, 12h, 7d for so long ago.',
  );
}

/** Without a zone, `Date.parse` takes a day for UTC and a time for the machine's own zone. */
function withZone(text: string): string {
  return text.length > 10 && !/(?:Z|[+-]\d{2}:?\d{2})$/.test(text) ? `${text}Z` : text;
}
