import type { Gap } from '../../processors/initial-sync/gaps.ts';
import type { PartitionReader } from '../kafka-port.ts';

const MAX_WAIT_MS = 500;

/** Since when mutations are missing. */
export interface GapAge {
  /** When the oldest of them was stored, by Kafka's timestamp in ms since 1970 UTC. */
  readonly since: number;
  /** False when retention has taken the oldest ones: it is longer ago. */
  readonly isExact: boolean;
}

/**
 * How old some gaps are; null when nothing tells: nobody knows where one lies, none of it is left, or it can't be read.
 * Never rejects.
 */
export async function ageOfGaps(gaps: readonly Gap[], reader: PartitionReader): Promise<GapAge | null> {
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
