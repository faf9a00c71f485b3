import { assertNever } from '../../schemas/assert-never.ts';
import type { SinkError } from '../../sinks/sink.ts';
import { sleep, type Clock } from '../clock.ts';
import type { Destination } from '../destination.ts';
import { SegmentSlice, type MessageIdScope, type Segment } from '../segment.ts';

/** A destination that delivers nothing for so long ends its part of the redrive. */
const GIVE_UP_MS = 300_000;
/** Whoever waits for a destination looks this often whether it is still to be sent to. */
const LOOK_MS = 1_000;

/** Why a replication's part of a redrive is over. */
export interface PartEnd {
  readonly code: string;
  readonly message: string;
  readonly remedy: string | null;
}

export interface DeliveryOptions {
  readonly destination: Destination;
  readonly scope: MessageIdScope & { readonly topic: string };
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Brings up to date what `maySend` answers from. Called before every attempt. */
  readonly refresh: () => Promise<void>;
  /** Whether entry `i` is still to be sent; when not, the reason was reported. Asked during a backoff too. */
  readonly maySend: (i: number) => boolean;
  /** Entries `[from, to)` were delivered. What follows waits until it resolves. */
  readonly onDelivered: (from: number, to: number) => Promise<void>;
  readonly onRejected: (i: number, error: SinkError) => void;
  /** An attempt failed and is made again. */
  readonly onRetry: (error: SinkError) => void;
}

/**
 * Delivers a segment's entries, as a lane does: one request in flight, the same again after a failure that may pass, a
 * rejected request halved until its offender is found (PROTOCOL A5, A6).
 *
 * Resolves with null when nothing is left to send or `signal` has aborted, after the answer to what was in flight; or
 * with the reason why the destination takes no more.
 */
export async function deliverSegment(segment: Segment, options: DeliveryOptions): Promise<PartEnd | null> {
  const { destination, scope, clock, signal } = options;
  const partitionKey = `${scope.topic}/${scope.partition}`;
  let from = 0;
  let suspectEnd: number | null = null;
  let retryEnd: number | null = null;
  let failingSince: number | null = null;
  while (from < segment.count) {
    const waitMs = retryEnd === null ? destination.newerNotBefore(partitionKey) - clock.monotonic() : 0;
    if (waitMs > 0) await sleep(clock, waitMs, signal);
    if (!(await takesSlot(from, options))) {
      if (signal.aborted) return null;
      from += 1;
      // What was in doubt has moved on: the rest is newer, and waits for the answer's time.
      if (retryEnd !== null && from >= retryEnd) retryEnd = null;
      if (suspectEnd !== null && from >= suspectEnd) suspectEnd = null;
      continue;
    }
    const end: number = upToUnsendable(
      from,
      retryEnd ?? batchEnd(segment, from, suspectEnd, destination),
      options,
    );
    const slice = new SegmentSlice(segment, from, end, scope);
    const outcome = await destination.send(
      slice,
      partitionKey,
      () => !signal.aborted && options.maySend(from),
    );
    // Not sent: what has changed is told above.
    if (!outcome) continue;
    if (outcome.delivered > 0) {
      failingSince = null;
      await options.onDelivered(from, from + outcome.delivered);
      from += outcome.delivered;
    }
    const { failure } = outcome;
    if (!failure) {
      retryEnd = null;
      failingSince = null;
      if (suspectEnd !== null && from >= suspectEnd) suspectEnd = null;
      continue;
    }
    switch (failure.kind) {
      case 'fatal':
        return failure;
      case 'retriable':
        failingSince ??= clock.monotonic();
        if (clock.monotonic() - failingSince >= GIVE_UP_MS) return failure;
        options.onRetry(failure);
        retryEnd = end;
        break;
      case 'rejected':
        retryEnd = null;
        failingSince = null;
        if (outcome.isNext === true || end - from === 1) {
          options.onRejected(from, failure);
          from += 1;
          suspectEnd = null;
        } else suspectEnd = end;
        break;
      default:
        assertNever(failure.kind);
    }
  }
  return null;
}

/**
 * Takes a slot at the destination for an attempt that begins with entry `from`. False, without one, when `signal` has
 * aborted, or the entry isn't to be sent any more.
 */
async function takesSlot(from: number, options: DeliveryOptions): Promise<boolean> {
  const { destination, signal, refresh, maySend } = options;
  if (signal.aborted || !maySend(from) || !(await isAdmitted(from, options))) return false;
  // Whatever was waited for took time.
  await refresh();
  if (!signal.aborted && maySend(from)) return true;
  destination.admission.giveBack();
  return false;
}

/**
 * Waits for a slot at the destination, which is its backoff too. Resolves with false, without one, when `signal` aborts,
 * or entry `from` isn't to be sent any more: its replication was deleted, which closes the destination, or paused.
 */
async function isAdmitted(
  from: number,
  { destination, clock, signal, maySend }: DeliveryOptions,
): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const applicant = {
    admitted: () => {
      resolve(true);
    },
  };
  const withdraw = (): void => {
    destination.admission.withdraw(applicant);
    resolve(false);
  };
  const look = (): void => {
    if (maySend(from)) cancelLook = clock.schedule(LOOK_MS, look);
    else withdraw();
  };
  let cancelLook = clock.schedule(LOOK_MS, look);
  signal.addEventListener('abort', withdraw, { once: true });
  destination.admission.apply(applicant);
  try {
    return await promise;
  } finally {
    cancelLook();
    signal.removeEventListener('abort', withdraw);
  }
}

/** Where the next request ends: the destination's limits, or half of a request that was rejected. */
function batchEnd(
  segment: Segment,
  from: number,
  suspectEnd: number | null,
  { limits }: Destination,
): number {
  const { maxRecords, maxBytes, recordOverheadBytes } = limits;
  const last =
    suspectEnd === null
      ? Math.min(segment.count, from + maxRecords)
      : from + Math.max(1, (suspectEnd - from) >> 1);
  const start = segment.start(from);
  let end = from + 1;
  while (end < last && segment.start(end + 1) - start + (end + 1 - from) * recordOverheadBytes <= maxBytes)
    end += 1;
  return end;
}

function upToUnsendable(from: number, end: number, { maySend }: DeliveryOptions): number {
  for (let i = from + 1; i < end; i += 1) if (!maySend(i)) return i;
  return end;
}
