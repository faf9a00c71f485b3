/**
 * The port behind which every destination stands, and the whole contract that an adapter keeps.
 *
 * An adapter is four things in a folder of its own: its config type and validation, its message builder (pure),
 * its error classifier (pure, table-tested), its sink (I/O). It knows nothing of retries, batching policy, metrics
 * or logs: the lane owns those. Every adapter passes the suite in `test/contract/sink-contract.ts`.
 */
import type { DeliveryCosts, RequestLimits } from '../schemas/delivery-costs.ts';
import type { DocumentTypeIndex } from '../schemas/document-type.ts';
import type { OperationVersion } from '../schemas/operation-encoder.ts';
import { redactWords } from '../schemas/redacted-text.ts';

/**
 * Consecutive records of one segment. All indexes `i` run from 0 to `count - 1`.
 * The bytes belong to the segment and may be read only until `send` has settled.
 */
export interface OperationBatch {
  readonly version: OperationVersion;
  readonly count: number;
  /** Sum of the encoded operations' lengths. */
  readonly byteLength: number;
  /** Holds the encoded operation `i` at `[start(i), end(i))`. */
  readonly data: Buffer;
  start(i: number): number;
  end(i: number): number;
  docType(i: number): DocumentTypeIndex;
  /** `murmur2(ctx_id) & 0x7fffffff`; the ordering lane is this modulo the replication's `ordering_lanes`. */
  laneHash(i: number): number;
  /** The ordering lane that all records of the batch share, when the replication asks for ordering, else null. */
  readonly orderingLane: number | null;
  /** `<partition count, 5 digits>-<partition>-<offset, 20 digits>` of the record's mutation. */
  messageId(i: number): string;
}

/** The closed list of reasons that status records, metrics (`code`) and API answers give. */
export const SINK_ERROR_CODES = [
  'unauthenticated',
  'permission_denied',
  'not_found',
  'precondition_failed',
  'schema_mismatch',
  'rejects_everything',
  'credentials_missing',
  'credentials_invalid',
  'credential_decrypt_failed',
  'quota_exceeded',
  'throttled',
  'unavailable',
  'timeout',
  'unreachable',
  'too_large',
  'invalid_record',
  'unknown',
] as const;

export type SinkErrorCode = (typeof SINK_ERROR_CODES)[number];

/**
 * What a failure means for the caller.
 * - `retriable`: the same records may succeed later (unknown errors are retriable too, under the lane's budget).
 * - `rejected`: at least one of the records can never be accepted.
 * - `fatal`: the destination itself refuses: credentials, rights, topic or hub.
 */
export type FailureKind = 'retriable' | 'rejected' | 'fatal';

/**
 * A failure of a destination. Its message goes into logs, status records, dead letters and answers, and often repeats the
 * destination's own words: secrets, ids of user points and e-mail addresses are taken out of it here, for all of them.
 */
export class SinkError extends Error {
  override readonly name = 'SinkError';
  readonly kind: FailureKind;
  readonly code: SinkErrorCode;
  /** True when the destination may have stored the records all the same (deadline, connection lost). */
  readonly isAmbiguous: boolean;
  /** What an operator can do about it, without secrets; null when nothing is known to help. */
  readonly remedy: string | null;

  constructor(
    kind: FailureKind,
    code: SinkErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly isAmbiguous?: boolean; readonly remedy?: string } = {},
  ) {
    super(redactWords(message), { cause: options.cause });
    this.kind = kind;
    this.code = code;
    this.isAmbiguous = options.isAmbiguous ?? false;
    this.remedy = options.remedy ?? null;
  }
}

/**
 * The first `delivered` records of the batch are stored at the destination; `failure` says what happened to the rest.
 * Without failure the rest (a batch too large for one request of this destination) wasn't tried, and `delivered` is
 * at least 1. With a `rejected` failure the offender is one of the records from `delivered` on; when the sink knows
 * that it is the very next one, `isNext` is true.
 */
