import { createRequire } from 'node:module';

/** An error of Kafka's protocol, as kafkajs words it. */
export interface ProtocolError extends Error {
  /** Kafka's name of it, in kafkajs' spelling. */
  readonly type: string;
}

const { createErrorFromCode } = createRequire(import.meta.url)('kafkajs/src/protocol/error') as {
  createErrorFromCode: (code: number) => ProtocolError;
};

/** The error of a code other than 0. */
export function protocolErrorOf(code: number): ProtocolError {
  return createErrorFromCode(code);
}
