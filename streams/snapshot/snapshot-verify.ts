import { DocumentFold, type Comparison } from '../../processors/document-fold.ts';
import { grownTo, HashIndex } from '../../processors/hash-index.ts';
import { DocumentKeyView } from '../../schemas/document-key.ts';
import { Hash64 } from '../../schemas/hash64.ts';
import { DELETE } from '../../schemas/mutation.ts';
import type { ConsumedRecord } from '../kafka-port.ts';
import { scanRange, type LogRange, type ScanPorts } from '../partition-scan.ts';
import { readPersistently } from '../redrive/persistent-read.ts';
import { MutationReader, type MutationReaderPorts } from './mutation-reader.ts';
import { isMoved, isOmitted, sourceOf } from './snapshot-headers.ts';

export type VerifyPorts = ScanPorts & MutationReaderPorts;

export interface VerifyScope {
  /** The part of the mutation log whose mutations the snapshot must hold: up to the group's commit. */
  readonly mutations: LogRange;
  readonly snapshotTopic: string;
}

/** What one partition's comparison came to. */
export interface VerifyResult extends Comparison {
  /** Rows of documents whose mutations this log doesn't hold, or no more: nothing to compare them with. */
  readonly older: number;
  /** Records that stand for mutations that the topic was too small for. */
  readonly omitted: number;
  /** Records whose key is none of a document. */
  readonly foreign: number;
}

/**
 * Compares what the mutations of the range come to with what the snapshot holds, per document, by its last record. Newer
 * mutations may be in the snapshot already: they count as they are.
 *
 * Takes 30 to 61 MB per million documents of the partition. Rejects with a `TopicReadError` or a `SchemaNotLoadedError`;
 * ends early when `signal` aborts.
 */
export async function verifyPartition(
  { mutations, snapshotTopic }: VerifyScope,
  ports: VerifyPorts,
  options: { readonly maxExamples: number; readonly onProgress: (read: number, total: number) => void },
  signal: AbortSignal,
): Promise<VerifyResult> {
  const { partition, start, end } = mutations;
  const reader = new MutationReader(ports);
  const fold = new DocumentFold();
  const valueHash = new Hash64();
  const at = { topic: snapshotTopic, partition };
  // After the commit was read: what that settles is stored below this end.
  const bounds = await readPersistently({ ...ports, topic: snapshotTopic, signal }, () =>
    ports.reader.bounds(at),
  );
  const snapshot: LogRange = { ...at, ...bounds };
  const total = end - start + snapshot.end - snapshot.start;
  await scanRange(
    mutations,
    ports,
    ({ value }) =>
      reader.read(value, signal, (isMutation) => {
        if (!isMutation || value === null) return;
        const { docType, op } = reader.mutation;
        const hash = op === DELETE ? null : valueHash.of(value);
        fold.takeSource(reader.documentHash(), docType, hash);
      }),
    (offset) => {
      options.onProgress(offset - start, total);
    },
    signal,
  );
  const older = new OlderRows();
  const omitted = new Set<string>();
  const keyView = new DocumentKeyView();
  const keyHash = new Hash64();
  let foreign = 0;
  const take = ({ key, value, headers }: ConsumedRecord): void => {
    if (!key || !keyView.read(key)) {
      foreign += 1;
      return;
    }
    const { docType } = keyView;
    const document = keyHash.of(key);
    const hash = value && valueHash.of(value);
    const source = sourceOf(headers);
    const isInLog = source?.partition === partition && source.offset >= start;
    // Newer than the range, or not to be found here any more: it counts as it is.
    if ((isInLog && source.offset >= end) || isMoved(headers)) fold.takeSource(document, docType, hash);
    if (source && !isInLog && !fold.isInSource(document)) older.take(document, value !== null);
    else fold.takeCopy(document, docType, hash);
    if (isOmitted(headers)) omitted.add(String(document));
    else if (omitted.size > 0) omitted.delete(String(document));
  };
  await scanRange(
    snapshot,
    ports,
    take,
    (offset) => {
      options.onProgress(end - start + offset - snapshot.start, total);
    },
    signal,
  );
  return { ...fold.compare(options.maxExamples), older: older.count, omitted: omitted.size, foreign };
}

/** Rows that nothing can be compared with, by the last record of each document. */
class OlderRows {
  readonly #index = new HashIndex();
  #isRow = new Uint8Array(0);

  take(document: Hash64, isRow: boolean): void {
    const number = this.#index.numberOf(document);
    this.#isRow = grownTo(this.#index.capacity, this.#isRow);
    this.#isRow[number] = isRow ? 1 : 0;
  }

  get count(): number {
    return this.#isRow.reduce((sum, isRow) => sum + isRow, 0);
  }
}
