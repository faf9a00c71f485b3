import { performance } from 'node:perf_hooks';
import {
  SinkError,
  type MessageOptions,
  type OperationBatch,
  type SendOutcome,
  type Sink,
  type SinkLimits,
} from '../sink.ts';
import { classifyError, type Phase } from './classify-error.ts';
import { MAX_BATCH_BYTES, requestLimits } from './costs.ts';
import { EventEncoder, partitionKeyOf } from './events.ts';
import { HubProducer, type HubProducerOptions } from './hub-producer.ts';

/** After so many failures in a row that aren't throttling, a new connection is tried: the SDK's are known to get stuck. */
const MAX_FAILURES_IN_A_ROW = 3;

/**
 * One event hub, over one connection that is opened with the first use and replaced when it is lost.
 *
 * A send is one AMQP message, one partition key, stored whole or not at all. What doesn't fit is left to the next
 * send. The largest message is what the link says (256 KiB on the basic tier), known once it is open.
 */
export class AzureEventHubsSink implements Sink {
  readonly #connection: HubProducerOptions;
  readonly #encoder: EventEncoder;
  #producer: HubProducer | null = null;
  #linkBytes = MAX_BATCH_BYTES;
  #lastAnswerAt = 0;
  #failuresInARow = 0;
  #isClosed = false;

  constructor(connection: HubProducerOptions, options: MessageOptions) {
    this.#connection = connection;
    this.#encoder = new EventEncoder({ messageId: options.messageId });
  }

  get limits(): SinkLimits {
    return requestLimits(this.#encoder, this.#linkBytes);
  }

  async check(signal: AbortSignal): Promise<readonly string[]> {
    if (this.#isClosed) throw this.#closedError();
    const attempt = new Attempt(this.#openProducer(), signal);
    try {
      const linkBytes = await attempt.run((stop) => attempt.producer.openLink(stop));
      this.#linkBytes = linkBytes;
      if (linkBytes >= MAX_BATCH_BYTES) return [];
      return [
        `event hub ${this.#connection.eventHubName} takes at most ${linkBytes} bytes a message, as the basic tier does: larger operations become dead letters`,
      ];
    } catch (error) {
      throw this.#failureOf(attempt, error, signal);
    } finally {
      attempt.end();
    }
  }

  async send(batch: OperationBatch, signal: AbortSignal): Promise<SendOutcome> {
    if (this.#isClosed) return failed(this.#closedError());
    const attempt = new Attempt(this.#openProducer(), signal);
    try {
      const linkBytes = await attempt.run((stop) => attempt.producer.openLink(stop));
      this.#linkBytes = linkBytes;
      // A record that is larger than a usual batch goes by itself, as long as the link takes it.
      const events = this.#encoder.encode(batch, Math.min(MAX_BATCH_BYTES, linkBytes), linkBytes);
      if (events === null) return { ...failed(this.#tooLarge(batch, linkBytes)), isNext: true };

      attempt.phase = 'sending';
      await attempt.run((stop) => attempt.producer.publish(events, partitionKeyOf(batch), stop));
      this.#lastAnswerAt = performance.now();
      this.#failuresInARow = 0;
      return { delivered: events.count, failure: null };
    } catch (error) {
      const failure = this.#failureOf(attempt, error, signal);
      return failure.kind === 'rejected' && batch.count === 1
        ? { ...failed(failure), isNext: true }
        : failed(failure);
    } finally {
      attempt.end();
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#producer?.close();
  }

  #openProducer(): HubProducer {
    if (this.#producer === null || this.#producer.gone.aborted) {
      this.#producer = new HubProducer(this.#connection);
      this.#failuresInARow = 0;
    }
    return this.#producer;
  }

  #failureOf({ producer, phase, startedAt }: Attempt, error: unknown, signal: AbortSignal): SinkError {
    const { eventHubName } = this.#connection;
    if (this.#isClosed) return this.#closedError(phase);
    if (signal.aborted) {
      // While others are answered on this connection, it is the one attempt that came too late.
      if (this.#lastAnswerAt < startedAt) producer.abandon(error);
      const message = `publishing to event hub ${eventHubName}: no answer in time`;
      return new SinkError('retriable', 'timeout', message, { cause: error, isAmbiguous: true });
    }
    if (producer.gone.aborted) return classifyError(producer.gone.reason, phase, eventHubName);
    const failure = classifyError(error, phase, eventHubName);
    this.#lastAnswerAt = performance.now();
    if (failure.kind === 'retriable' && failure.code !== 'throttled') this.#failuresInARow++;
    if (phase === 'opening' || this.#failuresInARow >= MAX_FAILURES_IN_A_ROW) producer.abandon(error);
    return failure;
  }

  #tooLarge(batch: OperationBatch, linkBytes: number): SinkError {
    const bytes = batch.end(0) - batch.start(0);
    const message = `publishing to event hub ${this.#connection.eventHubName}: a record of ${bytes} bytes doesn't fit into a message of ${linkBytes}`;
    return new SinkError('rejected', 'too_large', message);
  }

  #closedError(phase: Phase = 'opening'): SinkError {
    const message = `publishing to event hub ${this.#connection.eventHubName}: the sink is closed`;
    return new SinkError('retriable', 'unavailable', message, { isAmbiguous: phase === 'sending' });
  }
}

/** One try on one producer; ends when either the caller's signal or the producer's aborts, whatever the SDK does. */
class Attempt {
  readonly producer: HubProducer;
  readonly startedAt = performance.now();
  phase: Phase = 'opening';
  readonly #stop = new AbortController();
  readonly #sources: readonly AbortSignal[];
  readonly #onAbort = (): void => this.#stop.abort();

  constructor(producer: HubProducer, signal: AbortSignal) {
    this.producer = producer;
    this.#sources = [signal, producer.gone];
    for (const source of this.#sources) source.addEventListener('abort', this.#onAbort);
    if (this.#sources.some((source) => source.aborted)) this.#stop.abort();
  }

  async run<T>(work: (stop: AbortSignal) => Promise<T>): Promise<T> {
    const { signal } = this.#stop;
    signal.throwIfAborted();
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    const onStop = (): void => reject(new DOMException('the attempt was stopped', 'AbortError'));
    signal.addEventListener('abort', onStop);
    try {
      return await Promise.race([work(signal), stopped]);
    } finally {
      signal.removeEventListener('abort', onStop);
    }
  }

  end(): void {
    for (const source of this.#sources) source.removeEventListener('abort', this.#onAbort);
  }
}

function failed(failure: SinkError): SendOutcome {
  return { delivered: 0, failure };
}
