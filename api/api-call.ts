import type { ApiErrorCode } from './api-error.ts';
import type { SchemaName } from './api-schemas.ts';
import type { Query, QueryParameter } from './query-parameters.ts';
import type { Caller } from './replication-operations.ts';

/** A request whose token may call this, for this datamart. */
export interface CallRequest {
  readonly datamartId: string;
  /** The path's other id; empty when it has none. */
  readonly id: string;
  readonly query: Query;
  /** The parsed JSON, whatever it is; undefined when there was none. */
  readonly body: unknown;
  /** The uploaded file of a call that takes one. */
  readonly file: () => Promise<Buffer>;
  readonly caller: Caller;
  /** The version that the caller has seen; null when that doesn't matter. */
  readonly ifMatch: string | null;
}

export interface CallAnswer {
  readonly data: unknown;
  /** The version of what is answered. */
  readonly etag?: string;
  /** Which part of a list `data` is. */
  readonly page?: { readonly total: number; readonly firstResult: number; readonly maxResults: number };
  /** The id of what a call has made. */
  readonly createdId?: string;
}

export type CallBody =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'json';
      readonly schema: SchemaName;
      readonly isRequired: boolean;
      readonly example: object;
    }
  /** A form with one part `file`. */
  | { readonly kind: 'file' };

/** One call of the API: the route and its documentation are made from it. */
export interface ApiCall {
  /** The `operationId`. */
  readonly name: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below `/v1/datamarts/:datamartId`, with at most one more id. */
  readonly path: string;
  readonly summary: string;
  readonly parameters: readonly QueryParameter<unknown>[];
  readonly body: CallBody;
  readonly takesIfMatch: boolean;
  /** It takes seconds, and few of its kind are answered at a time (`CallSlots`): it may end in `not_ready`. */
  readonly readsLog?: true;
  /** Null: it is never answered. */
  readonly answer: {
    readonly status: 200 | 201;
    readonly schema: SchemaName;
    readonly isList: boolean;
  } | null;
  /** What it can end in, beside what every call can. */
  readonly errors: readonly ApiErrorCode[];
  /** What the audit log says of it; null for a call that changes nothing. */
  readonly change: string | null;
  /** Rejects with an `ApiError`. */
  readonly handle: (request: CallRequest) => Promise<CallAnswer>;
}

/** What a call on a datamart can always end in. */
export const COMMON_ERRORS: readonly ApiErrorCode[] = [
  'invalid_request',
  'invalid_parameter',
  'unauthorized',
  'not_found',
  'request_timeout',
  'rate_limited',
  'headers_too_large',
  'internal_error',
];

/** And one with a body. */
export const BODY_ERRORS: readonly ApiErrorCode[] = [
  'invalid_json',
  'payload_too_large',
  'unsupported_media_type',
];

/** Everything that a call can end in. */
export function errorsOf({ body, errors }: ApiCall): readonly ApiErrorCode[] {
  const ofBody = body.kind === 'none' ? [] : BODY_ERRORS;
  return [...new Set([...COMMON_ERRORS, ...ofBody, ...errors])];
}

/** Where a call is served. */
export function urlOf({ path }: ApiCall): string {
  return `/v1/datamarts/:datamartId${path}`;
}
