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
import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';
import type { EngineMetrics } from './metrics.ts';

/** PROTOCOL A3: an attempt is cancelled after this, and its connection dropped. */
const ATTEMPT_DEADLINE_MS = 8_000;
const CHECK_DEADLINE_MS = 15_000;
const REPEAT_LOG_MS = 60_000;
/** Until the sink is open and says its own. */
const LIMITS_BEFORE_OPENING: SinkLimits = { maxRecords: 1_000, maxBytes: 900_000, recordOverheadBytes: 64 };

export interface DestinationContext {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: EngineMetrics;
  readonly credentials: CredentialsResolver;
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
  readonly #attempts = new Map<string, Promise<unknown>>();
  readonly #closing = new AbortController();
  #config: ReplicationConfig;
  #opening: Promise<Sink> | null = null;
  #sink: Sink | null = null;
  #state: DestinationState = 'ACTIVATING';
  #lastFailure: {
    readonly code: SinkErrorCode;
    readonly message: string;
    readonly remedy: string | null;
  } | null = null;
  #lastLoggedMs = 0;
  #unlogged = 0;

  constructor(config: ReplicationConfig, adapter: SinkAdapter, context: DestinationContext) {
    this.id = config.id;
    this.#config = config;
    this.#adapter = adapter;
    this.#context = context;
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
    if (!same) await this.#closeSink();
  }

  /** Sends a batch for one partition. Never rejects, and has ended when it resolves. */
  async send(batch: OperationBatch, partitionKey: string): Promise<SendOutcome> {
    for (
      let earlier = this.#attempts.get(partitionKey);
      earlier;
      earlier = this.#attempts.get(partitionKey)
    ) {
      await earlier;
    }
    const attempt = this.#attempt(batch);
    this.#attempts.set(partitionKey, attempt);
    const outcome = await attempt;
    this.#attempts.delete(partitionKey);
    this.#note(outcome);
    return outcome;
  }

  /** Ends the attempts in flight and closes the sink. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#attempts.values());
    await this.#closeSink();
  }

  async #attempt(batch: OperationBatch): Promise<SendOutcome> {
    try {
      const sink = this.#sink ?? (await this.#open());
      const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(ATTEMPT_DEADLINE_MS)]);
      return await sink.send(batch, signal);
    } catch (error) {
      const failure =
        error instanceof SinkError
          ? error
          : new SinkError('retriable', 'unknown', 'sending a batch failed unexpectedly', {
              cause: error,
              isAmbiguous: true,
            });
      return { delivered: 0, failure };
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
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(CHECK_DEADLINE_MS)]);
    let sink: Sink | null = null;
    try {
      const credentials =
        config.credentialsUri === null
          ? null
          : (await this.#context.credentials.resolve(config.credentialsUri, signal)).text;
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
    }
    this.#context.metrics.activations.add(1, 'ok');
    this.#sink = sink;
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

  async #closeSink(): Promise<void> {
    const sink = this.#sink;
    this.#sink = null;
    await sink?.close();
  }

  #note({ failure }: SendOutcome): void {
    const { metrics, logger, clock } = this.#context;
    metrics.publishRequests.add(1, this.id, failure?.code ?? 'ok');
    if (!failure || failure.kind === 'rejected') {
      if (this.#state === 'FAILING') logger.info({ replication_id: this.id }, 'the destination works again');
      this.#state = 'ACTIVE';
      this.#lastFailure = null;
      this.#unlogged = 0;
      return;
    }
    const isNew = this.#state !== 'FAILING' || this.#lastFailure?.code !== failure.code;
    this.#state = 'FAILING';
    this.#lastFailure = { code: failure.code, message: failure.message, remedy: failure.remedy };
    if (failure.kind === 'fatal') void this.#closeSink();
    const now = clock.now();
    this.#unlogged += 1;
    if (this.#closing.signal.aborted || (!isNew && now - this.#lastLoggedMs < REPEAT_LOG_MS)) return;
    const fields = { replication_id: this.id, code: failure.code, remedy: failure.remedy, error: failure };
    logger.warn({ ...fields, repeated: this.#unlogged }, failure.message);
    this.#unlogged = 0;
    this.#lastLoggedMs = now;
  }
}
