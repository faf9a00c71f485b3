import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { responseBuffers } from './response-buffers.ts';

const KEEP_ALIVE_DELAY_MS = 60_000;
const SIZE_BYTES = 4;
const CORRELATION_ID_BYTES = 4;
/** Holds the beginning of a response, or several small ones. */
const ARRIVAL_BYTES = 16 * 1024;
/** More than any answer to what is asked for. A TLS or HTTP port answers a plain client with a greater "size". */
const MAX_RESPONSE_BYTES = 256 * 1024 * 1024;

/** What of kafkajs' `Connection` takes responses. */
export interface ResponseTarget {
  /** Set while the broker is expected to answer an authentication that isn't framed as Kafka's requests are. */
  readonly authHandlers: object | null;
  processData(chunk: Buffer): void;
  readonly requestQueue: {
    fulfillRequest(response: { size: number; correlationId: number; payload: Buffer }): void;
  };
}

export interface SocketAddress {
  readonly host: string;
  readonly port: number;
  readonly ssl: ConnectionOptions | null | undefined;
  readonly onConnect: () => void;
}

/** A socket factory for kafkajs whose sockets hand whole responses to `target`, and emit no `data`. */
export function socketInto(target: ResponseTarget): (address: SocketAddress) => Socket {
  return ({ host, port, ssl, onConnect }) => {
    const reader = new ResponseReader(target);
    const onread: OnReadOpts = {
      buffer: () => reader.space(),
      callback: (length) => {
        const problem = reader.received(length);
        if (problem) socket.destroy(problem);
        return problem === null;
      },
    };
    const options = { host, port, onread };
    const tlsOptions: ConnectionOptions = {
      ...options,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...ssl,
    };
    const socket: Socket = ssl ? connectTls(tlsOptions, onConnect) : connectTcp(options, onConnect);
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
    return socket;
  };
}

/**
 * Puts responses together where the socket writes them: a response that doesn't fit the arrival buffer gets a buffer of
 * its own, and the rest is read into it. Nobody else has that before it is given back, because records are views on it.
 */
export class ResponseReader {
  readonly #target: ResponseTarget;
  readonly #arrival = Buffer.allocUnsafeSlow(ARRIVAL_BYTES);
  #arrived = 0;
  /** The response that is being read, without its size, and how much of it is there. */
  #response: Buffer | null = null;
  #filled = 0;

  constructor(target: ResponseTarget) {
    this.#target = target;
  }

  /** Where the socket is to write next. Never empty. */
  space(): Buffer {
    return this.#response ? this.#response.subarray(this.#filled) : this.#arrival.subarray(this.#arrived);
  }

  /** The socket has written so many bytes into `space()`. Returns why nothing more can be read, if so. */
  received(length: number): Error | null {
    if (this.#response) {
      this.#filled += length;
      if (this.#filled < this.#response.length) return null;
      const response = this.#response;
      this.#response = null;
      this.#fulfill(response);
      return null;
    }
    this.#arrived += length;
    if (this.#target.authHandlers) {
      const chunk = Buffer.from(this.#arrival.subarray(0, this.#arrived));
      this.#arrived = 0;
      this.#target.processData(chunk);
      return null;
    }
    return this.#takeResponses();
  }

  /** Hands over the responses that have arrived whole; what is left goes on in a buffer of its own or waits for its size. */
  #takeResponses(): Error | null {
    let at = 0;
    while (this.#arrived - at >= SIZE_BYTES) {
      const size = this.#arrival.readInt32BE(at);
      if (size < CORRELATION_ID_BYTES || size > MAX_RESPONSE_BYTES) {
        return new Error(
          `the broker answers with a response of ${size} bytes: is this a listener of another protocol?`,
        );
      }
      const from = at + SIZE_BYTES;
      const response = responseBuffers.take(size);
      const length = this.#arrival.copy(response, 0, from, Math.min(from + size, this.#arrived));
      at = from + length;
      if (length === size) {
        this.#fulfill(response);
      } else {
        this.#response = response;
        this.#filled = length;
      }
    }
    this.#arrival.copyWithin(0, at, this.#arrived);
    this.#arrived -= at;
    return null;
  }

  #fulfill(response: Buffer): void {
    this.#target.requestQueue.fulfillRequest({
      size: response.length,
      correlationId: response.readInt32BE(0),
      payload: response.subarray(CORRELATION_ID_BYTES),
    });
  }
}
