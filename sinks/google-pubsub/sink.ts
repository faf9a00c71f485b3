import {
  SinkError,
  type MessageOptions,
  type OperationBatch,
  type SendOutcome,
  type Sink,
  type SinkLimits,
} from '../sink.ts';
import { checkTopic } from './activation-check.ts';
import { classifyPubSubError } from './classify-error.ts';
import { topicNameOf, type GooglePubSubConfig } from './config.ts';
import { requestLimits } from './costs.ts';
import { frameOf } from './framed-request.ts';
import { countMessageIds, topicField } from './publish-request.ts';
import type { PublishTransport } from './publish-transport.ts';
import type { SharedMessages } from './shared-messages.ts';

const MAX_REQUEST_BYTES = 10_000_000;

const PUBLISH = '/google.pubsub.v1.Publisher/Publish';

/** What a sink is made of. */
export interface GooglePubSubSinkParts {
  readonly config: GooglePubSubConfig;
  readonly options: MessageOptions;
  readonly transport: PublishTransport;
  /** Shared by all sinks of the adapter. */
  readonly messages: SharedMessages;
}

/** One topic. A batch is one publish request; connects with the first one. */
export class GooglePubSubSink implements Sink {
  readonly limits: SinkLimits;
  readonly #topicName: string;
  readonly #options: MessageOptions;
  readonly #transport: PublishTransport;
  readonly #messages: SharedMessages;
  readonly #topic: Buffer;
  readonly #action: string;
  readonly #routing: string;
  readonly #isGlobal: boolean;
  #isClosed = false;

  constructor(parts: GooglePubSubSinkParts) {
    this.#topicName = topicNameOf(parts.config);
    this.#options = parts.options;
    this.#transport = parts.transport;
    this.#messages = parts.messages;
    this.#topic = topicField(this.#topicName);
    this.#action = `publishing to ${this.#topicName}`;
    this.#routing = `topic=${encodeURIComponent(this.#topicName)}`;
    this.#isGlobal = parts.config.endpoint === null;
    this.limits = requestLimits(parts.options);
  }

  async check(signal: AbortSignal): Promise<readonly string[]> {
    if (this.#isClosed) throw this.#closedFailure(false);
    const warnings = await checkTopic(this.#transport, this.#topicName, this.#options, signal);
    if (!this.#options.ordering || !this.#isGlobal) return warnings;
    return [...warnings, 'Pub/Sub keeps the order only of messages published in one region: set endpoint'];
  }

  async send(batch: OperationBatch, signal: AbortSignal): Promise<SendOutcome> {
    if (this.#isClosed) return failed(this.#closedFailure(false));
    if (signal.aborted) return failed(this.#timeout(undefined));
    const maxBytes = MAX_REQUEST_BYTES - this.#topic.length;
    const messages = this.#messages.lend(batch, this.#options.messageId, maxBytes);
    if (messages === null) return this.#refuseTooLarge(batch, maxBytes);
    const request = frameOf(this.#topic, messages.bytes);
    let isAnswered = false;
    try {
      const response = await this.#transport.call({ path: PUBLISH, routing: this.#routing, request }, signal);
      isAnswered = true;
      return this.#outcomeOf(response, batch.count);
    } catch (error) {
      if (signal.aborted) return failed(this.#timeout(error));
      if (this.#isClosed) return failed(this.#closedFailure(true));
      return failed(classifyPubSubError(error, 'publishing to', this.#topicName));
    } finally {
      this.#messages.giveBack(messages, !isAnswered);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#transport.close();
  }

  /** Over the limit Pub/Sub refuses the request whole, after ten megabytes on the wire, and names no record. */
  #refuseTooLarge(batch: OperationBatch, maxBytes: number): SendOutcome {
    const message = `${this.#action}: a request may hold ${MAX_REQUEST_BYTES} bytes`;
    const isNext = batch.end(0) - batch.start(0) > maxBytes;
    return { ...failed(new SinkError('rejected', 'too_large', message)), isNext };
  }

  #outcomeOf(response: Buffer, count: number): SendOutcome {
    const stored = countMessageIds(response);
    if (stored === count) return { delivered: count, failure: null };
    const message = `${this.#action}: answered with ${stored ?? 'no'} ids for ${count} messages`;
    return failed(new SinkError('retriable', 'unknown', message, { isAmbiguous: true }));
  }

  #timeout(cause: unknown): SinkError {
    const isAmbiguous = true;
    return new SinkError('retriable', 'timeout', `${this.#action}: no answer in time`, {
      cause,
      isAmbiguous,
    });
  }

  #closedFailure(isAmbiguous: boolean): SinkError {
    return new SinkError('retriable', 'unavailable', `${this.#action}: the sink is closed`, { isAmbiguous });
  }
}

function failed(failure: SinkError): SendOutcome {
  return { delivered: 0, failure };
}
