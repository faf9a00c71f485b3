import { deliveredDocuments } from '../../processors/datamart-plan.ts';
import { DocumentFold, type Comparison } from '../../processors/document-fold.ts';
import { OperationHasher } from '../../processors/initial-sync/operation-hasher.ts';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import type { DocumentTypeIndex } from '../../schemas/document-type.ts';
import type { Hash64 } from '../../schemas/hash64.ts';
import { DELETE, type MutationView } from '../../schemas/mutation.ts';
import type { OperationEncoder } from '../../schemas/operation-encoder.ts';
import { OperationReader, OperationView } from '../../schemas/operation-reader.ts';
import type { RecordHeaders } from '../kafka-port.ts';
import type { LogRange } from '../partition-scan.ts';
import { sourceOf } from '../snapshot/snapshot-headers.ts';
import type { ArrivalListener, Arrivals } from './arrivals.ts';
import type { ScanProgress } from './scan-progress.ts';
import {
  SnapshotRows,
  type SnapshotRow,
  type SnapshotRowListener,
  type SnapshotRowsOptions,
} from './snapshot-rows.ts';

/** An operation has no message id, and the fold was to go by it. */
export class NoMessageIdError extends Error {
  override readonly name = 'NoMessageIdError';
}

export interface VerificationOptions extends Omit<SnapshotRowsOptions, 'documents' | 'datamart'> {
  readonly config: ReplicationConfig;
  /** Of the replication's version. */
  readonly encoder: OperationEncoder;
  /** What is read of every snapshot partition. */
  readonly snapshot: readonly LogRange[];
  readonly arrivals: Arrivals;
  /** True folds by message id: the greatest of a document counts. False folds in the order of arrival. */
  readonly isByMessageId: boolean;
  /** Reads everything so many times, each time for that part of the documents, so that it takes a part of the memory. */
  readonly passes: number;
  /** Of each kind of difference. */
  readonly maxExamples: number;
  readonly onProgress: (progress: ScanProgress & { readonly pass: number }) => void;
}

/** What a verification has found. */
export interface Verification extends Comparison {
  /** Operations that the destination got. */
  readonly arrived: number;
  /** Things that the destination has and that are no operations, and the first of them. */
  readonly foreign: number;
  readonly firstForeign: { readonly where: string; readonly detail: string } | null;
  /** Rows of the snapshot that are no mutations. */
  readonly unreadableRows: number;
  /** Mutations that the snapshot was too small for: what their documents hold can't be compared. */
  readonly omittedRows: number;
}

/**
 * Compares what a destination got with what the snapshot says it should have: both are folded per document, the last
 * operation counts. The snapshot's rows are encoded and read again as the destination would have got them.
 *
 * Null when `signal` has aborted. Rejects with a `TopicReadError`, `SchemaNotLoadedError` or `NoMessageIdError`.
 */
export async function verifyReplication(
  options: VerificationOptions,
  signal: AbortSignal,
): Promise<Verification | null> {
  let result: Verification | null = null;
  let order: SnapshotOrder = 'log';
  for (let pass = 0; pass < options.passes; pass += 1) {
    let found = await runPass(options, pass, order, signal);
    if (found === 'moved') {
      order = 'mutations';
      found = await runPass(options, pass, order, signal);
    }
    if (signal.aborted || found === 'moved') return null;
    result = result ? joined(result, found, options.maxExamples) : found;
  }
  return result;
}

/**
 * Finds the documents behind the hashes of examples: reads everything once more, until all are found. Resolves with the
 * `doc_id` by hash.
 */
export async function findDocuments(
  options: VerificationOptions,
  keyHashes: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const done = new AbortController();
  const stop = AbortSignal.any([signal, done.signal]);
  const hasher = new OperationHasher();
  const look = ({ docType, docId }: Pick<OperationView, 'docType' | 'docId'>): void => {
    const hash = hasher.document(docType, docId).toString();
    if (!keyHashes.has(hash)) return;
    found.set(hash, docId);
    if (found.size === keyHashes.size) done.abort();
  };
  await readArrivals(options, 0, stop, { onArrival: look, onForeign: () => undefined });
  await readSnapshot(options, 0, stop, look);
  return found;
}

/**
 * What tells the last row of a document: the log, as all rows of a document lie in one partition; or, once the mutation
 * topic has got more partitions and documents were moved, the mutations that they are copies of.
 */
type SnapshotOrder = 'log' | 'mutations';

