import type { ReplicationConfig } from '../processors/replication-config.ts';
import {
  SinkError,
  type OperationBatch,
  type SendOutcome,
  type Sink,
  type SinkAdapter,
  type SinkErrorCode,
  type SinkLimits,
} from '../sinks/sink.ts';
import { Admission } from './admission.ts';
import type { Logger } from './logger.ts';
import type { OpenedSink, SinkOrigin } from './opened-sink.ts';
import { SinkLifecycle, type SinkLifecycleContext } from './sink-lifecycle.ts';

/** PROTOCOL A3: an attempt is cancelled after this (D), and its connection dropped. */
export const ATTEMPT_DEADLINE_MS = 8_000;
/** PROTOCOL A6: a destination may still store what was sent this long after the deadline. */
export const SETTLE_MS = 2_000;
/** A sink that hasn't ended its work this long after its signal is given up. */
const OVERTIME_MS = 500;
const REPEAT_LOG_MS = 60_000;
/** A destination counts as permanently broken when it has refused so often, at least so far apart (30 s in all). */
const FAULT_CONFIRMATIONS = 3;
const FAULT_SPACING_MS = 15_000;
/** So many records may be rejected with none accepted in between; they are dead letters then. */
const MOST_REJECTED_IN_A_ROW = 20;
/** Fields of a config that a sink is opened with and that can change. */
const OPENED_WITH = ['credentialsUri', 'messageId', 'ordering', 'orderingLanes', 'userPointParent'] as const;
/** So many failures in a row that may lie in the connection, and the client is made anew. */
const REBUILD_AFTER_FAILURES = 3;
const TRANSPORT_CODES: ReadonlySet<SinkErrorCode> = new Set([
  'unavailable',
  'unreachable',
  'timeout',
  'unknown',
]);
/** Until the sink is open and says its own. */
const LIMITS_BEFORE_OPENING: SinkLimits = { maxRecords: 1_000, maxBytes: 900_000, recordOverheadBytes: 64 };

export interface DestinationContext extends SinkLifecycleContext {
  /** Whether the replication's destination was found to work. */
  readonly isActivated: (config: ReplicationConfig) => boolean;
  /** A permanent fault was confirmed, several times over half a minute, with this version of the credentials. */
  readonly onFault: (
    config: ReplicationConfig,
    failure: SinkError,
    credentialsVersion: number | null,
  ) => void;
}

/** What one partition has at the destination: one attempt at a time, whatever feeds it (PROTOCOL A5). */
interface Slot {
  attempt: Promise<unknown> | null;
  newerNotBefore: number;
}

/** What can be seen of a destination from outside. */
export type DestinationState = 'ACTIVATING' | 'ACTIVE' | 'FAILING';

/** What the check of an activation came to. */
export interface Activation {
  /** What was wrong, or null. */
  readonly failure: SinkError | null;
  /** The version of the sealed credentials that it was made with; null for other ones, or none. */
  readonly credentialsVersion: number | null;
}

/** Why the destination fails. */
export interface DestinationFailure {
  readonly code: SinkErrorCode;
  readonly message: string;
  readonly remedy: string | null;
}

/** What became of an attempt (null: it wasn't made), and on which sink. */
interface Attempt {
  readonly outcome: SendOutcome | null;
  readonly sink: OpenedSink | null;
}

/**
 * One replication's destination on this instance, used by the lanes of all its partitions.
 *
 * It makes attempts on the sink that serves (`SinkLifecycle` opens it when the first lane has something to send),
 * cancels one at its deadline, lets one at a time run per partition (PROTOCOL A5, also across a rebalance that gives the
 * partition back to this instance), and tells faults of the destination from those of records. It retries nothing: lanes
 * do.
 */
export class Destination {
  readonly id: string;
  readonly #context: DestinationContext;
  readonly #sinks: SinkLifecycle;
  readonly admission: Admission;
  readonly #slots = new Map<string, Slot>();
  readonly #closing = new AbortController();
  #config: ReplicationConfig;
  #state: DestinationState = 'ACTIVATING';
  #lastFailure: DestinationFailure | null = null;
  #lastLoggedMs = 0;
  #unlogged = 0;
  #transportFailures = 0;
  #fatalFailures = 0;
  #lastFatalMs = 0;
  #fatalRevision = 0;
  #rejectedInARow = 0;

  constructor(config: ReplicationConfig, adapter: SinkAdapter, context: DestinationContext) {
    this.id = config.id;
    this.#config = config;
    this.#context = context;
    this.#sinks = new SinkLifecycle(config, adapter, context);
    this.admission = new Admission(context.clock, context.random);
    if (!context.isActivated(config)) this.admission.hold();
  }

  get state(): DestinationState {
    return this.#state;
  }

  get config(): ReplicationConfig {
    return this.#config;
  }

  /** Why the destination fails, or null. */
  get lastFailure(): DestinationFailure | null {
    return this.#lastFailure;
  }

  get limits(): SinkLimits {
    return this.#sinks.serving?.sink.limits ?? LIMITS_BEFORE_OPENING;
  }

