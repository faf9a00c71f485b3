import { SinkError, type FailureKind, type SinkErrorCode } from '../sink.ts';
import {
  ENABLE_API,
  MEND_SETTINGS,
  NEW_KEY,
  OPEN_NETWORK,
  RAISE_QUOTA,
  SET_CLOCK,
  createTopic,
  grantPublisher,
} from './remedies.ts';

/** The gRPC status codes, by number. */
export const GRPC_STATUS = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

interface Verdict {
  readonly kind: FailureKind;
  readonly code: SinkErrorCode;
  /** Whether the destination may have stored the records. */
  readonly isAmbiguous: boolean;
  /** May depend on the topic's name. */
  readonly remedy?: string | ((topicName: string) => string);
  /** Says what the service's own words mean, before them. */
  readonly meaning?: string;
}

const UNKNOWN: Verdict = { kind: 'retriable', code: 'unknown', isAmbiguous: true };

/** https://docs.cloud.google.com/pubsub/docs/reference/error-codes */
const VERDICTS: ReadonlyMap<number, Verdict> = new Map<number, Verdict>([
  [GRPC_STATUS.CANCELLED, { kind: 'retriable', code: 'timeout', isAmbiguous: true }],
  [GRPC_STATUS.UNKNOWN, UNKNOWN],
  [GRPC_STATUS.INVALID_ARGUMENT, { kind: 'rejected', code: 'invalid_record', isAmbiguous: false }],
  [GRPC_STATUS.DEADLINE_EXCEEDED, { kind: 'retriable', code: 'timeout', isAmbiguous: true }],
  [GRPC_STATUS.NOT_FOUND, { kind: 'fatal', code: 'not_found', isAmbiguous: false, remedy: createTopic }],
  [
    GRPC_STATUS.PERMISSION_DENIED,
    { kind: 'fatal', code: 'permission_denied', isAmbiguous: false, remedy: grantPublisher },
  ],
  [
    GRPC_STATUS.RESOURCE_EXHAUSTED,
    { kind: 'retriable', code: 'throttled', isAmbiguous: false, remedy: RAISE_QUOTA },
  ],
  [
    GRPC_STATUS.FAILED_PRECONDITION,
    { kind: 'fatal', code: 'precondition_failed', isAmbiguous: false, remedy: MEND_SETTINGS },
  ],
  [GRPC_STATUS.ABORTED, { kind: 'retriable', code: 'unavailable', isAmbiguous: true }],
  [GRPC_STATUS.INTERNAL, { kind: 'retriable', code: 'unavailable', isAmbiguous: true }],
  [GRPC_STATUS.UNAVAILABLE, { kind: 'retriable', code: 'unavailable', isAmbiguous: true }],
]);

const UNREACHABLE: Verdict = {
  kind: 'retriable',
  code: 'unreachable',
  isAmbiguous: false,
  remedy: OPEN_NETWORK,
};

const TOKEN_REFUSED: Verdict = {
  kind: 'fatal',
  code: 'unauthenticated',
  isAmbiguous: false,
  remedy: NEW_KEY,
};

/** Nothing is wrong with the destination or the key, and every replication of this instance has it: it will pass. */
const CLOCK_IS_OFF: Verdict = {
  kind: 'retriable',
  code: 'unauthenticated',
  isAmbiguous: false,
  meaning: "this machine's clock is wrong, so Google refuses its tokens",
  remedy: SET_CLOCK,
};

const API_IS_OFF: Verdict = {
  kind: 'fatal',
  code: 'permission_denied',
  isAmbiguous: false,
  remedy: ENABLE_API,
};

/** What Google says of a token from the past or the future. */
const OUT_OF_TIME = /short-lived token|reasonable timeframe|\biat\b|token used too (early|late)/i;

const API_DISABLED = /SERVICE_DISABLED|has not been used in project|API .{0,60}is (not enabled|disabled)/i;

/** How grpc-js words a call that never left because there was no connection (load-balancer-pick-first, resolver-dns). */
const NEVER_CONNECTED =
  /^(No connection established|Name resolution failed)|Channel closed before call started/;

/** How grpc-js words a failure of google-auth-library (load-balancing-call); the code is then 2, or an HTTP status. */
const TOKEN_FAILED = /Getting metadata from plugin failed/;

const NETWORK =
  /\b(ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE|socket hang up|fetch failed|timeout|status code (429|5\d\d))\b/i;

/** What google-auth-library, node:crypto and Google's token service say about a key that can't be used. */
const KEY_REFUSED =
  /invalid_(grant|client|scope)|unauthorized_client|refresh access token|universe domain|private key|DECODER|PEM|JWT/i;

const MAX_DETAILS_LENGTH = 300;

/**
 * Judges what the transport threw. Unknown failures are retriable, and taken for ambiguous.
 * `doing` begins the message, before the topic's full name: "publishing to".
 */
export function classifyPubSubError(error: unknown, doing: string, topicName: string): SinkError {
  const details = detailsOf(error);
  const { kind, code, isAmbiguous, remedy, meaning } = verdictOn(error, details);
  const options = { cause: causeOf(error, details), isAmbiguous };
  // What Google says of an invalid message may repeat parts of it, and a dead letter's detail holds no payload.
  const reason =
    kind === 'rejected' ? 'the request holds a message that is not valid for the topic' : details;
  return new SinkError(
    kind,
    code,
    `${doing} ${topicName}: ${meaning === undefined ? reason : `${meaning} (${reason})`}`,
    remedy === undefined
      ? options
      : { ...options, remedy: typeof remedy === 'string' ? remedy : remedy(topicName) },
  );
}

/** The gRPC status of what the transport threw; null when it is none. */
export function grpcStatusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'number' ? error.code : null;
}

function verdictOn(error: unknown, details: string): Verdict {
  const status = grpcStatusOf(error);
  if (TOKEN_FAILED.test(details)) return isNetwork(error, details) ? UNREACHABLE : tokenRefused(details);
  if (status === null) {
    if (isNetwork(error, details)) return UNREACHABLE;
    return KEY_REFUSED.test(details) ? tokenRefused(details) : UNKNOWN;
  }
  if (status === GRPC_STATUS.UNAUTHENTICATED) return tokenRefused(details);
  if (status === GRPC_STATUS.PERMISSION_DENIED && API_DISABLED.test(details)) return API_IS_OFF;
  if (status === GRPC_STATUS.UNAVAILABLE && NEVER_CONNECTED.test(details)) return UNREACHABLE;
  return VERDICTS.get(status) ?? UNKNOWN;
}

function tokenRefused(details: string): Verdict {
  return OUT_OF_TIME.test(details) ? CLOCK_IS_OFF : TOKEN_REFUSED;
}

function isNetwork(error: unknown, details: string): boolean {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null;
  return NETWORK.test(details) || (typeof code === 'string' && NETWORK.test(code));
}

function detailsOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return 'failed without a reason';
  const details = 'details' in error && typeof error.details === 'string' ? error.details : '';
  const message = error instanceof Error ? error.message : '';
  return (details || message || 'failed without a reason').slice(0, MAX_DETAILS_LENGTH);
}

/** Errors of HTTP clients carry the whole request, tokens included; only those of gRPC are passed on as they are. */
function causeOf(error: unknown, details: string): unknown {
  return grpcStatusOf(error) === null ? new Error(details) : error;
}
