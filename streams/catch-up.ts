import type { DatamartPlan } from '../processors/datamart-plan.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import { Topology } from '../processors/topology.ts';
import type { MutationDecoder } from '../schemas/mutation-decoder.ts';
import type { DatamartKey } from '../schemas/mutation.ts';
import type { Applicant } from './admission.ts';
import { backoffMs, type Random } from './backoff.ts';
import { sleep, type Clock } from './clock.ts';
import { FanOut, type FanOutContext } from './fan-out.ts';
import type { ConsumedBatch, PartitionReader, TopicPartition } from './kafka-port.ts';
import type { Lane } from './lane.ts';
import type { Logger } from './logger.ts';
import type { ReplayTurns } from './replay-turns.ts';
import { identityOf } from './replication-identity.ts';
import type { SchemaLoader } from './schema-loader.ts';

const READ_WAIT_MS = 100;
/** A lane that has this much before it takes part in no further read: two requests, so that it never waits for a read. */
const LANE_BACKLOG_RECORDS = 2_000;
const MOST_LANE_BACKLOG_BYTES = 4 * 1024 * 1024;
const LEAST_LANE_BACKLOG_BYTES = 256 * 1024;
/** A lane that is detached again and again stays with its replay for a while, twice as long each time. */
const FLAP_FORGOTTEN_MS = 10 * 60_000;
const FIRST_STAY_MS = 5_000;
const LONGEST_STAY_MS = 5 * 60_000;

export interface CatchUpContext extends FanOutContext {
  readonly table: ReplicationTable;
  readonly decoder: MutationDecoder;
  readonly reader: PartitionReader;
  readonly turns: ReplayTurns;
  readonly schemas: SchemaLoader;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** What the catch-up needs of its task. */
export interface CatchUpOwner {
  readonly scope: TopicPartition;
  /** The next offset that live mutations are dispatched from. */
  readonly position: number;
  /** How far a replay may go for the lane now (PROTOCOL A7): a window beyond its last acknowledged commit. */
  replayLimit(lane: Lane): number;
  /** Memory for replays is short. */
  readonly isShortOfMemory: boolean;
  /** What a lane may hold of it, in bytes. */
  readonly memoryShare: number;
  /** The lane has caught up: it follows the live mutations from `position` on. */
  attach(lane: Lane): void;
  /** Retention has passed the lane's position: `[from, to)` is lost. */
  lost(lane: Lane, from: number, to: number): void;
  commitSoon(): void;
}

/** One reading of the partition for some detached lanes, all of which were fed up to `position`. */
class Pass {
  position: number;
  /** Kafka timestamp of the last record that was read, in ms. */
  timestamp: number | null = null;
  readonly fanOut: FanOut;
  readonly #lanes = new Map<string, Lane>();
  #datamarts: ReadonlySet<DatamartKey> = new Set();

  constructor(position: number, context: FanOutContext) {
    this.position = position;
    this.fanOut = new FanOut(context, (config) => this.#lanes.get(identityOf(config)) ?? null);
  }

  get lanes(): readonly Lane[] {
    return [...this.#lanes.values()];
  }

  has(lane: Lane): boolean {
    return this.#lanes.get(identityOf(lane.destination.config)) === lane;
  }

  isOf(datamart: DatamartKey): boolean {
    return this.#datamarts.has(datamart);
  }

  add(lane: Lane): void {
    this.#lanes.set(identityOf(lane.destination.config), lane);
    this.#refresh(lane);
  }

  remove(lane: Lane): void {
    this.#lanes.delete(identityOf(lane.destination.config));
    this.#refresh(lane);
  }

  #refresh(lane: Lane): void {
    this.#datamarts = new Set(this.lanes.map(({ destination }) => destination.config.datamart));
    this.fanOut.refresh(lane.destination.config.datamart);
  }
}

interface Stay {
  readonly detachedAtMs: number;
  readonly stayMs: number;
}

/**
 * Brings a task's detached lanes back to the live mutations, at the pace of their destinations.
 *
 * A lane that its destination would admit joins a pass at exactly its own position. The lowest pass with room in its
 * lanes reads on; passes that meet become one, and a lane that is full while its companions aren't leaves with a pass of
 * its own (PROTOCOL C7). A pass whose position is the task's attaches its lanes in that very step, so that nothing is
 * left out or overtaken (A8).
 *
 * A lane whose destination fails gives its backlog up and waits for a slot, holding nothing but its position.
 */
export class CatchUp {
  readonly #context: CatchUpContext;
  readonly #owner: CatchUpOwner;
  readonly #topology: Topology;
  readonly #closing = new AbortController();
  readonly #waiting = new Map<Lane, Applicant>();
  readonly #stays = new Map<string, Stay>();
  #passes: Pass[] = [];
  #current: Pass | null = null;
  #isRunning = false;
  #isWoken = false;
  #cancelTimer: (() => void) | null = null;

  constructor(context: CatchUpContext, owner: CatchUpOwner) {
    this.#context = context;
    this.#owner = owner;
    this.#topology = new Topology(
      context.decoder,
      context.table,
      (datamart) => this.#current?.isOf(datamart) ?? false,
    );
  }

