import type { DeliveryCosts } from '../../schemas/delivery-costs.ts';
import {
  DOCUMENT_TYPES,
  USER_POINT_PARENT,
  type DocumentType,
  type DocumentTypeIndex,
  type DocumentTypeMask,
} from '../../schemas/document-type.ts';
import type { Hash64 } from '../../schemas/hash64.ts';
import type { OperationVersion } from '../../schemas/operation-encoder.ts';
import { deliveredDocuments, selectedDocuments } from '../datamart-plan.ts';
import { grownTo, HashIndex } from '../hash-index.ts';
import type { ReplicationConfig } from '../replication-config.ts';
import type { SnapshotPartition } from './execution-keys.ts';
import { RequestTally, type RequestEstimate } from './request-tally.ts';

/** A replication that an initial synchronization is estimated for. */
export interface EstimatedReplication {
  readonly config: ReplicationConfig;
  /** Null: nothing is known of its kind of destination. */
  readonly costs: DeliveryCosts | null;
  /** Whether it gets the deletions that this snapshot partition still holds (PROTOCOL B7). */
  readonly needsDeletions: (at: SnapshotPartition) => boolean;
}

/** What an initial synchronization would send to one replication. */
export interface ReplicationEstimate extends RequestEstimate {
  readonly documents: ReadonlyMap<DocumentType, number>;
  /** Deletions; empty when it gets none. */
  readonly deletions: ReadonlyMap<DocumentType, number>;
  readonly messages: number;
  /** Of the operations, encoded in the replication's version. */
  readonly bytes: number;
  /** Documents that the filter selects and the replication's schema can't hold. */
  readonly notInSchema: number;
}

/** A row of the snapshot: a document, or the tombstone of one. */
export interface EstimatedRow {
  /** Of the document. */
  readonly key: Hash64;
  readonly docType: DocumentTypeIndex;
  /** `murmur2(ctx_id) & 0x7fffffff` */
  readonly laneHash: number;
  readonly isTombstone: boolean;
  /** How long its operation is in version 1; anything while no replication has that version. */
  readonly jsonBytes: number;
  /** The same for version 2. */
  readonly avroBytes: number;
}

const LIVE = 1;
const DEAD = 2;
const TYPE_BITS = 4;
const TYPE_MASK = 15;

/**
 * What an initial synchronization would send, found by folding the rows of the snapshot: per document only the last row
 * counts, as a compacted log may still hold older ones.
 *
 * All rows of a document lie in one partition, so that memory is needed for one partition's documents at a time: 26 to
 * 53 MB per million, and half as much again in the moment in which it grows.
 */
export class SyncEstimate {
  readonly #parts: readonly ReplicationPart[];
  readonly #index = new HashIndex();
  /** The type in the low four bits, and above them whether the last row is a document or a tombstone. */
  #states = new Uint8Array(0);
  #laneHashes = new Uint32Array(0);
  #jsonSizes = new Uint32Array(0);
  #avroSizes = new Uint32Array(0);
  #supersededRows = 0;

  constructor(replications: readonly EstimatedReplication[]) {
    this.#parts = replications.map((replication) => new ReplicationPart(replication));
  }

  /** The document types of which rows are needed, tombstones too: one that nobody gets takes its document's row back. */
  get wanted(): DocumentTypeMask {
    return this.#parts.reduce((all, { selected }) => all | selected, 0);
  }

