import { SinkError, type FailureKind, type SinkErrorCode } from '../sink.ts';

/** What was being done when the error came: only records under way may have been stored all the same. */
export type Phase = 'opening' | 'sending';

interface Verdict {
  readonly kind: FailureKind;
  readonly code: SinkErrorCode;
  /** The brokers may have stored some of the records before it failed. */
  readonly isAmbiguous?: boolean;
  /** May depend on the topic's name. */
  readonly remedy?: string | ((topic: string) => string);
}

const UNAVAILABLE: Verdict = { kind: 'retriable', code: 'unavailable', isAmbiguous: true };
const THROTTLED: Verdict = { kind: 'retriable', code: 'throttled', isAmbiguous: true };
const TIMED_OUT: Verdict = { kind: 'retriable', code: 'timeout', isAmbiguous: true };
const UNREACHABLE: Verdict = {
  kind: 'retriable',
  code: 'unreachable',
  isAmbiguous: true,
  remedy: "check the brokers' names and ports, and the network between",
};
const UNAUTHENTICATED: Verdict = {
  kind: 'fatal',
  code: 'unauthenticated',
  remedy: 'the brokers refuse the user name, the password or the SASL mechanism: upload the right ones',
};
const NO_RIGHT: Verdict = {
  kind: 'fatal',
  code: 'permission_denied',
  remedy: (topic) =>
    `grant WRITE and DESCRIBE on the topic: kafka-acls.sh --add --allow-principal User:<user> --producer --topic ${topic}`,
};
const NOT_FOUND: Verdict = {
  kind: 'fatal',
  code: 'not_found',
  remedy: (topic) =>
    `create the topic, as this program never does: kafka-topics.sh --create --topic ${topic} --partitions <n>`,
};
const PRECONDITION: Verdict = {
  kind: 'fatal',
  code: 'precondition_failed',
  remedy: "check the cluster's version, and the settings and policies of the topic and the brokers",
};
const TOO_LARGE: Verdict = {
  kind: 'rejected',
  code: 'too_large',
  isAmbiguous: true,
  remedy: "raise the topic's max.message.bytes",
};
const INVALID: Verdict = { kind: 'rejected', code: 'invalid_record', isAmbiguous: true };
const UNKNOWN: Verdict = { kind: 'retriable', code: 'unknown', isAmbiguous: true };

