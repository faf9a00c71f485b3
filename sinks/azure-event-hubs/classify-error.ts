import { SinkError, type FailureKind, type SinkErrorCode } from '../sink.ts';
import {
  ADD_THROUGHPUT,
  CHECK_HUB,
  OPEN_FIREWALL,
  OPEN_NETWORK,
  RAISE_QUOTA,
  SET_CLOCK,
  createHub,
  enableHub,
  giveKey,
  grantSend,
} from './remedies.ts';

/** What was being done when the error came: only a batch under way may have been stored all the same. */
export type Phase = 'opening' | 'sending';

interface Verdict {
  readonly kind: FailureKind;
  readonly code: SinkErrorCode;
  /** The destination may have stored the batch before it failed. */
  readonly isAmbiguous?: boolean;
  /** May depend on the hub's name. */
  readonly remedy?: string | ((eventHubName: string) => string);
  /** Says what the service's own words mean, before them. */
  readonly meaning?: string;
}

const UNAVAILABLE: Verdict = { kind: 'retriable', code: 'unavailable', isAmbiguous: true };
const NOT_TAKEN: Verdict = { kind: 'retriable', code: 'unavailable' };
const THROTTLED: Verdict = {
  kind: 'retriable',
  code: 'throttled',
  remedy: ADD_THROUGHPUT,
};
const UNREACHABLE: Verdict = {
  kind: 'retriable',
  code: 'unreachable',
  isAmbiguous: true,
  remedy: OPEN_NETWORK,
};
const TIMED_OUT: Verdict = { kind: 'retriable', code: 'timeout', isAmbiguous: true };
const UNAUTHENTICATED: Verdict = {
  kind: 'fatal',
  code: 'unauthenticated',
  remedy: giveKey,
};
const NO_RIGHT: Verdict = { kind: 'fatal', code: 'permission_denied', remedy: grantSend };
const BEHIND_FIREWALL: Verdict = { kind: 'fatal', code: 'permission_denied', remedy: OPEN_FIREWALL };
/** Nothing is wrong with the destination or the key, and every replication of this instance has it: it will pass. */
const CLOCK_IS_OFF: Verdict = {
  kind: 'retriable',
  code: 'unauthenticated',
  meaning: "this machine's clock is wrong, so Azure refuses its tokens",
  remedy: SET_CLOCK,
};
const NOT_FOUND: Verdict = {
  kind: 'fatal',
  code: 'not_found',
  remedy: createHub,
};
const DISABLED: Verdict = {
  kind: 'fatal',
  code: 'precondition_failed',
  remedy: enableHub,
};
const NOT_ALLOWED: Verdict = { kind: 'fatal', code: 'precondition_failed', remedy: CHECK_HUB };
const QUOTA: Verdict = { kind: 'fatal', code: 'quota_exceeded', remedy: RAISE_QUOTA };
const TOO_LARGE: Verdict = { kind: 'rejected', code: 'too_large' };
const INVALID: Verdict = { kind: 'rejected', code: 'invalid_record' };
const UNKNOWN: Verdict = { kind: 'retriable', code: 'unknown', isAmbiguous: true };