/** `moved`: the order of the log tells nothing. */
async function runPass(
  options: VerificationOptions,
  pass: number,
  order: SnapshotOrder,
  signal: AbortSignal,
): Promise<Verification | 'moved'> {
  const { isByMessageId, passes, maxExamples } = options;
  const fold = new DocumentFold();
  const hasher = new OperationHasher();
  const isOfPass = ({ high }: Hash64): boolean => (high >>> 0) % passes === pass;
  let arrived = 0;
  let foreign = 0;
  let omittedRows = 0;
  let firstForeign: Verification['firstForeign'] = null;
  await readArrivals(options, pass, signal, {
    onArrival: (operation, source) => {
      arrived += 1;
      if (isByMessageId && !source)
        throw new NoMessageIdError('an operation has no message_id of this program; compare by arrival');
      const key = hasher.document(operation.docType, operation.docId);
      if (!isOfPass(key)) return;
      const contents = operation.op === DELETE ? null : hasher.contents(operation);
      fold.takeCopy(key, operation.docType, contents, isByMessageId ? source : null);
    },
    onForeign: (where, detail) => {
      foreign += 1;
      firstForeign ??= { where, detail };
    },
  });
  const { unreadableRows, hasMoved } = await readSnapshot(options, pass, signal, (row) => {
    const { docType, docId, contents } = row;
    const key = hasher.document(docType, docId);
    if (!isOfPass(key)) return;
    if (contents === 'omitted') {
      omittedRows += 1;
      fold.takeUnknown(key, docType);
      return;
    }
    const value = contents === 'deleted' ? null : hasher.contents(contents);
    fold.takeSource(key, docType, value, order === 'mutations' ? sourceOf(row.headers) : null);
  });
  if (hasMoved && order === 'log') return 'moved';
  return { ...fold.compare(maxExamples), arrived, foreign, firstForeign, unreadableRows, omittedRows };
}

async function readArrivals(
  { arrivals, onProgress }: VerificationOptions,
  pass: number,
  signal: AbortSignal,
  listener: ArrivalListener,
): Promise<void> {
  await arrivals.read(
    listener,
    (progress) => {
      onProgress({ ...progress, pass });
    },
    signal,
  );
}

/** What a row of the snapshot comes to at the destination; valid during the call. */
interface ExpectedDocument {
  readonly docType: DocumentTypeIndex;
  readonly docId: string;
  readonly contents: OperationView | 'deleted' | 'omitted';
  readonly headers: RecordHeaders;
}

async function readSnapshot(
  options: VerificationOptions,
  pass: number,
  signal: AbortSignal,
  onRow: (row: ExpectedDocument) => void,
): Promise<{ readonly unreadableRows: number; readonly hasMoved: boolean }> {
  const { config, snapshot, onProgress } = options;
  const { datamart } = config;
  const rows = new SnapshotRows({ ...options, datamart, documents: deliveredDocuments(config) });
  const listener = new EncodedRows(options.encoder, onRow);
  const total = snapshot.reduce((sum, { start, end }) => sum + end - start, 0);
  let before = 0;
  for (const range of snapshot) {
    await rows.scan(
      range,
      listener,
      (offset) => {
        onProgress({ reading: range.topic, read: before + offset - range.start, total, pass });
      },
      signal,
    );
    before += range.end - range.start;
  }
  return { unreadableRows: rows.unreadable, hasMoved: listener.hasMoved };
}

/** Makes of each row what the destination gets. */
class EncodedRows implements SnapshotRowListener {
  /** Whether a document was moved to another partition. */
  hasMoved = false;
  readonly #encoder: OperationEncoder;
  readonly #onRow: (row: ExpectedDocument) => void;
  readonly #reader = new OperationReader();
  readonly #operation = new OperationView();
  #scratch = Buffer.alloc(64 * 1024);

  constructor(encoder: OperationEncoder, onRow: (row: ExpectedDocument) => void) {
    this.#encoder = encoder;
    this.#onRow = onRow;
  }

  onDocument({ headers }: SnapshotRow, mutation: MutationView): void {
    const maxBytes = this.#encoder.maxBytes(mutation);
    if (maxBytes > this.#scratch.length) this.#scratch = Buffer.alloc(maxBytes * 2);
    const encoded = this.#scratch.subarray(0, this.#encoder.encode(mutation, this.#scratch, 0));
    if (!this.#reader.read(encoded, this.#operation))
      throw new Error(`an operation that was encoded here can't be read: ${this.#reader.detail}`);
    const { docType, docId } = this.#operation;
    this.#onRow({ docType, docId, contents: this.#operation, headers });
  }

  onTombstone(row: SnapshotRow): void {
    this.#onRow({ ...documentOf(row), contents: 'deleted', headers: row.headers });
  }

  onMoved(): void {
    this.hasMoved = true;
  }

  onOmitted(row: SnapshotRow): void {
    this.#onRow({ ...documentOf(row), contents: 'omitted', headers: row.headers });
  }
}

function documentOf({ key }: SnapshotRow): Pick<ExpectedDocument, 'docType' | 'docId'> {
  return { docType: key.docType, docId: key.bytes.toString('utf8', key.docIdStart) };
}

function joined(one: Verification, other: Verification, maxExamples: number): Verification {
  const examples = [...one.examples, ...other.examples];
  const seen = new Map<string, number>();
  return {
    // What arrived and what is foreign is the same in every pass.
    ...one,
    byType: one.byType.map((counts, docType) => {
      const more = other.byType[docType] ?? counts;
      return {
        source: counts.source + more.source,
        copy: counts.copy + more.copy,
        missing: counts.missing + more.missing,
        stale: counts.stale + more.stale,
        resurrected: counts.resurrected + more.resurrected,
        extra: counts.extra + more.extra,
      };
    }),
    examples: examples.filter(({ difference }) => {
      const count = (seen.get(difference) ?? 0) + 1;
      seen.set(difference, count);
      return count <= maxExamples;
    }),
  };
}