/** By the broker's answer (`type`), the system's `code`, or the `name` of the client's error. */
const VERDICTS: ReadonlyMap<string, Verdict> = new Map<string, Verdict>([
  ['TOPIC_AUTHORIZATION_FAILED', NO_RIGHT],
  ['CLUSTER_AUTHORIZATION_FAILED', NO_RIGHT],
  ['SASL_AUTHENTICATION_FAILED', UNAUTHENTICATED],
  ['ILLEGAL_SASL_STATE', UNAUTHENTICATED],
  ['UNSUPPORTED_SASL_MECHANISM', UNAUTHENTICATED],
  ['SECURITY_DISABLED', UNAUTHENTICATED],
  ['KafkaJSSASLAuthenticationError', UNAUTHENTICATED],
  ['UNKNOWN_TOPIC_OR_PARTITION', NOT_FOUND],
  ['INVALID_TOPIC_EXCEPTION', NOT_FOUND],
  ['MESSAGE_TOO_LARGE', TOO_LARGE],
  ['RECORD_LIST_TOO_LARGE', TOO_LARGE],
  // The port's own word for the same, from a client that looks before it sends.
  ['RecordTooLargeError', TOO_LARGE],
  ['INVALID_RECORD', INVALID],
  ['INVALID_TIMESTAMP', INVALID],
  ['INVALID_REQUIRED_ACKS', PRECONDITION],
  ['INVALID_REQUEST', PRECONDITION],
  ['UNSUPPORTED_FOR_MESSAGE_FORMAT', PRECONDITION],
  ['UNSUPPORTED_VERSION', PRECONDITION],
  ['UNSUPPORTED_COMPRESSION_TYPE', PRECONDITION],
  ['POLICY_VIOLATION', PRECONDITION],
  ['KafkaJSServerDoesNotSupportApiKey', PRECONDITION],
  ['THROTTLING_QUOTA_EXCEEDED', THROTTLED],
  ['REQUEST_TIMED_OUT', TIMED_OUT],
  ['KafkaJSRequestTimeoutError', TIMED_OUT],
  ['KafkaJSTimeout', TIMED_OUT],
  ['KafkaJSLockTimeout', TIMED_OUT],
  ['TimeoutError', TIMED_OUT],
  ['AbortError', TIMED_OUT],
  ['LEADER_NOT_AVAILABLE', UNAVAILABLE],
  ['NOT_LEADER_FOR_PARTITION', UNAVAILABLE],
  ['FENCED_LEADER_EPOCH', UNAVAILABLE],
  ['UNKNOWN_LEADER_EPOCH', UNAVAILABLE],
  ['BROKER_NOT_AVAILABLE', UNAVAILABLE],
  ['REPLICA_NOT_AVAILABLE', UNAVAILABLE],
  ['NOT_ENOUGH_REPLICAS', UNAVAILABLE],
  ['NOT_ENOUGH_REPLICAS_AFTER_APPEND', UNAVAILABLE],
  ['KAFKA_STORAGE_ERROR', UNAVAILABLE],
  ['CORRUPT_MESSAGE', UNAVAILABLE],
  ['NETWORK_EXCEPTION', UNREACHABLE],
  ['KafkaJSTopicMetadataNotLoaded', UNAVAILABLE],
  ['KafkaJSMetadataNotLoaded', UNAVAILABLE],
  ['KafkaJSBrokerNotFound', UNREACHABLE],
  ['KafkaJSNoBrokerAvailableError', UNREACHABLE],
  ['KafkaJSConnectionError', UNREACHABLE],
  ['KafkaJSConnectionClosedError', UNREACHABLE],
  ['ENOTFOUND', UNREACHABLE],
  ['EAI_AGAIN', UNREACHABLE],
  ['ECONNREFUSED', UNREACHABLE],
  ['ECONNRESET', UNREACHABLE],
  ['EPIPE', UNREACHABLE],
  ['ETIMEDOUT', UNREACHABLE],
  ['EHOSTUNREACH', UNREACHABLE],
  ['ENETUNREACH', UNREACHABLE],
]);

/** The shapes that errors of a Kafka client and of Node have in common; all fields are optional in practice. */
interface ErrorShape {
  readonly name?: unknown;
  readonly type?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
  readonly cause?: unknown;
  readonly originalError?: unknown;
  readonly errors?: unknown;
}

const MAX_CAUSES = 5;

/**
 * Says what an error of the Kafka client means for the records. Pure.
 * Wrappers (`KafkaJSNumberOfRetriesExceeded` and the like) mean what their cause means.
 */
export function classifyError(error: unknown, phase: Phase, topic: string): SinkError {
  const { verdict, reason } = judge(error);
  const doing = phase === 'opening' ? 'opening topic' : 'publishing to topic';
  const isAmbiguous = phase === 'sending' && verdict.isAmbiguous === true;
  const { remedy } = verdict;
  return new SinkError(verdict.kind, verdict.code, `${doing} ${topic}: ${reason}`, {
    cause: error,
    isAmbiguous,
    ...(remedy === undefined ? {} : { remedy: typeof remedy === 'string' ? remedy : remedy(topic) }),
  });
}

function judge(error: unknown): { readonly verdict: Verdict; readonly reason: string } {
  let next = error;
  for (let depth = 0; depth < MAX_CAUSES && typeof next === 'object' && next !== null; depth++) {
    const shape: ErrorShape = next;
    const verdict = [shape.type, shape.code, shape.name]
      .filter((key) => typeof key === 'string')
      .map((key) => VERDICTS.get(key))
      .find((known) => known !== undefined);
    if (verdict !== undefined) return { verdict, reason: reasonOf(shape) };
    const bundled: unknown = Array.isArray(shape.errors) ? shape.errors.at(-1) : undefined;
    next = bundled ?? shape.originalError ?? shape.cause;
  }
  return { verdict: UNKNOWN, reason: reasonOf(error) };
}

function reasonOf(error: unknown): string {
  if (typeof error === 'string') return error;
  const { message }: ErrorShape = typeof error === 'object' && error !== null ? error : {};
  return typeof message === 'string' && message !== '' ? message : 'unknown error';
}