/** By the SDK's `code`, by the raw AMQP condition of a detached link or closed connection, or by the error's `name`. */
const VERDICTS: ReadonlyMap<string, Verdict> = new Map<string, Verdict>([
  ['ServerBusyError', THROTTLED],
  ['com.microsoft:server-busy', THROTTLED],
  ['TransferLimitExceededError', THROTTLED],
  ['amqp:link:transfer-limit-exceeded', THROTTLED],
  ['SenderBusyError', NOT_TAKEN],
  ['SenderNotReadyError', NOT_TAKEN],
  ['InsufficientCreditError', NOT_TAKEN],
  ['ServiceUnavailableError', UNAVAILABLE],
  ['com.microsoft:timeout', UNAVAILABLE],
  ['InternalServerError', UNAVAILABLE],
  ['amqp:internal-error', UNAVAILABLE],
  ['DetachForcedError', UNAVAILABLE],
  ['amqp:link:detach-forced', UNAVAILABLE],
  ['ConnectionForcedError', UNAVAILABLE],
  ['amqp:connection:forced', UNAVAILABLE],
  ['ConnectionLostError', UNAVAILABLE],
  ['OperationCancelledError', UNAVAILABLE],
  ['com.microsoft:operation-cancelled', UNAVAILABLE],
  ['SendOperationFailedError', UNAVAILABLE],
  ['OperationTimeoutError', TIMED_OUT],
  ['TimeoutError', TIMED_OUT],
  ['AbortError', TIMED_OUT],
  ['UnauthorizedError', UNAUTHENTICATED],
  ['amqp:unauthorized-access', UNAUTHENTICATED],
  ['com.microsoft:auth-failed', UNAUTHENTICATED],
  ['PublisherRevokedError', NO_RIGHT],
  ['com.microsoft:publisher-revoked', NO_RIGHT],
  ['MessagingEntityNotFoundError', NOT_FOUND],
  ['ServiceCommunicationError', NOT_FOUND],
  ['amqp:not-found', NOT_FOUND],
  ['ResourceDeletedError', NOT_FOUND],
  ['amqp:resource-deleted', NOT_FOUND],
  ['MessagingEntityDisabledError', DISABLED],
  ['com.microsoft:entity-disabled', DISABLED],
  ['InvalidOperationError', NOT_ALLOWED],
  ['amqp:not-allowed', NOT_ALLOWED],
  ['NotImplementedError', NOT_ALLOWED],
  ['amqp:not-implemented', NOT_ALLOWED],
  ['PreconditionFailedError', NOT_ALLOWED],
  ['amqp:precondition-failed', NOT_ALLOWED],
  ['QuotaExceededError', QUOTA],
  ['amqp:resource-limit-exceeded', QUOTA],
  ['MessageTooLargeError', TOO_LARGE],
  ['amqp:link:message-size-exceeded', TOO_LARGE],
  ['ArgumentError', INVALID],
  ['com.microsoft:argument-error', INVALID],
  ['ArgumentOutOfRangeError', INVALID],
  ['com.microsoft:argument-out-of-range', INVALID],
  ['DecodeError', INVALID],
  ['amqp:decode-error', INVALID],
  ['InvalidFieldError', INVALID],
  ['amqp:invalid-field', INVALID],
  // Until a wrong name has lasted minutes, DNS trouble looks the same: the lane's budget decides.
  ['ENOTFOUND', UNREACHABLE],
  ['EAI_AGAIN', UNREACHABLE],
  ['ECONNREFUSED', UNREACHABLE],
  ['ECONNRESET', UNREACHABLE],
  ['EPIPE', UNREACHABLE],
  ['ETIMEDOUT', UNREACHABLE],
  ['EHOSTUNREACH', UNREACHABLE],
  ['ENETUNREACH', UNREACHABLE],
  ['ENETDOWN', UNREACHABLE],
  ['EADDRNOTAVAIL', UNREACHABLE],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', UNREACHABLE],
  ['SELF_SIGNED_CERT_IN_CHAIN', UNREACHABLE],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', UNREACHABLE],
  ['CERT_HAS_EXPIRED', UNREACHABLE],
  ['ERR_TLS_CERT_ALTNAME_INVALID', UNREACHABLE],
]);

/** The shapes that errors of the SDK, of rhea and of Node have in common; all fields are optional in practice. */
interface ErrorShape {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly condition?: unknown;
  readonly message?: unknown;
  readonly description?: unknown;
  readonly errors?: unknown;
}

/** Says what an error of the SDK, of its AMQP link or of the network means for the batch. Pure; knows no secrets. */
export function classifyError(error: unknown, phase: Phase, eventHubName: string): SinkError {
  const shape = innermost(error);
  const verdict = verdictOf(shape, phase);
  const doing = phase === 'opening' ? 'opening event hub' : 'publishing to event hub';
  const { remedy, meaning } = verdict;
  const reason = meaning === undefined ? reasonOf(shape) : `${meaning} (${reasonOf(shape)})`;
  const message = `${doing} ${eventHubName}: ${reason}`;
  const isAmbiguous = phase === 'sending' && verdict.isAmbiguous === true;
  return new SinkError(verdict.kind, verdict.code, message, {
    cause: error,
    isAmbiguous,
    ...(remedy === undefined ? {} : { remedy: typeof remedy === 'string' ? remedy : remedy(eventHubName) }),
  });
}

function verdictOf(shape: ErrorShape, phase: Phase): Verdict {
  const verdict = [shape.code, shape.condition, shape.name]
    .filter((key) => typeof key === 'string')
    .map((key) => VERDICTS.get(key))
    .find((known) => known !== undefined);
  if (verdict === UNAUTHENTICATED) return refusalOf(reasonOf(shape));
  if (verdict === INVALID && phase === 'opening') return NOT_ALLOWED;
  return verdict ?? UNKNOWN;
}

/** The service has one condition for all of these, and tells them apart in words. */
function refusalOf(reason: string): Verdict {
  // "'Send' claim(s) are required": the key is right and has too few rights.
  if (/\bclaim/i.test(reason)) return NO_RIGHT;
  if (/prevented to connect|network rule/i.test(reason)) return BEHIND_FIREWALL;
  // Tokens are made here and now, for an hour.
  return /expired ?token|token (is|has) expired/i.test(reason) ? CLOCK_IS_OFF : UNAUTHENTICATED;
}

/** The SDK bundles errors of several tries or addresses: the last one tells most. */
function innermost(error: unknown): ErrorShape {
  if (typeof error !== 'object' || error === null) return { message: String(error) };
  const shape: ErrorShape = error;
  if (!Array.isArray(shape.errors)) return shape;
  const last: unknown = shape.errors.at(-1);
  return last === undefined ? { code: 'ECONNREFUSED', message: 'no connection' } : innermost(last);
}

function reasonOf(shape: ErrorShape): string {
  const reason = [shape.message, shape.description, shape.condition, shape.code].find(
    (text) => typeof text === 'string' && text !== '',
  );
  return typeof reason === 'string' ? reason : 'unknown error';
}
