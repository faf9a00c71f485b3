/** Why a local stand-in could not be started. */
export type LocalServiceErrorCode =
  | 'java_missing'
  | 'java_too_old'
  | 'maven_missing'
  | 'download_failed'
  | 'port_in_use'
  | 'data_in_use'
  | 'start_failed';

/**
 * A local service (broker, registry) can't be started or has died.
 *
 * The message is for the person at the keyboard: what is wrong and the ways out of it, on one line.
 */
export class LocalServiceError extends Error {
  override readonly name = 'LocalServiceError';
  readonly code: LocalServiceErrorCode;

  constructor(code: LocalServiceErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }
}

/** The way out that needs neither Java nor Maven; ends the messages of all errors that it helps against. */
export const DOCKER_WAY_OUT =
  'or start one with `docker compose -f docker-compose.kafka.yml up --wait` and set KAFKA_BROKERS=127.0.0.1:9092';
