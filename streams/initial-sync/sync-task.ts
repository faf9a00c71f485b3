import { randomInt } from 'node:crypto';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import { Hash64 } from '../../schemas/hash64.ts';
import type { MutationView } from '../../schemas/mutation.ts';
import type { SinkError } from '../../sinks/sink.ts';
import { backoffMs, type Random } from '../backoff.ts';
import { sleep } from '../clock.ts';
import type { TopicPartition } from '../kafka-port.ts';
import type { Lane } from '../lane.ts';
import type { Logger } from '../logger.ts';
import type { EngineMetrics } from '../metrics.ts';
import { identityHash, identityOf } from '../replication-identity.ts';
import type { Stance } from '../replication-states.ts';
import { DeadDocuments } from './dead-documents.ts';
import { DocumentSetFullError } from './document-set.ts';
import { RateLimit } from './rate-limit.ts';
import { OffsetLostError } from './read-on.ts';
import { RowReader, type RowReaderContext, type RowVerdict } from './row-reader.ts';
import { SyncPart, type SyncPartOwner } from './sync-part.ts';
import type { HeldBy, PartReport, SyncExecution, SyncPort, TaskReport } from './sync-port.ts';
import type { SyncPosition } from './sync-position.ts';
import { TouchedDocuments } from './touched-documents.ts';

/** How often a task looks whether it can go on, when nobody wakes it. */
const LOOK_EVERY_MS = 50;
const REPORT_EVERY_MS = 1_000;
/** Live mutations that have waited longer than that for their delivery, or are more than so many behind, come first. */
const LIVE_WAIT_MS = 250;
const LIVE_LAG_RECORDS = 2_000;

export interface SyncTaskContext extends RowReaderContext {
  readonly syncs: SyncPort;
  /** Operations a second and replication, for the whole group; null: as fast as it goes. */
  readonly maxRate: number | null;
  /** How far rows may go beyond the last acknowledged commit. */
  readonly window: { readonly maxRecords: number };
  readonly metrics: EngineMetrics;
  readonly random: Random;
  readonly logger: Logger;
}

/** What a sync task needs of the task of its mutation partition. */
export interface SyncTaskOwner {
  /** The mutation partition. */
  readonly scope: TopicPartition;
  /** The snapshot partition beside it. */
  readonly snapshot: TopicPartition;
  /** The next offset that live mutations are dispatched from. */
  readonly position: number;
  /** The last acknowledged commit. */
  readonly committedOffset: number;
  /** Live mutations that are in the log and not taken up, as last seen. */
  readonly lag: number;
  /** Memory for rows is short. */
  readonly isShortOfMemory: boolean;
  /** What the rows of one lane may hold of it, in bytes. */
  readonly memoryShare: number;
  stanceOf(config: ReplicationConfig): Stance;
  /** The lane that follows the live mutations for the replication; null while it doesn't. */
  followingLaneOf(config: ReplicationConfig): Lane | null;
  /** What the replication missed before its last activation isn't durable yet. */
  hasOpenGap(config: ReplicationConfig): boolean;
  /** Something was not sent to the replication, and nothing has made up for it since. */
  hasMissed(config: ReplicationConfig): boolean;
  /** The replication has everything that the snapshot held of the mutations below `offset`. */
  madeUp(config: ReplicationConfig, offset: number): void;
  /** Stores the row at this offset of the snapshot partition. Resolves when it is durable; never rejects. */
  storeRejectedRow(offset: number, replication: ReplicationConfig, error: SinkError): Promise<void>;
  commitSoon(): void;
}

/**
 * The task of one snapshot partition of an initial synchronization, with the owner of the mutation partition.
 *
 * ```
 *   beginning ────────▶ committing ─────▶ scanning ─────────────▶ sending ──────────▶ ending ────────▶ ended
 *    every live start    S and E are       touched since S (B3),   rows up to E,       its report is
 *    is committed (B2)   durable           dead below E (B1)       live ones first     durable
 *                           ▲
 *                           └── a new owner begins here, with what the commit carries (B5)
 * ```
 *
 * A row is sent unless its document is dead or was touched. That is asked when it is read, and once more when it gets its
 * place in the lane (B4), so a live operation of the document is either before the row, which is skipped then, or behind
 * it in the same lane.
 */
