import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { CredentialsResolver } from '../sinks/credentials.ts';
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
import type { Random } from './backoff.ts';
import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';
import type { EngineMetrics } from './metrics.ts';

/** PROTOCOL A3: an attempt is cancelled after this (D), and its connection dropped. */
export const ATTEMPT_DEADLINE_MS = 8_000;
/** PROTOCOL A6: a destination may still store what was sent this long after the deadline. */
const SETTLE_MS = 2_000;
/** A sink that hasn't ended its work this long after its signal is given up. */
const OVERTIME_MS = 500;
const CHECK_DEADLINE_MS = 15_000;
/** An open sink that nobody has used after its activation is closed. */
const UNUSED_MS = 5_000;
/** A replication that is paused and activated again in quick succession keeps its client, and is checked once. */
const KEPT_MS = 10_000;
const REPEAT_LOG_MS = 60_000;
/** A destination counts as permanently broken when it has refused so often, at least so far apart (30 s in all). */
const FAULT_CONFIRMATIONS = 3;
const FAULT_SPACING_MS = 15_000;
/** So many records may be rejected with none accepted in between; they are dead letters then. */
const MOST_REJECTED_IN_A_ROW = 20;
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

export interface DestinationContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: EngineMetrics;
  readonly credentials: CredentialsResolver;
  /** Whether the replication's destination was found to work. */
  readonly isActivated: (config: ReplicationConfig) => boolean;
  /** A permanent fault was confirmed: several times, over half a minute. */
  readonly onFault: (config: ReplicationConfig, failure: SinkError) => void;
}

/** What one partition has at the destination: one attempt at a time, whatever feeds it (PROTOCOL A5). */
interface Slot {
  attempt: Promise<unknown> | null;
  newerNotBefore: number;
}

/** What can be seen of a destination from outside. */
export type DestinationState = 'ACTIVATING' | 'ACTIVE' | 'FAILING';

/**
 * One replication's open sink on this instance, used by the lanes of all its partitions.
 *
 * It opens the sink when the first lane has something to send (credentials, client, check), cancels an attempt at its
 * deadline, lets one attempt at a time run per partition (PROTOCOL A5, also across a rebalance that gives the partition
 * back to this instance), and opens it again after the destination itself has refused. It retries nothing: lanes do.
 */