  /** The version of the sealed credentials that the sink was opened with; null for other ones, none, or no open sink. */
  get credentialsVersion(): number | null {
    return this.#sinks.serving?.origin.credentialsVersion ?? null;
  }

  /**
   * Takes a changed config of the same replication. Other credentials are taken as by `renew`; other options once the
   * attempts in flight have ended. Resolves when the change was seen to. Never rejects.
   */
  async update(config: ReplicationConfig): Promise<void> {
    const previous = this.#config;
    this.#config = config;
    const isSame = OPENED_WITH.every((field) => previous[field] === config[field]);
    if (isSame) this.#sinks.follow(config);
    else await this.renew();
  }

  /**
   * Called when the credentials have changed. Another sink is opened and checked beside the one that is open; when it
   * works, nothing new starts on the old one, and once the attempts in flight have ended the new one takes over. When it
   * doesn't, the old one goes on, a warning says why, and the new credentials are tried again, later and with the next
   * change. Without an open sink nothing is opened.
   *
   * Resolves with why the new credentials don't work, or null. Never rejects. Single flight: a change during a renewal
   * is seen to as well.
   */
  async renew(): Promise<SinkError | null> {
    this.admission.forgetFailures();
    const failure = await this.#sinks.renew(this.#config);
    if (!failure) this.admission.forgetFailures();
    return failure;
  }

  /** Opens the destination and tries it, publishing nothing, unless that was done a moment ago. Never rejects. */
  async activate(): Promise<Activation> {
    try {
      const { credentialsVersion } = await this.#sinks.activate();
      return { failure: null, credentialsVersion };
    } catch (error) {
      const { credentialsVersion } = this.#sinks.lastTried;
      return { failure: asSinkError(error), credentialsVersion };
    }
  }

  /** The destination was found to work: attempts may start. */
  resume(): void {
    this.#sinks.keep();
    this.admission.reset();
  }

  /** No attempt may start until `resume`; every connection is closed unless that comes soon. */
  suspend(): void {
    this.admission.hold();
    this.#fatalFailures = 0;
    this.#rejectedInARow = 0;
    this.#sinks.closeSoon();
  }

  /** The attempt that is in flight for the partition, or null. */
  attemptOf(partitionKey: string): Promise<unknown> | null {
    return this.#slots.get(partitionKey)?.attempt ?? null;
  }

  /**
   * PROTOCOL A6: after an attempt whose outcome isn't known only the same records may be sent before this time (of
   * the monotonic clock), since the destination may store them late.
   */
  newerNotBefore(partitionKey: string): number {
    return this.#slots.get(partitionKey)?.newerNotBefore ?? 0;
  }

