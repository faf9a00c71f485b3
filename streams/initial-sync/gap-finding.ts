import type { GapFinding } from '../../processors/initial-sync/gap-finding.ts';
import type { Gap } from '../../processors/initial-sync/gaps.ts';
import type { PartitionReader } from '../kafka-port.ts';
import type { ExistingTopic } from '../topics/topic-admin-port.ts';

const MAX_WAIT_MS = 500;

export interface GapFindingOptions {
  readonly reader: PartitionReader;
  readonly nowMs: number;
  /** How long the snapshot keeps tombstones, in ms; null when that isn't known. */
  readonly tombstonesKeptMs: number | null;
}

/** What some gaps of a replication come to; null without gaps. Never rejects. */
export async function findingOf(
  gaps: readonly Gap[],
  { reader, nowMs, tombstonesKeptMs }: GapFindingOptions,
): Promise<GapFinding | null> {
  if (gaps.length === 0) return null;
  const offsets = gaps.reduce((sum, gap) => sum + gap.count, 0);
  const age = await ageOfGaps(gaps, reader);
  const isOlder = age !== null && tombstonesKeptMs !== null && nowMs - age.since > tombstonesKeptMs;
  const isKnown = tombstonesKeptMs !== null && (isOlder || age?.isExact === true);
  return { offsets, since: age?.since ?? null, isOlderThanTombstones: isKnown ? isOlder : null };
}

/** How long all of these snapshot topics keep tombstones, in ms; null when the cluster doesn't tell. */
export function tombstonesKeptMs(snapshots: readonly ExistingTopic[]): number | null {
  const keptMs = Math.min(...snapshots.map(({ settings }) => Number(settings['delete.retention.ms'] ?? NaN)));
  return Number.isFinite(keptMs) ? keptMs : null;
}

/** Since when mutations are missing. */
interface GapAge {
  /** When the oldest of them was stored, by Kafka's timestamp in ms since 1970 UTC. */
  readonly since: number;
  /** False when retention has taken the oldest ones: it is longer ago. */
  readonly isExact: boolean;
}

/**
 * How old some gaps are; null when nothing tells: nobody knows where one lies, none of it is left, or it can't be read.
 * Never rejects.
 */
async function ageOfGaps(gaps: readonly Gap[], reader: PartitionReader): Promise<GapAge | null> {
  const ages = await Promise.all(gaps.map((gap) => ageOf(gap, reader)));
  const known = ages.filter((age) => age !== null);
  if (known.length < ages.length || known.length === 0) return null;
  return {
    since: Math.min(...known.map(({ since }) => since)),
    isExact: known.every(({ isExact }) => isExact),
  };
}

async function ageOf({ topic, partition, offsets }: Gap, reader: PartitionReader): Promise<GapAge | null> {
  if (!offsets) return null;
  const at = { topic, partition };
  try {
    const { start, end } = await reader.bounds(at);
    const from = Math.max(start, offsets.from);
    if (from >= Math.min(end, offsets.to)) return null;
    const { records } = await reader.read(at, from, MAX_WAIT_MS);
    const oldest = records.find(({ offset }) => offset >= from);
    return oldest ? { since: oldest.timestamp, isExact: from === offsets.from } : null;
  } catch {
    // Whoever serves the API alone needn't have the right to read mutations.
    return null;
  }
}