export interface SendOutcome {
  readonly delivered: number;
  readonly failure: SinkError | null;
  readonly isNext?: boolean;
}

/** What one request to this destination may hold. The lane cuts its batches by these. */
export type SinkLimits = RequestLimits;

/** One replication's open destination on one instance; used by all its lanes, each with one `send` at a time. */
export interface Sink {
  readonly limits: SinkLimits;
  /**
   * Tries reachability, rights and schema without publishing anything.
   * Resolves with warnings in words; rejects with a `SinkError`.
   */
  check(signal: AbortSignal): Promise<readonly string[]>;
  /**
   * Stores the batch, in order. Never rejects because of a delivery, retries nothing, and has ended its work when
   * `signal` aborts (the answer is then an ambiguous `timeout`). After a failure the next `send` works.
   */
  send(batch: OperationBatch, signal: AbortSignal): Promise<SendOutcome>;
  /** Idempotent. Afterwards nothing is in flight and every connection is closed. */
  close(): Promise<void>;
}

/** Why a config record is refused: a code of the API's list, the field, and words that help. */
export interface FieldProblem {
  readonly code: string;
  readonly field: string;
  /** What is wrong and what helps, complete by itself. Repeats no value. */
  readonly message: string;
  /** Further words: an example, or where to go on. */
  readonly hint?: string;
}

/** The options of a replication that shape its messages. */
export interface MessageOptions {
  readonly version: OperationVersion;
  readonly userPointParent: boolean;
  readonly messageId: boolean;
  /** True when batches come per ordering lane and messages carry the lane as their key. */
  readonly ordering: boolean;
  readonly orderingLanes: number;
}

export interface OpenOptions<Config> {
  readonly config: Config;
  readonly options: MessageOptions;
  /** The text of the resolved credentials; null when the replication has none. */
  readonly credentials: string | null;
}

/** One kind of destination. Registered under its `type`; made by the composition root with its slice of the settings. */
export interface SinkAdapter<Config = unknown> {
  /** `[A-Z][A-Z0-9_]{2,39}`, as in the config record's `type`. */
  readonly type: string;
  /** The operation versions that this kind takes; the first is the default. */
  readonly versions: readonly [OperationVersion, ...OperationVersion[]];
  /** Names of the record's fields that belong to this kind; they are immutable. */
  readonly fields: readonly string[];
  /** Which optional fields of the record apply, with their defaults where the kind decides. */
  readonly options: {
    readonly messageId: boolean;
    /** The default of `ordering`; null when the kind has no ordering option. */
    readonly ordering: boolean | null;
    /** True when `ordering_lanes` applies. */
    readonly orderingLanes: boolean;
  };
  /** Whether `credentials_uri` must be there before activation. */
  readonly credentials: 'required' | 'optional' | 'none';
  /**
   * What no two replications of this kind may share, such as the file that both would write: the text that `value`
   * makes of a config, as the record's `field` gives it.
   */
  readonly exclusive?: { readonly field: string; value(config: Config): string };
  /**
   * Pure: validates the kind's own fields of a record, where null stands for absent. Returns the typed config, or the
   * first problem, as `missing_field` or `invalid_<field>`.
   */
  parseConfig(
    record: Readonly<Record<string, unknown>>,
  ): { readonly config: Config } | { readonly problem: FieldProblem };
  /** Pure: validates uploaded or resolved credentials. Null when they are good. */
  checkCredentials(text: string, config: Config): FieldProblem | null;
  /**
   * Pure: what requests to such a destination hold, and what its provider bills, as far as that is known without asking
   * it. For estimates only; without it they say nothing of requests and amounts.
   */
  costs?(options: MessageOptions): DeliveryCosts;
  /** Opens the destination; opens no connection that isn't needed yet. Rejects with a `SinkError`. */
  open(options: OpenOptions<Config>): Promise<Sink>;
}
