import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import type { AppendOutcome } from '../kafka-port.ts';
import type { BrokerConnection } from './broker-connection.ts';
import {
  decodeProduceResponse,
  encodeProduceRequest,
  maxProduceBytes,
  PRODUCE_KEY,
  type PartitionRecords,
  type ProduceAnswer,
} from './produce-request.ts';
import { protocolErrorOf } from './protocol-error.ts';

/** What one request takes at most beside its first batch. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
const THROTTLED_MS = 50;
/** The broker gives up waiting for its replicas before the attempt's deadline, so that its answer still counts. */
const BEFORE_DEADLINE_MS = 1_000;
const TOO_LARGE = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']);

/** A connection and the version of produce requests that its broker takes. */
export interface ProduceConnection {
  readonly connection: BrokerConnection;
  readonly version: number;
}

interface Append extends PartitionRecords {
  readonly mayStart: () => boolean;
  readonly resolve: (outcome: AppendOutcome) => void;
}

/**
 * The appends to the partitions that one broker leads, one request in flight: what comes meanwhile goes out together in
 * the next. A broker answers a connection's requests in turn, so a second one would only wait there with its deadline
 * running.
 */
export class ProduceQueue {
  readonly #connect: () => Promise<ProduceConnection>;
  readonly #deadlineMs: number;
  #waiting: Append[] = [];
  #isRunning = false;
  /** Used again for each request; a fresh one would cost more than filling it. */
  #buffer = Buffer.alloc(0);

  /** `connect` resolves with the connected broker; `deadlineMs` is how long an attempt may take. */
  constructor(connect: () => Promise<ProduceConnection>, deadlineMs: number) {
    this.#connect = connect;
    this.#deadlineMs = deadlineMs;
  }

  /** As `PartitionWriter.append`. */
  append(batch: PartitionRecords, mayStart: () => boolean): Promise<AppendOutcome> {
    const { promise, resolve } = Promise.withResolvers<AppendOutcome>();
    this.#waiting.push({ ...batch, mayStart, resolve });
    void this.#run();
    return promise;
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      try {
        await this.#sendNext(await this.#connect());
      } catch (error) {
        this.#failWaiting(asError(error));
      }
    }
    this.#isRunning = false;
  }

  /** Whoever waits tries again later, perhaps at another broker. */
  #failWaiting(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve } of waiting) resolve({ kind: 'failed', error });
  }

  async #sendNext({ connection, version }: ProduceConnection): Promise<void> {
    const { requestQueue } = connection;
    if (!requestQueue.canSendSocketRequestImmediately()) {
      await delay(THROTTLED_MS);
      return;
    }
    // What is sent is asked for, encoded and written in one step (PROTOCOL A3).
    if (!connection.isConnected()) throw new Error('the connection to the broker is closed');
    const started = this.#takeStarting(connection.clientId);
    if (started.length === 0) return;
    let answers: readonly ProduceAnswer[];
    try {
      const payload = await this.#exchange(started, connection, version);
      const response = decodeProduceResponse(payload, version);
      if (response.throttleMs > 0) requestQueue.maybeThrottle(response.throttleMs);
      ({ answers } = response);
    } catch (cause) {
      const error = asError(cause);
      // The socket may still hold the request.
      this.#buffer = Buffer.alloc(0);
      connection.socket.destroy(error);
      this.#failWaiting(error);
      for (const { resolve } of started) resolve({ kind: 'open', error });
      // kafkajs closes the connection in the next moments; until then it must not be opened anew.
      await nextTurn();
      return;
    }
    for (const { at, resolve } of started) {
      const answer = answers.find(({ topic, partition }) => topic === at.topic && partition === at.partition);
      resolve(answer ? outcomeOf(answer) : { kind: 'open', error: new Error('the broker left it out') });
    }
  }

  /** As many of those that wait as one request takes, and that may start now. */
  #takeStarting(clientId: string): readonly Append[] {
    const started: Append[] = [];
    let bytes = 0;
    while (this.#waiting.length > 0 && bytes < MAX_REQUEST_BYTES) {
      const next = this.#waiting.shift() as Append;
      if (next.mayStart()) {
        started.push(next);
        bytes += maxProduceBytes([next], clientId);
      } else next.resolve({ kind: 'not_started' });
    }
    return started;
  }

  async #exchange(
    batches: readonly PartitionRecords[],
    connection: BrokerConnection,
    version: number,
  ): Promise<Buffer> {
    const { clientId, requestQueue } = connection;
    const { promise, resolve, reject } = Promise.withResolvers<{ readonly payload: Buffer }>();
    const correlationId = connection.nextCorrelationId();
    const needed = maxProduceBytes(batches, clientId);
    if (this.#buffer.length < needed) this.#buffer = Buffer.allocUnsafeSlow(Math.ceil(needed * 1.25));
    const timeoutMs = this.#deadlineMs - BEFORE_DEADLINE_MS;
    const header = { version, correlationId, clientId, timeoutMs, now: Date.now() };
    const length = encodeProduceRequest(batches, header, this.#buffer);
    const deadline = setTimeout(() => {
      reject(new Error(`the broker did not answer within ${this.#deadlineMs} ms`));
    }, this.#deadlineMs);
    try {
      requestQueue.push({
        entry: {
          apiKey: PRODUCE_KEY,
          apiName: 'Produce',
          apiVersion: version,
          correlationId,
          resolve,
          reject,
        },
        expectResponse: true,
        requestTimeout: null,
        sendRequest: () => {
          connection.socket.write(this.#buffer.subarray(0, length));
        },
      });
      return (await promise).payload;
    } finally {
      clearTimeout(deadline);
    }
  }
}

function outcomeOf({ errorCode, baseOffset }: ProduceAnswer): AppendOutcome {
  if (errorCode === 0) return { kind: 'stored', baseOffset };
  const error = protocolErrorOf(errorCode);
  return { kind: TOO_LARGE.has(error.type) ? 'too_large' : 'failed', error };
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
