import type { ClientFilter } from '../support/tcp-proxy.ts';

/** Numbers of Kafka's protocol: https://kafka.apache.org/protocol#protocol_api_keys */
export const API = { fetch: 1, offsetCommit: 8, findCoordinator: 10, joinGroup: 11, heartbeat: 12 } as const;

const SIZE_BYTES = 4;

/** A request as it goes over the line, without its size. */
export interface KafkaRequest {
  readonly apiKey: number;
  readonly bytes: Buffer;
}

/** Swallows requests of Kafka's clients while a test wants it: nobody answers them, and the connection stays. */
export class SwallowedRequests {
  #isSwallowed: (request: KafkaRequest) => boolean = () => false;
  /** How many were swallowed so far. */
  count = 0;

  /** For a proxy, one for each connection. */
  readonly filter = (): ClientFilter => {
    let received = Buffer.alloc(0);
    return (chunk) => {
      received = Buffer.concat([received, chunk]);
      const passed: Buffer[] = [];
      while (received.length >= SIZE_BYTES && received.length >= SIZE_BYTES + received.readInt32BE(0)) {
        const end = SIZE_BYTES + received.readInt32BE(0);
        const bytes = received.subarray(SIZE_BYTES, end);
        if (this.#isSwallowed({ apiKey: bytes.readInt16BE(0), bytes })) this.count += 1;
        else passed.push(received.subarray(0, end));
        received = received.subarray(end);
      }
      return Buffer.concat(passed);
    };
  };

  /** From now on these; null ends it. */
  swallow(isSwallowed: ((request: KafkaRequest) => boolean) | null): void {
    this.#isSwallowed = isSwallowed ?? (() => false);
  }
}
