import type { Random } from './backoff.ts';
import type { Clock } from './clock.ts';
import type { ConsumedRecord, PartitionReader, TopicPartition } from './kafka-port.ts';
import { readPersistently } from './redrive/persistent-read.ts';

const MAX_WAIT_MS = 500;

export interface ScanPorts {
  readonly reader: PartitionReader;
  readonly clock: Clock;
  readonly random: Random;
}

/** A part of a partition's log, `[start, end)`. */
export interface LogRange extends TopicPartition {
  readonly start: number;
  readonly end: number;
}

/** The whole of each partition as it is now. Rejects with a `TopicReadError`. */
export async function logRanges(
  topic: string,
  partitionCount: number,
  ports: ScanPorts,
  signal: AbortSignal,
): Promise<readonly LogRange[]> {
  return Promise.all(
    Array.from({ length: partitionCount }, async (_, partition) => {
      const at = { topic, partition };
      return {
        ...at,
        ...(await readPersistently({ ...ports, topic, signal }, () => ports.reader.bounds(at))),
      };
    }),
  );
}

/**
 * Hands over every record that is there of a part of a log, in order, waiting for each; it is valid until then.
 * `onProgress` is told the offset that is reached, now and then. What retention takes meanwhile is passed over. Ends
 * early, without a rejection, when `signal` aborts. Rejects with a `TopicReadError` when the topic can't be read.
 */
export async function scanRange(
  range: LogRange,
  ports: ScanPorts,
  onRecord: (record: ConsumedRecord) => Promise<void> | void,
  onProgress: (offset: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const { topic, end } = range;
  const persistently = <Value>(read: () => Promise<Value>): Promise<Value> =>
    readPersistently({ ...ports, topic, signal }, read);
  for (let position = range.start; position < end && !signal.aborted;) {
    const from = position;
    const batch = await persistently(async () => {
      try {
        return await ports.reader.read(range, from, MAX_WAIT_MS);
      } catch (error) {
        if (signal.aborted || from < (await ports.reader.bounds(range)).start) return null;
        throw error;
      }
    });
    if (signal.aborted) return;
    if (batch) {
      for (const record of batch.records) {
        if (record.offset < position || record.offset >= end) continue;
        const taking = onRecord(record);
        if (taking) await taking;
        if (signal.aborted) return;
      }
      position = Math.max(position, batch.nextOffset);
    } else {
      position = Math.max(position, (await persistently(() => ports.reader.bounds(range))).start);
    }
    onProgress(Math.min(position, end));
  }
}
