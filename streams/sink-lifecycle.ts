import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { CredentialsResolver, ResolvedCredentials } from '../sinks/credentials.ts';
import { SinkError, type SinkAdapter } from '../sinks/sink.ts';
import type { Random } from './backoff.ts';
import type { Clock } from './clock.ts';
import { openChecked } from './destination-check.ts';
import type { Logger } from './logger.ts';
import type { EngineMetrics } from './metrics.ts';
import { OpenedSink, type SinkOrigin } from './opened-sink.ts';
import { SinkRenewal, type RenewableSinks } from './sink-renewal.ts';

/** A sink that nobody has used for so long is closed; the next attempt opens it again. */
const IDLE_MS = 300_000;
/** One that was opened by a check, and that nobody has used since. */
const UNUSED_MS = 5_000;
/** A replication that is paused and activated again in quick succession keeps its sink, and is checked once. */
const KEPT_MS = 10_000;

export interface SinkLifecycleContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: EngineMetrics;
  readonly credentials: CredentialsResolver;
}

/**
 * The sink of one replication on this instance, from its opening to its end: at most one serves.
 *
 * ```
 *            use, activate                checked, and nothing in flight on the one before
 *   (none) ───────────────▶ opening ─────────────────────────────────────────────────────▶ serving ◀──┐
 *     ▲                       │ failed                                                       │  │     │
 *     │◀──────────────────────┘                   renew: another is opened and checked beside it ┘     │
 *     │                                           fails: it goes on serving, tried again later ────────┤
 *     │                                           works: retired, and the new one serves ──────────────┘
 *     └────────── attempts have ended, closed ◀── retired ◀── failing, idle, unused, other options ──┘
 * ```
 *
 * An attempt takes the sink that serves and releases it. A new sink serves only once every attempt on the one before has
 * ended: two never publish at once, whatever the difference between them.
 */
export class SinkLifecycle {
  readonly #adapter: SinkAdapter;
  readonly #context: SinkLifecycleContext;
  readonly #closing = new AbortController();
  readonly #renewal: SinkRenewal;
  /** Warnings of checks that were logged before. */
  readonly #warned = new Set<string>();
  /** No attempt takes these any more; they are closed when those in flight have ended. */
  readonly #retired = new Map<OpenedSink, Promise<void>>();
  #config: ReplicationConfig;
  #revision = 0;
  #serving: OpenedSink | null = null;
  #opening: Promise<void> | null = null;
  #lastTried: SinkOrigin;
  #cancelIdle: (() => void) | null = null;
  #cancelRetiring: (() => void) | null = null;

