import type { SyncEstimate } from '../../processors/initial-sync/sync-estimate.ts';
import { readDeletion } from '../../schemas/deleted-document.ts';
import type { DocumentKeyView } from '../../schemas/document-key.ts';
import { Hash64 } from '../../schemas/hash64.ts';
import { murmur2 } from '../../schemas/murmur2.ts';
import { MutationView } from '../../schemas/mutation.ts';
import type { OperationEncoder, OperationVersion } from '../../schemas/operation-encoder.ts';
import type { LogRange } from '../partition-scan.ts';
import type { ScanProgress } from './scan-progress.ts';
import {
  SnapshotRows,
  type SnapshotRow,
  type SnapshotRowListener,
  type SnapshotRowsOptions,
} from './snapshot-rows.ts';

export interface SnapshotEstimateOptions extends Omit<SnapshotRowsOptions, 'documents'> {
  readonly estimate: SyncEstimate;
  /** The whole of every snapshot partition. */
  readonly ranges: readonly LogRange[];
  readonly encoders: Readonly<Record<OperationVersion, OperationEncoder>>;
  readonly onProgress: (progress: ScanProgress) => void;
}

/**
 * Fills an estimate from the snapshot: every row is encoded as its replications would get it, so that the bytes are
 * exact. Resolves with how many rows couldn't be read. Ends early when `signal` aborts: the estimate is worth nothing
 * then. Rejects with a `TopicReadError` or a `SchemaNotLoadedError`.
 */
export async function estimateFromSnapshot(
  options: SnapshotEstimateOptions,
  signal: AbortSignal,
): Promise<number> {
  const { estimate, ranges, onProgress } = options;
  const rows = new SnapshotRows({ ...options, documents: estimate.wanted });
  const measure = new RowMeasure(options);
  const total = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  let before = 0;
  for (const range of ranges) {
    await rows.scan(
      range,
      measure,
      (offset) => {
        onProgress({ reading: range.topic, read: before + offset - range.start, total });
      },
      signal,
    );
    if (signal.aborted) break;
    estimate.endPartition(range);
    before += range.end - range.start;
  }
  return rows.unreadable;
}

/** Measures rows and hands them on. */
class RowMeasure implements SnapshotRowListener {
  readonly #estimate: SyncEstimate;
  /** Null where no replication has the version. */
  readonly #json: OperationEncoder | null;
  readonly #avro: OperationEncoder | null;
  readonly #deletion = new MutationView();
  readonly #hash = new Hash64();
  #scratch = Buffer.alloc(64 * 1024);

  constructor({ estimate, encoders }: Pick<SnapshotEstimateOptions, 'estimate' | 'encoders'>) {
    this.#estimate = estimate;
    this.#json = estimate.versions.has(1) ? encoders[1] : null;
    this.#avro = estimate.versions.has(2) ? encoders[2] : null;
  }

  onDocument({ key }: SnapshotRow, mutation: MutationView): void {
    this.#take(key, mutation, false);
  }

  onTombstone({ key, timestamp }: SnapshotRow): void {
    if (readDeletion(key, timestamp, this.#deletion)) this.#take(key, this.#deletion, true);
  }

  /** Its row is counted where it is now. */
  onMoved({ key }: SnapshotRow): void {
    this.#estimate.forget(this.#hash.of(key.bytes));
  }

  /** It can't be sent from here. */
  onOmitted({ key }: SnapshotRow): void {
    this.#estimate.forget(this.#hash.of(key.bytes));
  }

  #take(key: DocumentKeyView, mutation: MutationView, isTombstone: boolean): void {
    const { bytes, userPointStart, userPointEnd } = mutation;
    this.#estimate.take({
      key: this.#hash.of(key.bytes),
      docType: key.docType,
      laneHash: murmur2(bytes, userPointStart, userPointEnd) & 0x7fffffff,
      isTombstone,
      jsonBytes: this.#lengthIn(this.#json, mutation),
      avroBytes: this.#lengthIn(this.#avro, mutation),
    });
  }

  #lengthIn(encoder: OperationEncoder | null, mutation: MutationView): number {
    if (!encoder) return 0;
    const maxBytes = encoder.maxBytes(mutation);
    if (maxBytes > this.#scratch.length) this.#scratch = Buffer.alloc(maxBytes * 2);
    return encoder.encode(mutation, this.#scratch, 0);
  }
}