  get versions(): ReadonlySet<OperationVersion> {
    return new Set(this.#parts.map(({ version }) => version));
  }

  /** Rows behind which there is a newer one of their document: compaction is yet to remove them, and they are sent too. */
  get supersededRows(): number {
    return this.#supersededRows;
  }

  /** The partition's next row. */
  take({ key, docType, laneHash, isTombstone, jsonBytes, avroBytes }: EstimatedRow): void {
    const { size } = this.#index;
    const document = this.#index.numberOf(key);
    const isKnown = this.#index.size === size;
    this.#grow();
    if (isKnown && !isTombstone && (this.#states[document] ?? 0) >> TYPE_BITS === LIVE)
      this.#supersededRows += 1;
    this.#states[document] = ((isTombstone ? DEAD : LIVE) << TYPE_BITS) | docType;
    this.#laneHashes[document] = laneHash;
    this.#jsonSizes[document] = jsonBytes;
    this.#avroSizes[document] = avroBytes;
  }

  /** The document has no row any more in this partition, and isn't deleted either. */
  forget(key: Hash64): void {
    const document = this.#index.find(key);
    if (document >= 0) this.#states[document] = 0;
  }

  /** The last row of this partition was taken. */
  endPartition(at: SnapshotPartition): void {
    for (const part of this.#parts) part.beginPartition(at);
    for (let document = 0; document < this.#index.size; document++) {
      const state = this.#states[document] ?? 0;
      if (state === 0) continue;
      const docType = state & TYPE_MASK;
      const isTombstone = state >> TYPE_BITS === DEAD;
      const laneHash = this.#laneHashes[document] ?? 0;
      const json = this.#jsonSizes[document] ?? 0;
      const avro = this.#avroSizes[document] ?? 0;
      for (const part of this.#parts)
        part.add(docType, laneHash, isTombstone, part.version === 1 ? json : avro);
    }
    for (const part of this.#parts) part.endPartition();
    this.#index.clear();
  }

  /** By replication id; complete once the last partition has ended. */
  get estimates(): ReadonlyMap<string, ReplicationEstimate> {
    return new Map(this.#parts.map((part) => [part.id, part.estimate]));
  }

  #grow(): void {
    const { capacity } = this.#index;
    if (this.#states.length >= capacity) return;
    this.#states = grownTo(capacity, this.#states);
    this.#laneHashes = grownTo(capacity, this.#laneHashes);
    this.#jsonSizes = grownTo(capacity, this.#jsonSizes);
    this.#avroSizes = grownTo(capacity, this.#avroSizes);
  }
}

/** One replication's share of an estimate. */
class ReplicationPart {
  readonly id: string;
  readonly version: OperationVersion;
  readonly selected: DocumentTypeMask;
  readonly #needsDeletions: EstimatedReplication['needsDeletions'];
  readonly #delivered: DocumentTypeMask;
  readonly #requests: RequestTally;
  readonly #documents = new Float64Array(DOCUMENT_TYPES.length);
  readonly #deletions = new Float64Array(DOCUMENT_TYPES.length);
  #sendsDeletions = false;
  #bytes = 0;
  #notInSchema = 0;

  constructor({ config, costs, needsDeletions }: EstimatedReplication) {
    this.id = config.id;
    this.version = config.version;
    this.selected = selectedDocuments(config);
    this.#delivered = deliveredDocuments(config);
    this.#needsDeletions = needsDeletions;
    this.#requests = new RequestTally(costs, config.ordering ? config.orderingLanes : 0);
  }

  beginPartition(at: SnapshotPartition): void {
    this.#sendsDeletions = this.#needsDeletions(at);
  }

  add(docType: DocumentTypeIndex, laneHash: number, isTombstone: boolean, bytes: number): void {
    if ((this.#delivered & (1 << docType)) === 0) {
      const isSelected = (this.selected & (1 << docType)) !== 0;
      if (isSelected && docType === USER_POINT_PARENT && !isTombstone) this.#notInSchema += 1;
      return;
    }
    if (isTombstone && !this.#sendsDeletions) return;
    const counts = isTombstone ? this.#deletions : this.#documents;
    counts[docType] = (counts[docType] ?? 0) + 1;
    this.#bytes += bytes;
    this.#requests.add(docType, laneHash, bytes);
  }

  endPartition(): void {
    this.#requests.endPartition();
  }

  get estimate(): ReplicationEstimate {
    const total = (counts: Float64Array): number => counts.reduce((sum, count) => sum + count, 0);
    return {
      documents: countsByType(this.#documents),
      deletions: countsByType(this.#deletions),
      messages: total(this.#documents) + total(this.#deletions),
      bytes: this.#bytes,
      notInSchema: this.#notInSchema,
      ...this.#requests.estimate,
    };
  }
}

/** Without the types that there are none of. */
function countsByType(counts: Float64Array): ReadonlyMap<DocumentType, number> {
  return new Map(
    DOCUMENT_TYPES.flatMap((type, i) => {
      const count = counts[i] ?? 0;
      return count > 0 ? [[type, count] as const] : [];
    }),
  );
}