export class Destination {
  readonly id: string;
  readonly #adapter: SinkAdapter;
  readonly #context: DestinationContext;
  readonly admission: Admission;
  readonly #slots = new Map<string, Slot>();
  readonly #closing = new AbortController();
  #config: ReplicationConfig;
  #opening: Promise<Sink> | null = null;
  #sink: Sink | null = null;
  #checkedMs = 0;
  #cancelClosing: (() => void) | null = null;
  #state: DestinationState = 'ACTIVATING';
  #lastFailure: {
    readonly code: SinkErrorCode;
    readonly message: string;
    readonly remedy: string | null;
  } | null = null;
  #lastLoggedMs = 0;
  #unlogged = 0;
  #transportFailures = 0;
  #fatalFailures = 0;
  #lastFatalMs = 0;
  #rejectedInARow = 0;

  constructor(config: ReplicationConfig, adapter: SinkAdapter, context: DestinationContext) {
    this.id = config.id;
    this.#config = config;
    this.#adapter = adapter;
    this.#context = context;
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
  get lastFailure(): {
    readonly code: SinkErrorCode;
    readonly message: string;
    readonly remedy: string | null;
  } | null {
    return this.#lastFailure;
  }

  get limits(): SinkLimits {
    return this.#sink?.limits ?? LIMITS_BEFORE_OPENING;
  }

  /** Takes a changed config of the same replication; the sink is opened anew when the change matters to it. */
  async update(config: ReplicationConfig): Promise<void> {
    const previous = this.#config;
    this.#config = config;
    const same = (
      ['credentialsUri', 'messageId', 'ordering', 'orderingLanes', 'userPointParent'] as const
    ).every((field) => previous[field] === config[field]);
    if (same) return;
    await this.#closeSink();
    this.admission.reset();
  }

  /**
   * Opens the destination and tries it, publishing nothing, unless that was done a moment ago. Resolves with what was
   * wrong, or null.
   */
  async activate(): Promise<SinkError | null> {
    if (this.#sink && this.#context.clock.monotonic() - this.#checkedMs < KEPT_MS) return null;
    try {
      await this.#open();
      return null;
    } catch (error) {
      return asSinkError(error);
    } finally {
      // Nobody may ever send through it on this instance; whoever does opens it again.
      this.#context.clock.schedule(UNUSED_MS, () => {
        if (this.#slots.size === 0) void this.#closeSink();
      });
    }
  }

  /** The destination was found to work: attempts may start. */
  resume(): void {
    this.#cancelClosing?.();
    this.#cancelClosing = null;
    this.admission.reset();
  }

  /** No attempt may start until `resume`; every connection is closed unless that comes soon. */
  suspend(): void {
    this.admission.hold();
    this.#fatalFailures = 0;
    this.#rejectedInARow = 0;
    this.#cancelClosing ??= this.#context.clock.schedule(KEPT_MS, () => {
      void this.#attemptsEnded().then(() => (this.#cancelClosing ? this.#closeSink() : undefined));
    });
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
    const outcome = await attempt;
    slot.attempt = null;
    if (outcome === null) this.admission.giveBack();
    else this.#note(outcome);
    return outcome;
  }

  /** Ends the attempts in flight and closes the sink. Idempotent. */
  async close(): Promise<void> {
    this.admission.close();
    this.#cancelClosing?.();
    this.#closing.abort();
    await this.#attemptsEnded();
    await this.#closeSink();
  }

  async #attempt(batch: OperationBatch, slot: Slot, mayStart: () => boolean): Promise<SendOutcome | null> {
    const { clock } = this.#context;
    let startedMs: number | null = null;
    let outcome: SendOutcome;
    try {
      const sink = this.#sink ?? (await this.#open());
      if (!mayStart() || this.#closing.signal.aborted) return null;
      startedMs = clock.monotonic();
      outcome = await this.#sendInTime(sink, batch);
    } catch (error) {
      outcome = { delivered: 0, failure: asSinkError(error) };
    }
    outcome = this.#suspectDestination(outcome, batch.count);
    if (startedMs !== null && outcome.failure?.isAmbiguous === true) {
      slot.newerNotBefore = startedMs + ATTEMPT_DEADLINE_MS + SETTLE_MS;
    }
    return outcome;
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

  /** Single flight: lanes of several partitions wait for the same opening. */
  #open(): Promise<Sink> {
    this.#opening ??= this.#openSink().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #openSink(): Promise<Sink> {
    const config = this.#config;
    // Not AbortSignal.any: Node keeps such a signal for ever when a sink leaves its listener on it.
    const giveUp = new AbortController();
    const { signal } = giveUp;
    const onClosing = (): void => {
      giveUp.abort();
    };
    if (this.#closing.signal.aborted) onClosing();
    this.#closing.signal.addEventListener('abort', onClosing, { once: true });
    const cancelDeadline = this.#context.clock.schedule(CHECK_DEADLINE_MS, () => {
      giveUp.abort(new SinkError('retriable', 'timeout', 'opening the destination took too long'));
    });
    let sink: Sink | null = null;
    try {
      const credentials =
        config.credentialsUri === null
          ? null
          : (
              await this.#context.credentials.resolve(
                { uri: config.credentialsUri, replicationId: config.id, datamartId: config.datamartId },
                signal,
              )
            ).text;
      sink = await this.#adapter.open({
        config: config.destination,
        credentials: this.#checked(credentials),
        options: {
          version: config.version,
          userPointParent: config.userPointParent,
          messageId: config.messageId,
          ordering: config.ordering,
          orderingLanes: config.orderingLanes,
        },
      });
      for (const warning of await sink.check(signal)) {
        this.#context.logger.warn({ replication_id: this.id }, warning);
      }
      signal.throwIfAborted();
    } catch (error) {
      await sink?.close();
      this.#context.metrics.activations.add(1, error instanceof SinkError ? error.code : 'unknown');
      throw error;
    } finally {
      cancelDeadline();
      this.#closing.signal.removeEventListener('abort', onClosing);
    }
    this.#context.metrics.activations.add(1, 'ok');
    // A check of a newer record opens it anew, beside one that works.
    this.#rebuild();
    this.#sink = sink;
    this.#checkedMs = this.#context.clock.monotonic();
    return sink;
  }

  #checked(credentials: string | null): string | null {
    if (credentials === null) {
      if (this.#adapter.credentials !== 'required') return null;
      throw new SinkError('fatal', 'credentials_missing', 'the replication has no credentials', {
        remedy: 'set credentials_uri',
      });
    }
    const problem = this.#adapter.checkCredentials(credentials, this.#config.destination);
    if (problem) throw new SinkError('fatal', 'credentials_invalid', problem.message);
    return credentials;
  }

  async #attemptsEnded(): Promise<void> {
    for (const { attempt } of this.#slots.values()) await attempt;
  }

  async #closeSink(): Promise<void> {
    const sink = this.#sink;
    this.#sink = null;
    await sink?.close();
  }

  #note({ failure, delivered }: SendOutcome): void {
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
    if (failure.kind === 'fatal' || this.#transportFailures >= REBUILD_AFTER_FAILURES) this.#rebuild();
    this.#logFailure(failure, isNew, logger, clock.monotonic());
    if (failure.kind === 'fatal') this.#confirmFault(failure, clock.monotonic());
    else this.#fatalFailures = 0;
    this.admission.ended({ kind: failure.kind, code: failure.code });
  }

  /** Attempts that were in flight together are one finding: the next can only come after the admission's wait. */
  #confirmFault(failure: SinkError, now: number): void {
    if (this.#fatalFailures > 0 && now - this.#lastFatalMs < FAULT_SPACING_MS) return;
    this.#lastFatalMs = now;
    this.#fatalFailures += 1;
    if (this.#fatalFailures === FAULT_CONFIRMATIONS) this.#context.onFault(this.#config, failure);
  }

  /** The next attempt opens the sink anew; the old one is closed when nothing is in flight on it. */
  #rebuild(): void {
    this.#transportFailures = 0;
    const sink = this.#sink;
    this.#sink = null;
    if (!sink) return;
    void this.#attemptsEnded().then(() => sink.close());
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
