import {
  SinkError,
  type MessageOptions,
  type OperationBatch,
  type SendOutcome,
  type Sink,
  type SinkLimits,
} from '../sink.ts';
import { classifyError, type Phase } from './classify-error.ts';
import type { RecordProducer, TopicDescription } from './record-producer.ts';
import { MAX_BYTES, MAX_RECORDS, RECORD_OVERHEAD_BYTES, maxBytesFor, recordsOf } from './records.ts';

export interface KafkaTopicSinkOptions {
  readonly topic: string;
  readonly options: MessageOptions;
  readonly producer: RecordProducer;
}

/** One topic of a Kafka cluster. A send is one produce request per broker; what is too much is left to the next send. */
export class KafkaTopicSink implements Sink {
  readonly #topic: string;
  readonly #options: MessageOptions;
  readonly #producer: RecordProducer;
  readonly #closed = new AbortController();
  #maxBytes = MAX_BYTES;
  #closing: Promise<void> | null = null;

  constructor({ topic, options, producer }: KafkaTopicSinkOptions) {
    this.#topic = topic;
    this.#options = options;
    this.#producer = producer;
  }

  /** The topic's own limit, once `check` has read it, where it is lower. */
  get limits(): SinkLimits {
    return {
      maxRecords: MAX_RECORDS,
      maxBytes: this.#maxBytes,
      recordOverheadBytes: RECORD_OVERHEAD_BYTES,
    };
  }

  async check(signal: AbortSignal): Promise<readonly string[]> {
    let description: TopicDescription | null;
    try {
      description = await this.#run(signal, (stop) => this.#producer.describeTopic(this.#topic, stop));
    } catch (error) {
      throw this.#failureOf(error, 'opening', signal);
    }
    if (description !== null) return this.#adaptTo(description);
    const missing = { type: 'UNKNOWN_TOPIC_OR_PARTITION', message: 'there is no such topic' };
    throw classifyError(missing, 'opening', this.#topic);
  }

  async send(batch: OperationBatch, signal: AbortSignal): Promise<SendOutcome> {
    const records = recordsOf(batch, this.#options, this.#maxBytes);
    try {
      await this.#run(signal, (stop) => this.#producer.produce(this.#topic, records, stop));
      return { delivered: records.length, failure: null };
    } catch (error) {
      const failure = this.#failureOf(error, 'sending', signal);
      const isNext = failure.kind === 'rejected' && records.length === 1;
      return { delivered: 0, failure, isNext };
    }
  }

  close(): Promise<void> {
    this.#closed.abort();
    this.#closing ??= this.#producer.close();
    return this.#closing;
  }

  #adaptTo({ maxMessageBytes }: TopicDescription): readonly string[] {
    this.#maxBytes = maxBytesFor(maxMessageBytes);
    if (maxMessageBytes === null || this.#maxBytes === MAX_BYTES) return [];
    return [
      `topic ${this.#topic} takes at most ${maxMessageBytes} bytes a batch: larger operations become dead letters; raise its max.message.bytes`,
    ];
  }

  /** Ends with the work, the caller's signal or the sink's close, whichever is first. */
  async #run<T>(signal: AbortSignal, work: (stop: AbortSignal) => Promise<T>): Promise<T> {
    const stop = new AbortController();
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    const onStop = (): void => {
      stop.abort();
      reject(new DOMException('the attempt was stopped', 'AbortError'));
    };
    const sources = [signal, this.#closed.signal];
    for (const source of sources) source.addEventListener('abort', onStop);
    try {
      for (const source of sources) source.throwIfAborted();
      return await Promise.race([work(stop.signal), stopped]);
    } finally {
      for (const source of sources) source.removeEventListener('abort', onStop);
    }
  }

  #failureOf(error: unknown, phase: Phase, signal: AbortSignal): SinkError {
    if (this.#closed.signal.aborted) {
      const message = `publishing to topic ${this.#topic}: the sink is closed`;
      return new SinkError('retriable', 'unavailable', message, { isAmbiguous: phase === 'sending' });
    }
    if (signal.aborted) {
      const message = `publishing to topic ${this.#topic}: no answer in time`;
      return new SinkError('retriable', 'timeout', message, { cause: error, isAmbiguous: true });
    }
    return classifyError(error, phase, this.#topic);
  }
}