  /**
   * Makes one attempt with the slot that the caller was admitted to. No other may be in flight for the partition.
   *
   * `mayStart` is asked in the very step that writes (PROTOCOL A3); when it says no, nothing was sent and the answer is
   * null. Never rejects, and has ended when it resolves: a deadline cancels it.
   */
  async send(
    batch: OperationBatch,
    partitionKey: string,
    mayStart: () => boolean,
  ): Promise<SendOutcome | null> {
    const slot = this.#slots.get(partitionKey) ?? { attempt: null, newerNotBefore: 0 };
    this.#slots.set(partitionKey, slot);
    const attempt = this.#attempt(batch, slot, mayStart);
    slot.attempt = attempt;
    const { outcome, sink } = await attempt;
    slot.attempt = null;
    if (outcome === null) this.admission.giveBack();
    else this.#note(outcome, sink);
    // Only now another may take its place: what is noted is the failure of this one.
    sink?.release(this.#context.clock.monotonic(), outcome !== null);
    return outcome;
  }

  /** Ends the attempts in flight and closes the sink. Idempotent. */
  async close(): Promise<void> {
    this.admission.close();
    this.#closing.abort();
    await this.#sinks.close();
    for (const { attempt } of this.#slots.values()) await attempt;
  }

  async #attempt(batch: OperationBatch, slot: Slot, mayStart: () => boolean): Promise<Attempt> {
    const { clock } = this.#context;
    let startedMs: number | null = null;
    let sink: OpenedSink | null = null;
    let outcome: SendOutcome;
    try {
      sink = this.#sinks.tryTake() ?? (await this.#sinks.take());
      if (!mayStart() || this.#closing.signal.aborted) return { outcome: null, sink };
      startedMs = clock.monotonic();
      outcome = await this.#sendInTime(sink.sink, batch);
    } catch (error) {
      outcome = { delivered: 0, failure: asSinkError(error) };
    }
    outcome = this.#suspectDestination(outcome, batch.count);
    if (startedMs !== null && outcome.failure?.isAmbiguous === true) {
      slot.newerNotBefore = startedMs + ATTEMPT_DEADLINE_MS + SETTLE_MS;
    }
    return { outcome, sink };
  }

  /**
   * A record that is rejected alone is its own fault, until so many in a row are rejected that it must be the
   * destination's: a schema that doesn't fit would send every operation to the dead letters.
   */
  #suspectDestination(outcome: SendOutcome, count: number): SendOutcome {
    const { delivered, failure, isNext } = outcome;
    if (delivered > 0) this.#rejectedInARow = 0;
    if (failure?.kind !== 'rejected' || !(isNext === true || count - delivered === 1)) return outcome;
    this.#rejectedInARow += 1;
    if (this.#rejectedInARow <= MOST_REJECTED_IN_A_ROW) return outcome;
    const message = `the destination rejects every record: ${failure.message}`;
    const remedy = 'check its schema and what it accepts, then activate the replication again';
    return {
      delivered,
      failure: new SinkError('fatal', 'rejects_everything', message, { cause: failure, remedy }),
    };
  }

  /** The attempt is cancelled at its deadline, and given up when the sink goes on all the same. */
  async #sendInTime(sink: Sink, batch: OperationBatch): Promise<SendOutcome> {
    const { clock } = this.#context;
    const attempt = new AbortController();
    const overtime = Promise.withResolvers<SendOutcome>();
    const giveUp = (): void => {
      const message = 'the sink did not end its work in time';
      const failure = new SinkError('retriable', 'timeout', message, { isAmbiguous: true });
      overtime.resolve({ delivered: 0, failure });
    };
    const cancel = (): void => {
      cancelTimer();
      attempt.abort();
      cancelTimer = clock.schedule(OVERTIME_MS, giveUp);
    };
    let cancelTimer = clock.schedule(ATTEMPT_DEADLINE_MS, cancel);
    this.#closing.signal.addEventListener('abort', cancel, { once: true });
    try {
      return await Promise.race([sink.send(batch, attempt.signal), overtime.promise]);
    } finally {
      cancelTimer();
      this.#closing.signal.removeEventListener('abort', cancel);
    }
  }

  #note({ failure, delivered }: SendOutcome, sink: OpenedSink | null): void {
    // A replication that was deleted meanwhile gets no series again.
    if (this.#closing.signal.aborted) return;
    const { metrics, logger, clock } = this.#context;
    metrics.publishRequests.add(1, this.id, failure?.code ?? 'ok');
    if (!failure || failure.kind === 'rejected') {
      if (this.#state === 'FAILING') logger.info({ replication_id: this.id }, 'the destination works again');
      this.#state = 'ACTIVE';
      this.#lastFailure = null;
      this.#unlogged = 0;
      this.#transportFailures = 0;
      if (!failure || delivered > 0) this.#fatalFailures = 0;
      this.admission.ended({ kind: 'works' });
      return;
    }
    metrics.retries.add(1, this.id, failure.code);
    const isNew = this.#state !== 'FAILING' || this.#lastFailure?.code !== failure.code;
    this.#state = 'FAILING';
    this.#lastFailure = { code: failure.code, message: failure.message, remedy: failure.remedy };
    this.#transportFailures = TRANSPORT_CODES.has(failure.code) ? this.#transportFailures + 1 : 0;
    if (failure.kind === 'fatal' || this.#transportFailures >= REBUILD_AFTER_FAILURES) {
      this.#transportFailures = 0;
      if (sink) this.#sinks.drop(sink);
    }
    this.#logFailure(failure, isNew, logger, clock.monotonic());
    if (failure.kind === 'fatal')
      this.#confirmFault(failure, sink?.origin ?? this.#sinks.lastTried, clock.monotonic());
    else this.#fatalFailures = 0;
    this.admission.ended({ kind: failure.kind, code: failure.code });
  }

  /**
   * Attempts that were in flight together are one finding: the next can only come after the admission's wait. What was
   * found with credentials or options that are others by now says nothing about these.
   */
  #confirmFault(failure: SinkError, { revision, credentialsVersion }: SinkOrigin, now: number): void {
    if (revision !== this.#fatalRevision) this.#fatalFailures = 0;
    this.#fatalRevision = revision;
    if (this.#fatalFailures > 0 && now - this.#lastFatalMs < FAULT_SPACING_MS) return;
    this.#lastFatalMs = now;
    this.#fatalFailures += 1;
    if (this.#fatalFailures === FAULT_CONFIRMATIONS)
      this.#context.onFault(this.#config, failure, credentialsVersion);
  }

  /** What is new at once, and the same again once a minute. */
  #logFailure(failure: SinkError, isNew: boolean, logger: Logger, now: number): void {
    this.#unlogged += 1;
    if (this.#closing.signal.aborted || (!isNew && now - this.#lastLoggedMs < REPEAT_LOG_MS)) return;
    const fields = { replication_id: this.id, code: failure.code, remedy: failure.remedy, error: failure };
    logger.warn({ ...fields, repeated: this.#unlogged }, failure.message);
    this.#unlogged = 0;
    this.#lastLoggedMs = now;
  }
}

function asSinkError(error: unknown): SinkError {
  if (error instanceof SinkError) return error;
  return new SinkError('retriable', 'unknown', 'sending a batch failed unexpectedly', {
    cause: error,
    isAmbiguous: true,
  });
}
