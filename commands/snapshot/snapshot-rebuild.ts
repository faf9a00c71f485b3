import type { RebuildResult } from '../../streams/snapshot/snapshot-rebuild.ts';
import { DONE } from '../cli-process.ts';
import { percentOf, ProgressLine } from '../progress-line.ts';
import { textTable, type TextOutput } from '../text-output.ts';
import type { SnapshotPartition } from './snapshot-partitions.ts';

export interface SnapshotRebuildOptions {
  readonly isJson: boolean;
}

export interface SnapshotRebuildPorts {
  readonly partitions: readonly SnapshotPartition[];
  readonly rebuild: (
    partition: SnapshotPartition,
    onProgress: (read: number, total: number) => void,
  ) => Promise<RebuildResult>;
  readonly out: TextOutput;
  readonly errors: TextOutput;
  /** In ms, of a clock that only goes forward. */
  readonly now: () => number;
}

/** The `snapshot rebuild` command, partition by partition. Resolves with the exit code; 0 also when it was stopped. */
export async function runSnapshotRebuild(
  { isJson }: SnapshotRebuildOptions,
  { partitions, rebuild, out, errors, now }: SnapshotRebuildPorts,
  signal: AbortSignal,
): Promise<number> {
  const progress = new ProgressLine({ errors, now, isPlainToo: true });
  const results: { readonly partition: SnapshotPartition; readonly result: RebuildResult }[] = [];
  for (const partition of partitions) {
    const { topic, partition: number } = partition.mutations;
    const result = await rebuild(partition, (read, total) => {
      progress.maybeShow(
        () => `${topic}/${number} (${results.length + 1} of ${partitions.length}): ${percentOf(read, total)}`,
      );
    });
    progress.clear();
    if (signal.aborted) break;
    results.push({ partition, result });
  }
  const isDone = results.length === partitions.length;
  if (isJson) {
    const rows = results.map(({ partition: { mutations, snapshotTopic }, result }) => ({
      topic: mutations.topic,
      partition: mutations.partition,
      snapshot_topic: snapshotTopic,
      documents: result.documents,
      stored: result.stored,
      deleted: result.deleted,
      mended: result.mended,
      too_large: result.tooLarge,
      left_out: result.leftOut,
    }));
    out.write(`${JSON.stringify({ status: 'ok', complete: isDone, partitions: rows })}\n`);
  } else {
    out.write(
      textTable(
        ['partition', 'documents', 'stored', 'deleted', 'mended', 'too large', 'left out'],
        results.map(({ partition: { mutations }, result }) => [
          `${mutations.topic}/${mutations.partition}`,
          result.documents,
          result.stored,
          result.deleted,
          result.mended,
          result.tooLarge,
          result.leftOut,
        ]),
      ),
    );
  }
  const tooLarge = results.reduce((sum, { result }) => sum + result.tooLarge, 0);
  if (tooLarge > 0)
    errors.write(
      `${tooLarge} mutations are larger than the snapshot topic takes, and are left out: raise its max.message.bytes\n`,
    );
  if (!isDone) errors.write('stopped; run it again and it goes on\n');
  return DONE;
}
