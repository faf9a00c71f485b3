import { isJsonObject } from '../../schemas/json-object.ts';
import { numberOrNull, offsetOrNull } from '../json-fields.ts';

/** What was not sent to a replication since its last initial synchronization. */
export interface GapFinding {
  /** How many mutations at most. */
  readonly offsets: number;
  /** When the oldest of them was stored, at the latest; null when nothing tells. ms since 1970 UTC. */
  readonly since: number | null;
  /**
   * Whether it is older than the snapshot keeps tombstones, so that deletions of its beginning may not be repaired; null
   * when its age isn't known.
   */
  readonly isOlderThanTombstones: boolean | null;
}

/** A finding as records and the API tell it. */
export interface GapJson {
  /** A decimal number. */
  readonly offsets: string;
  readonly since: number | null;
  readonly older_than_tombstones: boolean | null;
}

export function gapJson({ offsets, since, isOlderThanTombstones }: GapFinding): GapJson {
  return { offsets: String(offsets), since, older_than_tombstones: isOlderThanTombstones };
}

/** Null for anything else than what `gapJson` writes. */
export function readGap(value: unknown): GapFinding | null {
  if (!isJsonObject(value)) return null;
  const offsets = offsetOrNull(value.offsets);
  if (offsets === null) return null;
  const isOlder = value.older_than_tombstones;
  return {
    offsets,
    since: numberOrNull(value.since),
    isOlderThanTombstones: typeof isOlder === 'boolean' ? isOlder : null,
  };
}
