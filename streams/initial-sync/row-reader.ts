import type { DatamartPlan } from '../../processors/datamart-plan.ts';
import type { ReplicationTable } from '../../processors/replication-table.ts';
import { Topology } from '../../processors/topology.ts';
import { readDeletion } from '../../schemas/deleted-document.ts';
import { DocumentKeyView } from '../../schemas/document-key.ts';
import { USER_POINT_PARENT } from '../../schemas/document-type.ts';
import type { MutationDecoder } from '../../schemas/mutation-decoder.ts';
import { MutationSourceView } from '../../schemas/mutation-source.ts';
import { DELETE, MutationView, type DatamartKey } from '../../schemas/mutation.ts';
import type { Clock } from '../clock.ts';
import { FanOut, type FanOutContext } from '../fan-out.ts';
import {
  READ_MIB,
  type ConsumedBatch,
  type ConsumedRecord,
  type PartitionReader,
  type TopicPartition,
} from '../kafka-port.ts';
import type { ReplayTurns } from '../replay-turns.ts';
import type { SchemaLoader } from '../schema-loader.ts';
import type { RowOrigin } from '../segment.ts';
import { isMoved, isOmitted } from '../snapshot/snapshot-headers.ts';
import type { SetMemory } from './document-set.ts';
import { readAt } from './read-on.ts';
import type { ReadSlots } from './read-slots.ts';
import type { RowQueue } from './row-queue.ts';
import { RowReceivers } from './row-receivers.ts';
import type { SyncPart } from './sync-part.ts';

/** A part that has this much before it takes part in no further read: two requests, so that it never waits for a read. */
const BACKLOG_RECORDS = 2_000;
const MOST_BACKLOG_BYTES = 4 * 1024 * 1024;
const LEAST_BACKLOG_BYTES = 256 * 1024;
/** What one read has at the most, but for a single record that is larger. */
const KEPT_BYTES = READ_MIB.all * 1024 * 1024;
/** In place of the header that an upstream didn't write: older than every mutation. */
const NO_SOURCE = Buffer.alloc(0);

export interface RowReaderContext extends FanOutContext {
  readonly table: ReplicationTable;
  readonly decoder: MutationDecoder;
  readonly schemas: SchemaLoader;
  readonly reader: PartitionReader;
  readonly turns: ReplayTurns;
  readonly clock: Clock;
  readonly slots: ReadSlots;
  /** For what was read and waits. */
  readonly memory: SetMemory;
}

export interface RowReaderOptions {
  readonly datamart: DatamartKey;
  readonly isShortOfMemory: () => boolean;
  /** What one part may hold, in bytes. */
  readonly memoryShare: () => number;
  /** Whether rows of this document are not to be sent, and its hash. */
  readonly judge: (key: Buffer | null) => RowVerdict;
  /** How far the part may be fed now, an offset. */
  readonly limitOf: (part: SyncPart) => number;
  /** How many operations may still be sent, by all parts together. */
  readonly budget: () => number;
}

/**
 * What is known of a row by its key.
 * - `current`: nothing has happened to its document since.
 * - `newer`: something has; the row is skipped, and counted.
 * - `dead`: the document was deleted; only the tombstone itself is worth something.
 * - `foreign`: of another datamart.
 */
export interface RowVerdict {
  readonly kind: 'current' | 'newer' | 'dead' | 'foreign';
  readonly high: number;
  readonly low: number;
}

interface Group {
  readonly from: number;
  readonly to: number;
  readonly parts: readonly SyncPart[];
  readonly queues: readonly RowQueue[];
}

/**
 * Reads a snapshot partition for the parts of a task and hands each the rows that its replication wants.
 *
 * Parts that stand at the same offset are read for together; the lowest one with room reads on first, so that those that
 * are behind come up to the others.
 */
export class RowReader {
  readonly #context: RowReaderContext;
  readonly #at: TopicPartition;
  readonly #options: RowReaderOptions;
  readonly #topology: Topology;
  readonly #fanOut: FanOut;
  /** For replications that have missed deletions (PROTOCOL B7). */
  readonly #deletions: FanOut;
  readonly #key = new DocumentKeyView();
  readonly #deletion = new MutationView();
  readonly #origin = new RowOriginView();
  /** Who is read for, and through which queues. */
  #reading = new Map<string, SyncPart>();
  #receivers = new RowReceivers([]);
  #queues: readonly (RowQueue | null)[] = [];
  #lastRead: ConsumedBatch | null = null;
  /** Operations that the next row makes, if it was the budget that it had to wait for. */
  #nextOperations = 1;

