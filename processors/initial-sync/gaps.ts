import type { PartitionReport } from '../status-record.ts';

/** Mutations of one partition that were not sent to a replication. */
export interface Gap {
  readonly topic: string;
  readonly partition: number;
  /** How many there are at most. */
  readonly count: number;
  /** Where they lie, `[from, to)`; null: retention took them, and nobody knows where they lay. */
  readonly offsets: { readonly from: number; readonly to: number } | null;
}

/**
 * The gaps of a replication, of which a report tells until an initial synchronization has made up for them. What a pause
 * has skipped is an interval, the last one of each partition; of what retention has taken only the number is known.
 */
export function gapsOf(reports: Iterable<PartitionReport>): readonly Gap[] {
  return [...reports].flatMap(({ topic, partition, gap, lostOffsets }): Gap[] => {
    return [
      ...(gap && gap.to > gap.from ? [{ topic, partition, count: gap.to - gap.from, offsets: gap }] : []),
      ...(lostOffsets > 0 ? [{ topic, partition, count: lostOffsets, offsets: null }] : []),
    ];
  });
}
