import { sleep, type Clock } from '../clock.ts';
import {
  READ_MIB,
  type ConsumedBatch,
  type ConsumedRecord,
  type NeededOfRecords,
  type PartitionReader,
  type TopicPartition,
} from '../kafka-port.ts';
import type { ReadSlots } from './read-slots.ts';

const READ_WAIT_MS = 100;

/** Records that were to be read are gone: retention has passed them. */
export class OffsetLostError extends Error {
  override readonly name = 'OffsetLostError';
}

export interface ReadRange {
  readonly reader: PartitionReader;
  readonly clock: Clock;
  readonly slots: ReadSlots;
  readonly at: TopicPartition;
  readonly from: number;
  /** Beyond the last one; must have been in the log. */
  readonly to: number;
  readonly signal: AbortSignal;
  /** Default: all. */
  readonly needed?: NeededOfRecords;
}

/**
 * Reads `[from, to)` record by record, waiting where `take` asks for it; compaction may have left holes. Resolves at the
 * end, or when `signal` aborts. A record is valid until `take` is done with it: its bytes are used again.
 *
 * Rejects with `OffsetLostError` when the log begins behind what is to be read next, with what `take` threw, or because
 * the log can't be read now.
 */
export async function readOn(
  { reader, clock, slots, at, from, to, signal, needed = 'all' }: ReadRange,
  take: (record: ConsumedRecord) => Promise<void> | null,
): Promise<void> {
  for (let position = from; position < to && !signal.aborted;) {
    const start = position;
    position = await slots.run(async () => {
      const batch = await readAt(reader, at, start, needed);
      for (const record of batch.records) {
        if (record.offset < start || record.offset >= to) continue;
        const taking = take(record);
        if (taking) await taking;
        if (signal.aborted) break;
      }
      batch.release?.();
      return batch.nextOffset;
    }, READ_MIB[needed]);
    if (position === start) await sleep(clock, READ_WAIT_MS, signal);
  }
}

/** One read. Rejects with `OffsetLostError` when the log begins behind `position`. */
export async function readAt(
  reader: PartitionReader,
  at: TopicPartition,
  position: number,
  needed: NeededOfRecords = 'all',
): Promise<ConsumedBatch> {
  try {
    return await reader.read(at, position, READ_WAIT_MS, needed);
  } catch (error) {
    const { start } = await reader.bounds(at);
    if (start <= position) throw error;
    throw new OffsetLostError(`${at.topic}/${at.partition} begins at ${start}, ${position} is gone`, {
      cause: error,
    });
  }
}
