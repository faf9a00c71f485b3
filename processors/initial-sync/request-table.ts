import { isExecutionId, parseSyncRequest, type ParsedRequest } from './sync-request.ts';

/** The first record of an id: what is to be judged, or why it can't be. */
export interface RequestedLaunch {
  /** On the topic. */
  readonly offset: number;
  /** Kafka's timestamp of the record, ms since 1970 UTC: the windows between two are measured by it (PROTOCOL C9). */
  readonly requestedAt: number;
  readonly asked: Exclude<ParsedRequest, { readonly kind: 'cancel' }>;
}

/** The datamart that a launch names; null when it names none that can be read. */
export function datamartOf({ asked }: RequestedLaunch): string | null {
  return asked.kind === 'launch' ? asked.launch.datamartId : asked.datamartId;
}

/** What is asked for under one id. */
export interface SyncRequest {
  /** Null when compaction has taken it: then it was judged long ago, or never will be. */
  readonly launch: RequestedLaunch | null;
  /** The datamart that a cancel names; null without one. */
  readonly canceledFor: string | null;
  /** The highest budget that was asked for; null without one. */
  readonly maxOperations: number | null;
  /** The records of the execution are to go, once it has ended. */
  readonly isRemoved: boolean;
}

/**
 * What one record did.
 * - `launch`, `cancel`, `raise`, `removal`: the request of that id says something new.
 * - `repeated`: the id is known, and the record changes nothing.
 * - `unusable`: no execution can have that key.
 */
export interface RequestChange {
  readonly kind: 'launch' | 'cancel' | 'raise' | 'removal' | 'repeated' | 'unusable';
  readonly id: string;
  readonly offset: number;
}

const UNKNOWN: SyncRequest = { launch: null, canceledFor: null, maxOperations: null, isRemoved: false };

/** What is asked for, as `initial-sync-requests` tells it. Compaction leaves of each id its last record. */
export class RequestTable {
  readonly #requests = new Map<string, SyncRequest>();

  /** Applies a record; null removes. The same code for the records read at the start and the live ones. */
  apply(id: string, value: Buffer | null, offset: number, timestamp: number): RequestChange {
    if (!isExecutionId(id)) return { kind: 'unusable', id, offset };
    const known = this.#requests.get(id) ?? UNKNOWN;
    const next = nextRequest(id, known, value, offset, timestamp);
    if (next.kind !== 'repeated') this.#requests.set(id, next.request);
    return { kind: next.kind, id, offset };
  }

  get(id: string): SyncRequest | null {
    return this.#requests.get(id) ?? null;
  }

  ids(): IterableIterator<string> {
    return this.#requests.keys();
  }
}

type NextRequest =
  | { readonly kind: 'repeated' }
  | { readonly kind: 'launch' | 'cancel' | 'raise' | 'removal'; readonly request: SyncRequest };

function nextRequest(
  id: string,
  known: SyncRequest,
  value: Buffer | null,
  offset: number,
  timestamp: number,
): NextRequest {
  if (value === null) return { kind: 'removal', request: { ...UNKNOWN, isRemoved: true } };
  const parsed = parseSyncRequest(id, value);
  const { launch, maxOperations } = known;
  if (parsed.kind === 'cancel') {
    const { datamartId } = parsed;
    const isOther = launch !== null && datamartOf(launch) !== datamartId;
    if (isOther || known.canceledFor === datamartId) return { kind: 'repeated' };
    return { kind: 'cancel', request: { ...known, canceledFor: datamartId } };
  }
  if (launch) {
    if (parsed.kind === 'refused' || parsed.launch.datamartId !== datamartOf(launch))
      return { kind: 'repeated' };
    const asked = parsed.launch.maxOperations;
    const isHigher = asked !== null && maxOperations !== null && asked > maxOperations;
    return isHigher ? { kind: 'raise', request: { ...known, maxOperations: asked } } : { kind: 'repeated' };
  }
  return {
    kind: 'launch',
    request: {
      ...UNKNOWN,
      launch: { offset, requestedAt: timestamp, asked: parsed },
      maxOperations: parsed.kind === 'launch' ? parsed.launch.maxOperations : null,
    },
  };
}
