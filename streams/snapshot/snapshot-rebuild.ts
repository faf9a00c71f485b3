import { grownTo, HashIndex } from '../../processors/hash-index.ts';
import { formatMutationSource } from '../../schemas/mutation-source.ts';
import { DELETE } from '../../schemas/mutation.ts';
import type { ConsumedRecord } from '../kafka-port.ts';
import { scanRange, type LogRange } from '../partition-scan.ts';
import { MutationReader, type MutationReaderPorts } from './mutation-reader.ts';
import { SnapshotMerge, type MergeCounts, type MergePorts } from './snapshot-merge.ts';

export type RebuildPorts = MergePorts & MutationReaderPorts;

/** What one partition's snapshot is built from. */
export interface RebuildScope {
  /** The part of the mutation log whose documents the snapshot is to hold. */
  readonly mutations: LogRange;
  /** Partitions of the mutation topic that are worked on. */
  readonly partitionCount: number;
  readonly snapshotTopic: string;
}

/** What came of a partition. */
export interface RebuildResult extends MergeCounts {
  /** Documents of the mutations, deleted ones too. */
  readonly documents: number;
  /** Mutations that can't be decoded, and ignored types: no snapshot holds them. */
  readonly leftOut: number;
}

export interface RebuildListener {
  /** So many of the records that are to be read were read. */
  onProgress(read: number, total: number): void;
  onFailed(error: Error): void;
}

/**
 * Has one partition of the snapshot hold the newest mutation of each document of the range: reads the mutations for the
 * newest of each document, what the snapshot has of them, and then writes what is missing or older there.
 *
 * Run again it writes nothing more, so it goes on where it was stopped. While an instance copies newer mutations than
 * those of the range, what is written meanwhile is looked at (`SnapshotMerge`): nothing older stays last. Rejects with a
 * `TopicReadError` or a `SchemaNotLoadedError`; ends early when `signal` aborts.
 */
export async function rebuildPartition(
  scope: RebuildScope,
  ports: RebuildPorts,
  listener: RebuildListener,
  signal: AbortSignal,
): Promise<RebuildResult> {
  const { mutations, partitionCount, snapshotTopic } = scope;
  const { partition, start, end } = mutations;
  const reader = new MutationReader(ports);
  const total = 2 * (end - start);
  const index = new HashIndex();
  let newest = new Float64Array(0);
  let leftOut = 0;
  await scanRange(
    mutations,
    ports,
    ({ offset, value }) =>
      reader.read(value, signal, (isMutation) => {
        if (!isMutation) {
          leftOut += 1;
          return;
        }
        const document = index.numberOf(reader.documentHash());
        newest = grownTo(index.capacity, newest);
        newest[document] = offset;
      }),
    (offset) => {
      listener.onProgress(offset - start, total);
    },
    signal,
  );
  const merge = new SnapshotMerge(
    { topic: snapshotTopic, partition },
    ports,
    (error) => {
      listener.onFailed(error);
    },
    signal,
  );
  await merge.begin();
  const offer = (record: ConsumedRecord): Promise<void> | undefined => {
    const { offset, value, timestamp } = record;
    if (newest[index.find(reader.documentHash())] !== offset) return undefined;
    const key = Buffer.from(reader.documentKey());
    const isDeleted = reader.mutation.op === DELETE;
    // There is nothing to delete.
    if (isDeleted && !merge.hasRow(key)) return undefined;
    const source = { partitionCount, partition, offset };
    return merge.offer({
      key,
      value: isDeleted ? null : value && Buffer.from(value),
      headers: { source: formatMutationSource(source) },
      timestamp: Math.min(timestamp, ports.clock.now()),
      source,
    });
  };
  await scanRange(
    mutations,
    ports,
    (record) => reader.read(record.value, signal, (isMutation) => (isMutation ? offer(record) : undefined)),
    (offset) => {
      listener.onProgress(end - start + offset - start, total);
    },
    signal,
  );
  await merge.finish();
  return { ...merge.counts, documents: index.size, leftOut };
}