  constructor(config: ReplicationConfig, adapter: SinkAdapter, context: SinkLifecycleContext) {
    this.#config = config;
    this.#adapter = adapter;
    this.#context = context;
    this.#lastTried = originOf(config, 0);
    this.#renewal = new SinkRenewal({
      replicationId: config.id,
      sinks: {
        outdated: () => this.#outdated(),
        untilSettled: async () => {
          await this.#opening?.catch(() => undefined);
        },
        hasPresentOptions: (sink) => haveSameOptions(sink.origin.config, this.#config),
        confirm: (sink) => this.#confirm(sink),
        replace: () => this.#replace(),
        retire: () => {
          this.#retire();
        },
      },
      clock: context.clock,
      random: context.random,
      logger: context.logger,
      signal: this.#closing.signal,
    });
  }

  /** The sink that serves; null while none is open. */
  get serving(): OpenedSink | null {
    return this.#serving;
  }

  /** What the newest opening was made with, whatever became of it. */
  get lastTried(): SinkOrigin {
    return this.#lastTried;
  }

  /** Takes the sink for one attempt, if one serves. Whoever takes it releases it. */
  tryTake(): OpenedSink | null {
    return this.#serving?.take(this.#context.clock.monotonic()) ?? null;
  }

  /** Takes the sink for one attempt once one serves, which is opened if need be. Rejects with a `SinkError`. */
  async take(): Promise<OpenedSink> {
    for (;;) {
      const taken = this.tryTake();
      if (taken) return taken;
      await this.#open();
    }
  }

  /**
   * Opens and checks a sink with what is known now, beside one that serves, unless that was done a moment ago. It is
   * closed soon if nobody uses it. Resolves with what it was opened with; rejects with a `SinkError`.
   */
  async activate(): Promise<SinkOrigin> {
    const now = this.#context.clock.monotonic();
    if (this.#serving && !this.#outdated() && now - this.#serving.checkedMs < KEPT_MS)
      return this.#serving.origin;
    do await this.#open();
    while (this.#outdated());
    return this.#serving?.origin ?? this.#lastTried;
  }

  /**
   * Credentials or options are others now (`config` when it changed). With other credentials a sink that serves goes on
   * until one with the new ones works; when they don't work it goes on, and they are tried again later. With other
   * options nothing new starts on it: the next attempt opens one. Without an open sink nothing is opened.
   *
   * Resolves with why the new credentials don't work, or null. Never rejects. A change that comes meanwhile is seen to
   * as well.
   */
  renew(config: ReplicationConfig = this.#config): Promise<SinkError | null> {
    this.#config = config;
    this.#revision += 1;
    // Nobody may use it: it isn't worth another.
    if (this.#cancelRetiring) this.#retire();
    return this.#renewal.start();
  }

  /** Takes a config that differs in nothing that the sink was opened with. */
  follow(config: ReplicationConfig): void {
    this.#config = config;
  }

  /** The sink fails: the next attempt opens another. Nothing happens when `sink` doesn't serve any more. */
  drop(sink: OpenedSink): void {
    if (this.#serving === sink) this.#retire();
  }

  /** Closes the sink in a moment, unless `keep` comes first. */
  closeSoon(): void {
    this.#cancelRetiring ??= this.#context.clock.schedule(KEPT_MS, () => {
      this.#cancelRetiring = null;
      this.#retire();
    });
  }

  /** The sink may stay open. */
  keep(): void {
    this.#cancelRetiring?.();
    this.#cancelRetiring = null;
  }

  /** Opens nothing more, and closes everything once the attempts in flight have ended. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.keep();
    this.#retire();
    await this.#opening?.catch(() => undefined);
    await this.#renewal.close();
    await Promise.all(this.#retired.values());
  }

  /** Single flight: whoever needs a sink waits for the same opening. */
  #open(): Promise<void> {
    this.#opening ??= this.#openAndServe().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  /** A failure with credentials that are others by now says nothing: they are tried before anybody hears of it. */
  async #openAndServe(): Promise<void> {
    for (;;) {
      const revision = this.#revision;
      try {
        this.#serve(await this.#openChecked(revision));
        return;
      } catch (error) {
        if (revision === this.#revision || this.#closing.signal.aborted) throw error;
      }
    }
  }

  /** Resolves when it works and nothing is in flight on any other. */
  async #openChecked(revision: number): Promise<OpenedSink> {
    const { metrics, clock } = this.#context;
    const config = this.#config;
    this.#lastTried = originOf(config, revision);
    const read = (signal: AbortSignal): Promise<string | null> => this.#readCredentials(signal);
    let opened: OpenedSink;
    try {
      const { sink, warnings } = await openChecked(this.#adapter, config, read, this.#closing.signal, clock);
      opened = new OpenedSink(sink, this.#lastTried, clock.monotonic());
      this.#warn(warnings);
    } catch (error) {
      metrics.activations.add(1, error instanceof SinkError ? error.code : 'unknown');
      throw error;
    }
    metrics.activations.add(1, 'ok');
    if (this.#serving) opened.succeed(this.#serving);
    this.#retire();
    await Promise.all([...this.#retired.keys()].map((sink) => sink.untilIdle()));
    if (!this.#closing.signal.aborted) return opened;
    await this.#end(opened);
    throw new SinkError('retriable', 'unavailable', 'the destination is closed');
  }

  async #readCredentials(signal: AbortSignal): Promise<string | null> {
    const credentials = await this.#resolve(this.#lastTried.config, signal);
    if (!credentials) return null;
    const { text, fingerprint, version: credentialsVersion } = credentials;
    this.#lastTried = { ...this.#lastTried, fingerprint, credentialsVersion };
    return text;
  }

  async #resolve(
    { id, datamartId, credentialsUri }: ReplicationConfig,
    signal: AbortSignal,
  ): Promise<ResolvedCredentials | null> {
    if (credentialsUri === null) return null;
    const request = { uri: credentialsUri, replicationId: id, datamartId };
    return this.#context.credentials.resolve(request, signal);
  }

  #serve(opened: OpenedSink): void {
    this.#serving = opened;
    this.#renewal.noteOpened();
    this.#watchIdle();
  }

  /** Takes the sink out of service: it is closed once the attempts on it have ended. */
  #retire(): void {
    this.#cancelIdle?.();
    this.#cancelIdle = null;
    const sink = this.#serving;
    this.#serving = null;
    if (!sink) return;
    const ended = sink
      .untilIdle()
      .then(() => this.#end(sink))
      .then(() => {
        this.#retired.delete(sink);
      });
    this.#retired.set(sink, ended);
  }

  /** Never rejects: what can't be closed isn't used any more either. */
  async #end({ sink }: OpenedSink): Promise<void> {
    try {
      await sink.close();
    } catch (error) {
      this.#context.logger.warn({ replication_id: this.#config.id, error }, 'closing a destination failed');
    }
  }

  /** The sink that serves, if it was opened with other credentials or options than those of now. */
  #outdated(): OpenedSink | null {
    if (this.#closing.signal.aborted) return null;
    return this.#serving?.origin.revision === this.#revision ? null : this.#serving;
  }

  /** Credentials may be the same, sealed under another key or written again. */
  async #confirm(serving: OpenedSink): Promise<boolean> {
    const [config, revision] = [this.#config, this.#revision];
    try {
      const credentials = await this.#resolve(config, this.#closing.signal);
      const { fingerprint } = serving.origin;
      if (fingerprint === null || credentials?.fingerprint !== fingerprint) return false;
      serving.confirm({ config, revision, credentialsVersion: credentials.version, fingerprint });
      return true;
    } catch {
      // Whoever opens the sink hears of it.
      return false;
    }
  }

  async #replace(): ReturnType<RenewableSinks['replace']> {
    try {
      await this.#open();
      return { failure: null, isLatest: true };
    } catch (error) {
      if (!(error instanceof SinkError)) throw error;
      return { failure: error, isLatest: this.#lastTried.revision === this.#revision };
    }
  }

  /** One timer for each open sink, and none for a replication without. */
  #watchIdle(): void {
    this.#cancelIdle = null;
    const sink = this.#serving;
    if (!sink) return;
    const limitMs = sink.wasUsed ? IDLE_MS : UNUSED_MS;
    const isBusy = !sink.isIdle || this.#opening !== null;
    const leftMs = isBusy ? limitMs : sink.lastUsedMs + limitMs - this.#context.clock.monotonic();
    if (leftMs <= 0) {
      this.#retire();
      return;
    }
    this.#cancelIdle = this.#context.clock.schedule(leftMs, () => {
      this.#watchIdle();
    });
  }

  #warn(warnings: readonly string[]): void {
    for (const warning of warnings) {
      if (this.#warned.has(warning)) continue;
      this.#warned.add(warning);
      this.#context.logger.warn({ replication_id: this.#config.id }, warning);
    }
  }
}

/** Whether messages of both look the same: a sink of one can serve the other. */
function haveSameOptions(a: ReplicationConfig, b: ReplicationConfig): boolean {
  return (['messageId', 'ordering', 'orderingLanes', 'userPointParent'] as const).every(
    (option) => a[option] === b[option],
  );
}

function originOf(config: ReplicationConfig, revision: number): SinkOrigin {
  return { config, revision, credentialsVersion: null, fingerprint: null };
}