export class SyncTask implements SyncPartOwner {
  readonly execution: SyncExecution;
  readonly #context: SyncTaskContext;
  readonly #owner: SyncTaskOwner;
  readonly #closing = new AbortController();
  readonly #hash = new Hash64(randomInt(2 ** 32));
  readonly #touched: TouchedDocuments;
  readonly #dead: DeadDocuments;
  readonly #rows: RowReader;
  readonly #parts: SyncPart[] = [];
  /** Of replications that are no more. */
  readonly #gone = new Map<string, PartReport>();
  #phase: 'beginning' | 'committing' | 'scanning' | 'sending' | 'ending' | 'ended' = 'beginning';
  #from = 0;
  #liveOffset = 0;
  #endOffset = 0;
  #operationsBefore = 0;
  /** What the last acknowledged commit carried; null before there is one. */
  #committed: SyncPosition | null = null;
  #failure: Error | null = null;
  #held: HeldBy | null = null;
  #reportedAtMs = -Infinity;
  #reporting: Promise<void> | null = null;
  #isWoken = false;
  #wake: (() => void) | null = null;

  /** `carried`: what the claimed commit says of the task; null: this owner is the first. */
  constructor(
    execution: SyncExecution,
    carried: SyncPosition | null,
    context: SyncTaskContext,
    owner: SyncTaskOwner,
  ) {
    this.execution = execution;
    this.#context = context;
    this.#owner = owner;
    this.#touched = new TouchedDocuments(context, execution.datamart, this.#hash);
    this.#dead = new DeadDocuments(context, String(execution.datamart), this.#hash);
    this.#rows = new RowReader(context, owner.snapshot, {
      datamart: execution.datamart,
      isShortOfMemory: () => owner.isShortOfMemory,
      memoryShare: () => owner.memoryShare,
      judge: (key) => this.#judge(key),
      limitOf: (part) => this.#committedOf(part) + context.window.maxRecords,
      budget: () => this.#budget,
    });
    if (carried) this.#restore(carried);
    void this.#run();
  }

  /** What every commit must carry; null before there is anything, and when it has ended. */
  get position(): SyncPosition | null {
    if (this.#phase === 'beginning' || this.#phase === 'ended') return null;
    const positions = new Map<number, number>();
    for (const { hash, outcome, position } of this.#parts)
      if (outcome === null || outcome === 'succeeded') positions.set(hash, position);
    return {
      executionId: this.execution.id,
      liveOffset: this.#liveOffset,
      endOffset: this.#endOffset,
      operations: this.#operations,
      positions,
      lowest: Math.min(this.#endOffset, ...positions.values()),
    };
  }

  /** True once its last report is durable. */
  get isEnded(): boolean {
    return this.#phase === 'ended';
  }

  /** A live mutation is being dispatched (PROTOCOL B3). */
  saw(mutation: MutationView): void {
    if (mutation.datamart !== this.execution.datamart || this.#phase === 'beginning' || !this.#goesOn) return;
    try {
      this.#touched.saw(mutation);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** A commit that carried this was acknowledged. */
  onCommitted(position: SyncPosition): void {
    this.#committed = position;
    this.wake();
  }

  /** Something has changed: it may be able to go on. */
  wake(): void {
    this.#isWoken = true;
    this.#wake?.();
  }

  /** Starts nothing more. Idempotent. */
  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    for (const part of this.#parts) part.close();
    this.#rows.close();
    this.#touched.close();
    this.#dead.close();
    this.wake();
  }

  isNewer(high: number, low: number): boolean {
    return this.#touched.has(high, low);
  }

  storeRejected(offset: number, replication: ReplicationConfig, error: SinkError): Promise<void> {
    return this.#owner.storeRejectedRow(offset, replication, error);
  }

  onDelivered({ id }: ReplicationConfig, operations: number): void {
    this.#context.metrics.initialSyncDocuments.add(operations, id);
  }

  onProgress(): void {
    this.wake();
  }

  get #goesOn(): boolean {
    return !this.#closing.signal.aborted && this.#failure === null;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    // Never within the step that made it.
    await Promise.resolve();
    if (this.#phase === 'beginning') await this.#begin();
    await this.#until(() => this.#committed !== null);
    if (this.#goesOn) this.#phase = 'scanning';
    const markedFrom = this.#owner.position;
    await this.#persistently('the mutations since its start', () =>
      this.#touched.scan(this.#owner.scope, this.#liveOffset, markedFrom, signal),
    );
    await this.#persistently('the snapshot’s keys', () =>
      this.#dead.scan(this.#owner.snapshot, this.#from, this.#endOffset, signal),
    );
    if (this.#goesOn) this.#phase = 'sending';
    await this.#send();
    await this.#end();
  }

  /** Waits for the live starts, then fixes S and E, in this order (PROTOCOL B2). */
  async #begin(): Promise<void> {
    const { reader } = this.#context;
    const configs = (): ReplicationConfig[] =>
      [...this.execution.replications.keys()].flatMap((id) => this.#configOf(id) ?? []);
    await this.#until(() => configs().every((config) => this.#hasLiveStart(config)));
    const liveStart = this.#owner.position;
    await this.#until(() => this.#owner.committedOffset >= liveStart);
    const liveOffset = this.#owner.committedOffset;
    await this.#persistently('the snapshot’s end', async () => {
      const { start, end } = await reader.bounds(this.#owner.snapshot);
      this.#from = start;
      this.#endOffset = end;
    });
    if (!this.#goesOn) return;
    this.#liveOffset = liveOffset;
    for (const id of this.execution.replications.keys()) this.#addPart(id, this.#from, null);
    this.#phase = 'committing';
    this.#owner.commitSoon();
  }

  #hasLiveStart(config: ReplicationConfig): boolean {
    const { state } = this.#owner.stanceOf(config);
    return state === 'ERROR' || (state === 'ACTIVE' && !this.#owner.hasOpenGap(config));
  }

  /** What an owner before has begun goes on: S and E stay. */
  #restore(carried: SyncPosition): void {
    const before = this.#context.syncs.taskOf(this.execution.id, this.#owner.snapshot);
    this.#from = before?.fromOffset ?? 0;
    this.#liveOffset = carried.liveOffset;
    this.#endOffset = carried.endOffset;
    this.#committed = carried;
    for (const id of this.execution.replications.keys()) {
      const part = this.#addPart(id, carried.lowest, before?.parts.get(id) ?? null);
      if (!part || part.outcome !== null || !carried.positions) continue;
      const position = carried.positions.get(part.hash);
      if (position === undefined) part.end('error');
      else part.goOnAt(position);
    }
    this.#operationsBefore = carried.operations - this.#operations;
    this.#phase = 'committing';
  }

  /** Null when it is no more, also where another was made under its id. */
  #configOf(id: string): ReplicationConfig | null {
    const config = this.#context.table.get(id);
    return config && identityHash(config) === this.execution.replications.get(id) ? config : null;
  }

  #addPart(id: string, position: number, before: PartReport | null): SyncPart | null {
    const { clock, maxRate } = this.#context;
    const config = this.#configOf(id);
    if (!config) {
      const nothing = { documents: new Map(), skippedNewer: 0, rejected: 0 };
      this.#gone.set(id, { ...(before ?? nothing), outcome: 'deleted' });
      return null;
    }
    const rate = new RateLimit((maxRate ?? Infinity) / this.execution.taskCount, clock.monotonic());
    const part = new SyncPart(config, position, rate, this.#owner.hasMissed(config), before, this);
    this.#parts.push(part);
    return part;
  }

  async #send(): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; this.#goesOn;) {
      this.#followReplications();
      const open = this.#parts.filter(({ outcome }) => outcome === null);
      if (open.length === 0) return;
      this.#held = this.#heldBy(open);
      this.#reportNowAndThen();
      try {
        const hasFed = this.#held === null && (await this.#rows.advance(open, this.#endOffset, signal));
        failures = 0;
        if (!hasFed) await this.#nap();
      } catch (error) {
        await this.#recover('the snapshot', error, failures);
        failures += 1;
      }
    }
  }

  /** Parts come and go with their lanes; those of replications that are no more, or in ERROR, end. */
  #followReplications(): void {
    for (const part of this.#parts) {
      if (part.outcome !== null) continue;
      const config = this.#configOf(part.replicationId);
      if (!config || identityOf(config) !== identityOf(part.config)) part.end('deleted');
      else if (this.#owner.stanceOf(config).state === 'ERROR') part.end('error');
      else if (part.position >= this.#endOffset) this.#succeed(part);
      else part.serveBy(this.#owner.followingLaneOf(config));
    }
  }

  #succeed(part: SyncPart): void {
    part.end('succeeded');
    this.#owner.madeUp(part.config, this.#liveOffset);
  }

  #heldBy(open: readonly SyncPart[]): HeldBy | null {
    const now = this.#context.clock.monotonic();
    const lanes = open.flatMap(({ queue }) => queue?.lane ?? []);
    if (lanes.length === 0) return 'destination';
    if (this.#rows.isOutOfBudget(open.length) && open.every(({ queue }) => (queue?.pending ?? 0) === 0))
      return 'budget';
    const isWaiting = lanes.some(({ waitingSinceMs: since }) => since !== null && now - since > LIVE_WAIT_MS);
    if (isWaiting || this.#owner.lag > LIVE_LAG_RECORDS) return 'live';
    const isDown = lanes.every(({ destination }) => destination.admission.failures > 0);
    return isDown && open.every(({ queue }) => queue === null || queue.pending > 0) ? 'destination' : null;
  }

  #judge(key: Buffer | null): RowVerdict {
    if (!this.#dead.isOwn(key)) return { kind: 'foreign', high: 0, low: 0 };
    const { high, low } = this.#hash.of(key);
    if (this.#touched.has(high, low)) return { kind: 'newer', high, low };
    return { kind: this.#dead.has(high, low) ? 'dead' : 'current', high, low };
  }

  /** How many operations may still be fed. */
  get #budget(): number {
    const allowance = this.#context.syncs.allowanceOf(this.execution.id, this.#owner.snapshot);
    if (allowance === null) return Infinity;
    const queued = this.#parts.reduce((sum, { queue }) => sum + (queue?.pending ?? 0), 0);
    return allowance - this.#operations - queued;
  }

  get #operations(): number {
    return this.#operationsBefore + this.#parts.reduce((sum, { operations }) => sum + operations, 0);
  }

  /** The part's position in the last acknowledged commit: what it sends beyond may be sent again. */
  #committedOf({ hash }: SyncPart): number {
    return this.#committed?.positions?.get(hash) ?? this.#committed?.lowest ?? this.#from;
  }

  async #end(): Promise<void> {
    const { logger } = this.#context;
    if (this.#closing.signal.aborted) return;
    for (const part of this.#parts) part.close();
    this.#phase = 'ending';
    this.#held = null;
    await this.#reporting;
    for (let isStored = false; !isStored && !this.#closing.signal.aborted;) {
      isStored = await this.#context.syncs.store(this.#report());
      if (!isStored) await this.#nap();
    }
    if (this.#closing.signal.aborted) return;
    this.#phase = 'ended';
    const at = { execution_id: this.execution.id, ...this.#owner.snapshot };
    if (this.#failure) logger.error({ ...at, error: this.#failure }, 'a task of an initial sync failed');
    else logger.info({ ...at, operations: this.#operations }, 'a task of an initial sync has ended');
    this.close();
    this.#owner.commitSoon();
  }

  #reportNowAndThen(): void {
    const now = this.#context.clock.monotonic();
    if (this.#reporting || now - this.#reportedAtMs < REPORT_EVERY_MS) return;
    this.#reportedAtMs = now;
    this.#reporting = this.#context.syncs.store(this.#report()).then(() => {
      this.#reporting = null;
    });
  }

  #report(): TaskReport {
    const isOver = this.#phase === 'ending';
    const parts = new Map(this.#gone);
    for (const part of this.#parts) parts.set(part.replicationId, part.report);
    return {
      executionId: this.execution.id,
      at: this.#owner.snapshot,
      status: this.#failure ? 'FAILED' : isOver ? 'SUCCEEDED' : 'RUNNING',
      fromOffset: this.#from,
      offset: isOver && !this.#failure ? this.#endOffset : (this.position?.lowest ?? this.#from),
      endOffset: this.#endOffset,
      liveOffset: this.#liveOffset,
      held: this.#held,
      operations: this.#operations,
      parts,
      error: this.#failure?.message ?? null,
    };
  }

  /** Tries until it succeeds, or can't. */
  async #persistently(what: string, work: () => Promise<void>): Promise<void> {
    for (let failures = 0; this.#goesOn; failures += 1) {
      try {
        await work();
        return;
      } catch (error) {
        await this.#recover(what, error, failures);
      }
    }
  }

  async #recover(what: string, error: unknown, failures: number): Promise<void> {
    const { clock, random, logger } = this.#context;
    if (error instanceof OffsetLostError || error instanceof DocumentSetFullError) {
      this.#fail(error);
      return;
    }
    const log = failures % 20 === 3 ? 'warn' : 'debug';
    const at = { execution_id: this.execution.id, ...this.#owner.snapshot };
    logger[log]({ ...at, error }, `an initial sync can’t read ${what} yet`);
    await sleep(clock, backoffMs(Math.min(failures, 5), false, random), this.#closing.signal);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.wake();
  }

  async #until(isReached: () => boolean): Promise<void> {
    while (this.#goesOn && !isReached()) await this.#nap();
  }

  /** Until it is woken, or for a while. */
  #nap(): Promise<void> {
    if (this.#isWoken) {
      this.#isWoken = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const cancel = this.#context.clock.schedule(LOOK_EVERY_MS, () => this.#wake?.());
      this.#wake = () => {
        cancel();
        this.#wake = null;
        this.#isWoken = false;
        resolve();
      };
    });
  }
}