  constructor(context: RowReaderContext, at: TopicPartition, options: RowReaderOptions) {
    this.#context = context;
    this.#at = at;
    this.#options = options;
    this.#topology = new Topology(
      context.decoder,
      context.table,
      (datamart) => datamart === options.datamart,
    );
    this.#fanOut = new FanOut(context, ({ id }) => this.#reading.get(id)?.queue ?? null, true);
    const deletionsOf = (part: SyncPart | undefined): RowQueue | null =>
      part?.needsDeletions ? part.queue : null;
    this.#deletions = new FanOut(context, ({ id }) => deletionsOf(this.#reading.get(id)), true);
  }

  /**
   * Reads once, for the lowest parts that have room, no further than `end`. Resolves with false when nobody could be fed.
   * Rejects when the partition can't be read now.
   */
  async advance(parts: readonly SyncPart[], end: number, signal: AbortSignal): Promise<boolean> {
    const group = this.#nextGroup(parts, end);
    if (!group || this.#options.isShortOfMemory() || this.isOutOfBudget(parts.length)) return false;
    return this.#context.slots.run(() => this.#feed(group, signal));
  }

  /** Whether the budget is too small for the next row, which goes to all of so many parts that want it, or waits. */
  isOutOfBudget(parts: number): boolean {
    return this.#options.budget() < Math.min(this.#nextOperations, parts);
  }

  close(): void {
    this.#reading = new Map();
    this.#keep(null);
    this.#fanOut.close();
    this.#deletions.close();
  }

  async #feed(group: Group, signal: AbortSignal): Promise<boolean> {
    const batch = await this.#read(group.from);
    await this.#context.turns.next(signal);
    if (signal.aborted || batch.nextOffset === group.from) return false;
    const present = group.parts.filter((part, i) => this.#isPresent(part, group.queues[i], group.from));
    if (present.length === 0) return false;
    this.#readFor(present);
    const reached = this.#dispatch(group, batch);
    for (const { queue } of present) queue?.fed(reached);
    for (const fanOut of [this.#fanOut, this.#deletions]) {
      fanOut.sealTouched();
      fanOut.pumpTouched(this.#context.clock.monotonic());
    }
    const isHalted = reached < Math.min(batch.nextOffset, group.to);
    this.#keep(isHalted && !signal.aborted ? batch : null);
    if (batch !== this.#lastRead) batch.release?.();
    if (isHalted && this.#topology.schemaId >= 0)
      await this.#context.schemas.load(this.#topology.schemaId, signal).catch(() => undefined);
    return reached > group.from;
  }

  /** What was read last serves again while there is something left of it: a rate may let pass a few rows at a time. */
  async #read(from: number): Promise<ConsumedBatch> {
    const last = this.#lastRead;
    if (last && last.fetchedOffset <= from && from < last.nextOffset) return last;
    this.#keep(null);
    return readAt(this.#context.reader, this.#at, from);
  }

  /** Keeps what was read, as far as there is memory for it. */
  #keep(batch: ConsumedBatch | null): void {
    const { memory } = this.#context;
    if (batch === this.#lastRead) return;
    if (this.#lastRead) memory.giveBack(KEPT_BYTES);
    this.#lastRead = batch && memory.take(KEPT_BYTES) ? batch : null;
  }

  /** Whether the part still stands where it was read for: whoever left meanwhile is read for on its own. */
  #isPresent(part: SyncPart, queue: RowQueue | undefined, from: number): boolean {
    return queue !== undefined && part.queue === queue && !queue.isGivenUp && queue.fedTo === from;
  }

  #nextGroup(parts: readonly SyncPart[], end: number): Group | null {
    const open = parts.flatMap((part) =>
      part.queue && part.queue.fedTo < end ? [{ part, queue: part.queue }] : [],
    );
    const offsets = [...new Set(open.map(({ queue }) => queue.fedTo))].sort((a, b) => a - b);
    for (const [i, from] of offsets.entries()) {
      const ready = open.filter(({ part, queue }) => queue.fedTo === from && this.#hasRoom(part, queue));
      if (ready.length === 0) continue;
      return {
        from,
        to: offsets[i + 1] ?? end,
        parts: ready.map(({ part }) => part),
        queues: ready.map(({ queue }) => queue),
      };
    }
    return null;
  }

  #hasRoom(part: SyncPart, queue: RowQueue): boolean {
    const share = Math.min(MOST_BACKLOG_BYTES, Math.max(LEAST_BACKLOG_BYTES, this.#options.memoryShare()));
    return (
      queue.fedTo < this.#options.limitOf(part) &&
      part.rate.allows(this.#context.clock.monotonic()) &&
      queue.pending < BACKLOG_RECORDS &&
      queue.heldBytes < share
    );
  }

  /** The logs follow when others are read for than before, or through other queues. */
  #readFor(parts: readonly SyncPart[]): void {
    const queues = parts.map(({ queue }) => queue);
    const isSame =
      queues.length === this.#queues.length && queues.every((queue, i) => queue === this.#queues[i]);
    if (isSame) return;
    this.#queues = queues;
    this.#reading = new Map(parts.map((part) => [part.replicationId, part]));
    this.#receivers = new RowReceivers(parts);
    for (const fanOut of [this.#fanOut, this.#deletions]) fanOut.refresh(this.#options.datamart);
  }

  /** Returns where it stopped: at the group's end, or at a row that must wait. */
  #dispatch(group: Group, batch: ConsumedBatch): number {
    const end = Math.min(batch.nextOffset, group.to);
    const arrival = this.#context.clock.monotonic();
    let budget = this.#options.budget();
    for (const record of batch.records) {
      if (record.offset < group.from) continue;
      if (record.offset >= end) break;
      if (this.#options.isShortOfMemory()) return record.offset;
      const verdict = this.#options.judge(record.key);
      const row = this.#rowOf(record, verdict);
      if (row === null) continue;
      if (row === 'schema_needed') return record.offset;
      const receivers = this.#receivers.of(row.mutation.docType, row.plan, row.fanOut === this.#deletions);
      if (verdict.kind === 'newer') {
        for (const part of receivers) part.skipped(1);
        continue;
      }
      if (!receivers.every(({ rate }) => rate.allows(arrival))) return record.offset;
      this.#nextOperations = receivers.length > budget ? receivers.length : 1;
      if (receivers.length > budget) return record.offset;
      budget -= receivers.length;
      for (const { rate } of receivers) rate.take();
      row.fanOut.append(row.mutation, row.plan, this.#origin.of(record, verdict, arrival));
    }
    return end;
  }

  /** The operation that a record of the snapshot stands for; null: none. */
  #rowOf(record: ConsumedRecord, { kind }: RowVerdict): Row | 'schema_needed' | null {
    const { key, value, timestamp, headers } = record;
    if (kind === 'foreign') return null;
    if (value === null) {
      const isDeletion = kind === 'dead' && !isMoved(headers) && !isOmitted(headers);
      if (!isDeletion || !key || !this.#key.read(key)) return null;
      if (!readDeletion(this.#key, timestamp, this.#deletion)) return null;
      const plan = this.#context.table.plan(this.#deletion.datamart);
      return { mutation: this.#deletion, plan, fanOut: this.#deletions };
    }
    if (kind === 'dead') return null;
    const status = this.#topology.process(value);
    if (status === 'schema_needed') return status;
    const { mutation, plan } = this.#topology;
    const isDeletion = mutation.op === DELETE && mutation.docType !== USER_POINT_PARENT;
    return status === 'ok' && !isDeletion ? { mutation, plan, fanOut: this.#fanOut } : null;
  }
}

interface Row {
  readonly mutation: MutationView;
  readonly plan: DatamartPlan;
  readonly fanOut: FanOut;
}

/** Where a row came from; used again for every row. */
class RowOriginView implements RowOrigin {
  offset = 0;
  timestamp = 0;
  arrival = 0;
  high = 0;
  low = 0;
  readonly source = new MutationSourceView();

  of({ offset, timestamp, headers }: ConsumedRecord, { high, low }: RowVerdict, arrival: number): this {
    this.offset = offset;
    this.timestamp = timestamp;
    this.arrival = arrival;
    this.high = high;
    this.low = low;
    const { source } = headers;
    this.source.read(Buffer.isBuffer(source) ? source : NO_SOURCE);
    return this;
  }
}
