import { DocumentKeyView } from '../../schemas/document-key.ts';
import type { DocumentTypeMask } from '../../schemas/document-type.ts';
import { DELETE, type DatamartKey, type MutationView } from '../../schemas/mutation.ts';
import type { ConsumedRecord, RecordHeaders } from '../kafka-port.ts';
import { scanRange, type LogRange, type ScanPorts } from '../partition-scan.ts';
import { MutationReader, type MutationReaderPorts } from '../snapshot/mutation-reader.ts';
import { isMoved, isOmitted } from '../snapshot/snapshot-headers.ts';

export interface SnapshotRowsOptions extends ScanPorts, MutationReaderPorts {
  /** Whose rows. */
  readonly datamart: DatamartKey;
  readonly documents: DocumentTypeMask;
}

/** A record of the snapshot; valid as long as the record is. */
export interface SnapshotRow {
  readonly key: DocumentKeyView;
  readonly headers: RecordHeaders;
  /** Kafka's, in ms since 1970 UTC. */
  readonly timestamp: number;
}

/** Takes up rows; everything it is handed is valid during the call. */
export interface SnapshotRowListener {
  /** The newest mutation of the document so far, an UPDATE. */
  onDocument(row: SnapshotRow, mutation: MutationView): void;
  /** The document is deleted. */
  onTombstone(row: SnapshotRow): void;
  /** The document goes on in another partition, as the mutation topic got more of them. */
  onMoved(row: SnapshotRow): void;
  /** The document has a newer mutation than any row, which the topic was too small for. */
  onOmitted(row: SnapshotRow): void;
}

/**
 * Reads the rows that one datamart has in the snapshot, of some document types. A compacted log may hold several of one
 * document: the last one counts.
 */
export class SnapshotRows {
  readonly #options: SnapshotRowsOptions;
  readonly #reader: MutationReader;
  readonly #key = new DocumentKeyView();
  #unreadable = 0;

  constructor(options: SnapshotRowsOptions) {
    this.#options = options;
    this.#reader = new MutationReader(options);
  }

  /** Rows whose value was no mutation of a document. */
  get unreadable(): number {
    return this.#unreadable;
  }

  /**
   * Hands over the rows of a part of a snapshot partition. Ends early when `signal` aborts. Rejects with a
   * `TopicReadError` or a `SchemaNotLoadedError`.
   */
  async scan(
    range: LogRange,
    listener: SnapshotRowListener,
    onProgress: (offset: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { datamart, documents } = this.#options;
    const view = this.#key;
    const onRecord = ({ key, value, headers, timestamp }: ConsumedRecord): Promise<void> | void => {
      if (!key || !view.read(key)) return;
      if (view.datamart !== datamart || (documents & (1 << view.docType)) === 0) return;
      const row = { key: view, headers, timestamp };
      if (value) return this.#take(row, value, listener, signal);
      if (isMoved(headers)) listener.onMoved(row);
      else if (isOmitted(headers)) listener.onOmitted(row);
      else listener.onTombstone(row);
    };
    await scanRange(range, this.#options, onRecord, onProgress, signal);
  }

  #take(
    row: SnapshotRow,
    value: Buffer,
    listener: SnapshotRowListener,
    signal: AbortSignal,
  ): Promise<void> | void {
    return this.#reader.read(value, signal, (isMutation) => {
      const { mutation } = this.#reader;
      if (!isMutation) this.#unreadable += 1;
      else if (mutation.op === DELETE) listener.onTombstone(row);
      else listener.onDocument(row, mutation);
    });
  }
}