  /** Lanes that wait for their destination or are being fed. */
  get lanes(): readonly Lane[] {
    return [...this.#waiting.keys(), ...this.#passes.flatMap(({ lanes }) => lanes)];
  }

  /** Whether the lane is fed nothing, because its destination admits nothing. */
  isWaiting(lane: Lane): boolean {
    return this.#waiting.has(lane);
  }

  /** Serves a detached lane from now on, as soon as its destination admits it. */
  add(lane: Lane): void {
    this.#noteDetached(lane);
    this.#awaitDestination(lane);
  }

  /** The lane's destination failed: its backlog is given up until the destination admits it again. */
  restart(lane: Lane): void {
    this.#leavePass(lane);
    lane.detach(this.#owner.position);
    this.#awaitDestination(lane);
  }

  /** Serves the lane no longer. */
  remove(lane: Lane): void {
    const applicant = this.#waiting.get(lane);
    if (applicant) lane.destination.admission.withdraw(applicant);
    this.#waiting.delete(lane);
    this.#stays.delete(identityOf(lane.destination.config));
    this.#leavePass(lane);
  }

  /** The replications of a datamart changed. */
  onPlanChanged(datamart: DatamartKey, plan: DatamartPlan): void {
    for (const { fanOut } of this.#passes) fanOut.onPlanChanged(datamart, plan);
  }

  /** Goes on if it can: live mutations were dispatched, a lane has room again, a commit was acknowledged. */
  wake(): void {
    this.#isWoken = true;
    if (this.#isRunning || this.#passes.length === 0 || this.#closing.signal.aborted) return;
    this.#isRunning = true;
    void this.#run().finally(() => {
      this.#isRunning = false;
      if (this.#isWoken) this.wake();
    });
  }

  /** Ends every replay. Idempotent. */
  close(): void {
    this.#closing.abort();
    this.#cancelTimer?.();
    for (const [lane, applicant] of this.#waiting) lane.destination.admission.withdraw(applicant);
    this.#waiting.clear();
    for (const { fanOut } of this.#passes) fanOut.close();
    this.#passes = [];
  }

  /** PROTOCOL A5, A6: not before the attempt in flight has ended and its outcome is settled. */
  #awaitDestination(lane: Lane): void {
    const { clock } = this.#context;
    const { destination } = lane;
    const { topic, partition } = this.#owner.scope;
    const key = `${topic}/${partition}`;
    const applicant: Applicant = {
      admitted: () => {
        this.#waiting.delete(lane);
        lane.grant();
        this.#join(lane);
      },
    };
    this.#waiting.set(lane, applicant);
    const apply = async (): Promise<void> => {
      const { signal } = this.#closing;
      const isCurrent = (): boolean => this.#waiting.get(lane) === applicant && !signal.aborted;
      for (;;) {
        await destination.attemptOf(key);
        await lane.request;
        if (!isCurrent()) return;
        const wait = destination.newerNotBefore(key) - clock.monotonic();
        if (wait <= 0) break;
        await sleep(clock, wait, signal);
      }
      if (isCurrent()) destination.admission.apply(applicant);
    };
    void apply();
  }

  #join(lane: Lane): void {
    const pass = new Pass(lane.fedTo ?? this.#owner.position, this.#context);
    pass.add(lane);
    this.#passes.push(pass);
    this.wake();
  }

  async #run(): Promise<void> {
    const { clock, random, logger } = this.#context;
    const { signal } = this.#closing;
    // Never within the step of the lane or task that woke it.
    await Promise.resolve();
    for (let failures = 0; !signal.aborted;) {
      this.#isWoken = false;
      this.#mergePasses();
      this.#attachArrived();
      const pass = this.#nextPass();
      if (!pass) return;
      try {
        await this.#advance(pass);
        failures = 0;
      } catch (error) {
        const log = failures % 20 === 3 ? 'warn' : 'debug';
        logger[log]({ ...this.#owner.scope, offset: pass.position, error }, 'a replay can’t read on yet');
        await sleep(clock, backoffMs(Math.min(failures, 5), false, random), signal);
        failures += 1;
      }
    }
  }

  /** The lowest pass that may read on, so that those behind come up to those before them and are read for together. */
  #nextPass(): Pass | null {
    if (this.#owner.isShortOfMemory) return null;
    this.#passes.sort((a, b) => a.position - b.position);
    for (const pass of this.#passes) {
      if (pass.position >= this.#owner.position) continue;
      const ready = pass.lanes.filter((lane) => this.#hasRoom(pass, lane));
      if (ready.length === 0) continue;
      for (const lane of pass.lanes) {
        if (ready.includes(lane)) continue;
        this.#leavePass(lane);
        this.#join(lane);
      }
      return pass;
    }
    return null;
  }

  #hasRoom(pass: Pass, lane: Lane): boolean {
    if (pass.position >= this.#owner.replayLimit(lane)) {
      this.#owner.commitSoon();
      return false;
    }
    return lane.pending < LANE_BACKLOG_RECORDS && lane.heldBytes < this.#laneBacklogBytes;
  }

  get #laneBacklogBytes(): number {
    return Math.min(MOST_LANE_BACKLOG_BYTES, Math.max(LEAST_LANE_BACKLOG_BYTES, this.#owner.memoryShare));
  }

  /** Reads once and hands the pass's lanes what they want of it. */
  async #advance(pass: Pass): Promise<void> {
    const { reader, clock, turns } = this.#context;
    const { scope } = this.#owner;
    const from = pass.position;
    let batch: ConsumedBatch;
    try {
      batch = await reader.read(scope, from, READ_WAIT_MS);
    } catch (error) {
      const { start } = await reader.bounds(scope);
      if (start <= from || this.#closing.signal.aborted) throw error;
      this.#moveTo(pass, start);
      return;
    }
    await turns.next(this.#closing.signal);
    if (this.#closing.signal.aborted || !this.#passes.includes(pass)) return;
    if (batch.nextOffset === from) {
      await sleep(clock, READ_WAIT_MS, this.#closing.signal);
      return;
    }
    const next = this.#passes.find(({ position }) => position > from)?.position ?? Infinity;
    const end = Math.min(batch.nextOffset, this.#owner.position, next);
    const reached = this.#dispatch(pass, batch, end);
    this.#moveOn(pass, reached);
    if (reached < this.#owner.position) pass.fanOut.sealTouched();
    pass.fanOut.pumpTouched(clock.monotonic());
    for (const lane of pass.lanes) if (lane.isIdle) lane.relinquish();
    this.#attachArrived();
    if (reached < end && !this.#owner.isShortOfMemory)
      await this.#context.schemas.load(this.#topology.schemaId, this.#closing.signal);
  }

  /** Returns where it stopped: at `end`, or at a record that must wait for memory or its schema. */
  #dispatch(pass: Pass, batch: ConsumedBatch, end: number): number {
    const { clock } = this.#context;
    const arrival = clock.monotonic();
    this.#current = pass;
    for (const { offset, timestamp, value } of batch.records) {
      if (offset < pass.position) continue;
      if (offset >= end) break;
      if (this.#owner.isShortOfMemory) return offset;
      pass.timestamp = timestamp;
      // What can't be decoded went to the dead letters when the live mutations came by.
      const status = this.#topology.process(value);
      if (status === 'schema_needed') return offset;
      if (status !== 'ok') continue;
      const { mutation, plan } = this.#topology;
      pass.fanOut.append(mutation, plan, { offset, timestamp, arrival });
    }
    return end;
  }

  /** Retention has passed the pass's position. */
  #moveTo(pass: Pass, start: number): void {
    for (const lane of pass.lanes) this.#owner.lost(lane, pass.position, start);
    this.#moveOn(pass, start);
  }

  #moveOn(pass: Pass, position: number): void {
    pass.position = position;
    for (const lane of pass.lanes) lane.fed(position, pass.timestamp);
  }

  #mergePasses(): void {
    const byPosition = new Map<number, Pass>();
    for (const pass of this.#passes) {
      const other = byPosition.get(pass.position);
      if (!other) {
        byPosition.set(pass.position, pass);
        continue;
      }
      pass.fanOut.close();
      for (const lane of pass.lanes) other.add(lane);
    }
    this.#passes = [...byPosition.values()];
  }

  /** Lanes that have nothing more to be fed follow the live mutations again, unless they have come and gone too often. */
  #attachArrived(): void {
    const now = this.#context.clock.monotonic();
    for (const pass of [...this.#passes]) {
      if (pass.position !== this.#owner.position) continue;
      for (const lane of pass.lanes) {
        const stay = this.#stayUntil(lane) - now;
        if (stay > 0) this.#wakeIn(stay);
        const works = lane.isIdle || lane.destination.admission.failures === 0;
        if (!works || stay > 0) continue;
        this.#leavePass(lane);
        this.#owner.attach(lane);
      }
    }
  }

  #wakeIn(delayMs: number): void {
    this.#cancelTimer ??= this.#context.clock.schedule(delayMs, () => {
      this.#cancelTimer = null;
      this.wake();
    });
  }

  #leavePass(lane: Lane): void {
    const pass = this.#passes.find((candidate) => candidate.has(lane));
    if (!pass) return;
    pass.remove(lane);
    if (pass.lanes.length > 0) return;
    pass.fanOut.close();
    this.#passes = this.#passes.filter((other) => other !== pass);
  }

  #noteDetached(lane: Lane): void {
    const now = this.#context.clock.monotonic();
    const identity = identityOf(lane.destination.config);
    const previous = this.#stays.get(identity);
    const isFlapping = previous !== undefined && now - previous.detachedAtMs < FLAP_FORGOTTEN_MS;
    const stayMs = isFlapping ? Math.min(LONGEST_STAY_MS, Math.max(FIRST_STAY_MS, previous.stayMs * 2)) : 0;
    this.#stays.set(identity, { detachedAtMs: now, stayMs });
  }

  #stayUntil(lane: Lane): number {
    const stay = this.#stays.get(identityOf(lane.destination.config));
    return stay ? stay.detachedAtMs + stay.stayMs : 0;
  }
}
