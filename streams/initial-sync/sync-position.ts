import { packPositions, unpackPositions } from '../commit-metadata.ts';

/** Longer ones are told by their lowest alone: a commit's metadata has room for several executions (PROTOCOL A1). */
const MAX_PACKED_LENGTH = 800;
/** Own positions have one; here it says nothing. */
const KIND = 'DETACHED' as const;

/** How far a task is, as it travels with the commits of its mutation partition (PROTOCOL B5). */
export interface SyncPosition {
  readonly executionId: string;
  /** S of PROTOCOL B2: never changes. */
  readonly liveOffset: number;
  /** E of PROTOCOL B2, the end of the snapshot partition: never changes. */
  readonly endOffset: number;
  /** Operations sent so far. */
  readonly operations: number;
  /**
   * By the hash of each replication whose part goes on or has succeeded: everything below is delivered or skipped. Null:
   * too many to travel, `lowest` is for all.
   */
  readonly positions: ReadonlyMap<number, number> | null;
  readonly lowest: number;
}

/** The entry of a commit's `s`. */
export function writeSyncPosition(position: SyncPosition): unknown {
  const { executionId: e, liveOffset: l, endOffset: o, operations: n, positions, lowest: m } = position;
  const own = [...(positions ?? [])].map(([replication, position]) => ({
    replication,
    position,
    kind: KIND,
  }));
  const p = packPositions(own);
  const isTold = positions !== null && p.length <= MAX_PACKED_LENGTH;
  return { e, l, o, n, m, ...(isTold ? { p } : {}) };
}

/** Reads an entry of `s`; null when it is something else. */
export function readSyncPosition(entry: unknown): SyncPosition | null {
  if (typeof entry !== 'object' || entry === null) return null;
  const { e, l, o, n, m, p } = entry as Partial<Record<'e' | 'l' | 'o' | 'n' | 'm' | 'p', unknown>>;
  if (typeof e !== 'string' || !isOffset(l) || !isOffset(o) || !isOffset(n) || !isOffset(m)) return null;
  const packed = p === undefined ? null : unpackPositions(p);
  if (p !== undefined && !packed) return null;
  const positions = packed && new Map(packed.map(({ replication, position }) => [replication, position]));
  return { executionId: e, liveOffset: l, endOffset: o, operations: n, positions, lowest: m };
}

function isOffset(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
