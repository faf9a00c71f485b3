import type { ReplicationConfig } from '../../processors/replication-config.ts';
import { DOCUMENT_TYPES, type DocumentType } from '../../schemas/document-type.ts';
import type { SinkError } from '../../sinks/sink.ts';
import type { Lane } from '../lane.ts';
import { identityHash } from '../replication-identity.ts';
import type { Segment } from '../segment.ts';
import type { RateLimit } from './rate-limit.ts';
import { RowQueue, type RowQueueOwner } from './row-queue.ts';
import type { PartOutcome, PartReport } from './sync-port.ts';

/** What the parts need of their task. */
export interface SyncPartOwner {
  isNewer(high: number, low: number): boolean;
  storeRejected(offset: number, replication: ReplicationConfig, error: SinkError): Promise<void>;
  /** Rows of the part were delivered, skipped or rejected. */
  onProgress(): void;
  onDelivered(replication: ReplicationConfig, operations: number): void;
}

/** One replication's part of the task of one snapshot partition: where it stands, and what it was sent. */
export class SyncPart implements RowQueueOwner {
  readonly replicationId: string;
  readonly config: ReplicationConfig;
  readonly hash: number;
  readonly rate: RateLimit;
  /** It has missed operations since it was last in step: deletions must be made up for too (PROTOCOL B7). */
  readonly needsDeletions: boolean;
  readonly #owner: SyncPartOwner;
  /** By document type index. */
  readonly #documents = new Float64Array(DOCUMENT_TYPES.length);
  #skippedNewer = 0;
  #rejected = 0;
  #outcome: PartOutcome | null;
  #queue: RowQueue | null = null;
  #position: number;

  /** `before`: what was reported of the part by an owner before. */
  constructor(
    config: ReplicationConfig,
    position: number,
    rate: RateLimit,
    needsDeletions: boolean,
    before: PartReport | null,
    owner: SyncPartOwner,
  ) {
    this.replicationId = config.id;
    this.config = config;
    this.hash = identityHash(config);
    this.rate = rate;
    this.needsDeletions = needsDeletions;
    this.#position = position;
    this.#owner = owner;
    this.#outcome = before?.outcome === 'succeeded' ? null : (before?.outcome ?? null);
    this.#skippedNewer = before?.skippedNewer ?? 0;
    this.#rejected = before?.rejected ?? 0;
    for (const [type, count] of before?.documents ?? [])
      this.#documents[DOCUMENT_TYPES.indexOf(type)] = count;
  }

  /** Null while it goes on. */
  get outcome(): PartOutcome | null {
    return this.#outcome;
  }

  /** Null while nothing can be sent to the replication: it is detached, or is being activated. */
  get queue(): RowQueue | null {
    return this.#queue;
  }

  /** Everything below is delivered or skipped. */
  get position(): number {
    return this.#queue?.position ?? this.#position;
  }

  /** Operations sent, or stored as dead letters. */
  get operations(): number {
    return this.#documents.reduce((sum, count) => sum + count, 0) + this.#rejected;
  }

  get report(): PartReport {
    const documents = new Map<DocumentType, number>();
    for (const [i, type] of DOCUMENT_TYPES.entries())
      if (this.#documents[i]) documents.set(type, this.#documents[i]);
    return { outcome: this.#outcome, documents, skippedNewer: this.#skippedNewer, rejected: this.#rejected };
  }

  /** Delivers through this lane from now on; null: there is none at present. */
  serveBy(lane: Lane | null): void {
    if (this.#queue?.isGivenUp) {
      this.#position = this.#queue.position;
      this.#queue = null;
    }
    if (this.#queue && this.#queue.lane !== lane) this.#stop();
    if (!this.#queue && lane) this.#queue = new RowQueue(lane, this.#position, this);
  }

  /** Where it stands, before anything is delivered. */
  goOnAt(position: number): void {
    this.#position = position;
  }

  end(outcome: PartOutcome): void {
    this.#outcome = outcome;
    this.#stop();
  }

  /** Starts nothing more. */
  close(): void {
    this.#stop();
  }

  isNewer(high: number, low: number): boolean {
    return this.#owner.isNewer(high, low);
  }

  delivered({ storage }: Segment, from: number, to: number): void {
    for (let i = from; i < to; i += 1) {
      const docType = (storage.kinds[i] ?? 0) >> 1;
      this.#documents[docType] = (this.#documents[docType] ?? 0) + 1;
    }
    this.#owner.onDelivered(this.config, to - from);
    this.#owner.onProgress();
  }

  skipped(count: number): void {
    this.#skippedNewer += count;
    this.#owner.onProgress();
  }

  rejected(): void {
    this.#rejected += 1;
    this.#owner.onProgress();
  }

  storeRejected(offset: number, error: SinkError): Promise<void> {
    return this.#owner.storeRejected(offset, this.config, error);
  }

  #stop(): void {
    const queue = this.#queue;
    if (!queue) return;
    if (!queue.isGivenUp) queue.lane.stopRows();
    this.#position = queue.position;
    this.#queue = null;
  }
}
