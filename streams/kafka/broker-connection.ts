import type { Socket } from 'node:net';

/** What a broker takes, by API key; kafkajs' own broker object holds it once it is connected. */
export type BrokerVersions = Readonly<
  Record<string, { readonly minVersion: number; readonly maxVersion: number } | undefined>
>;

/** kafkajs' connection to one broker, as far as requests of our own go over it. */
export interface BrokerConnection {
  readonly clientId: string;
  readonly socket: Socket;
  readonly requestQueue: RequestQueue;
  isConnected(): boolean;
  /** Logs in where that is asked for and not done, or not long enough ago. */
  authenticate(): Promise<void>;
  nextCorrelationId(): number;
}

/** Matches answers with requests, and times requests out. */
interface RequestQueue {
  /** False while the broker throttles this client. */
  canSendSocketRequestImmediately(): boolean;
  maybeThrottle(ms: number): void;
  push(request: {
    readonly entry: {
      readonly apiKey: number;
      readonly apiName: string;
      readonly apiVersion: number;
      readonly correlationId: number;
      readonly resolve: (answer: { readonly payload: Buffer }) => void;
      readonly reject: (error: Error) => void;
    };
    readonly expectResponse: true;
    readonly requestTimeout: null;
    readonly sendRequest: () => void;
  }): void;
}

/** kafkajs' broker object, as far as it leads to its connection. */
export interface ConnectableBroker {
  /** By API key; null before it was connected. */
  readonly versions: BrokerVersions | null;
  readonly connectionPool: { getConnection(): Promise<BrokerConnection> };
}
