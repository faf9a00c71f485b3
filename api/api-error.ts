import type { ConfigProblem } from '../processors/config-problem.ts';

interface ErrorKind {
  /** The HTTP status. */
  readonly status: number;
  /** When it is answered, for the documentation. */
  readonly meaning: string;
}

/**
 * Every code that the API answers, in the order of the documentation. Codes of refused records are those of the control
 * topic: the same mistake gets the same code whichever way it comes.
 */
export const API_ERRORS = {
  invalid_json: { status: 400, meaning: 'the body, or an uploaded key file, is not a JSON object in UTF-8' },
  invalid_request: { status: 400, meaning: 'the request is no HTTP that can be understood' },
  invalid_parameter: {
    status: 400,
    meaning: 'a parameter of the query, or of the body of a request, is wrong',
  },
  missing_field: { status: 400, meaning: 'a field that is needed is absent or null' },
  unknown_field: { status: 400, meaning: 'a field that no replication has' },
  field_not_applicable: {
    status: 400,
    meaning: 'a field, or credentials, that this type or version doesn’t take',
  },
  config_key_mismatch: { status: 400, meaning: 'the id in the body is not the one in the path' },
  datamart_mismatch: { status: 400, meaning: 'datamart_id in the body is not the one in the path' },
  initial_status_must_be_paused: { status: 400, meaning: 'a replication is created PAUSED' },
  unsupported_type: { status: 400, meaning: 'type is none that this program serves' },
  version_not_supported_for_type: { status: 400, meaning: 'the type doesn’t take this version' },
  version_not_allowed: { status: 400, meaning: 'new Pub/Sub replications are version 2' },
  invalid_id: { status: 400, meaning: 'id is not of [A-Za-z0-9_.-]{1,64}' },
  invalid_datamart_id: { status: 400, meaning: 'datamart_id is no positive integer of at most 19 digits' },
  invalid_name: { status: 400, meaning: 'name is no text of 1 to 255 characters' },
  invalid_version: { status: 400, meaning: 'version is not the number 1 or 2' },
  invalid_status: { status: 400, meaning: 'status is neither ACTIVE nor PAUSED' },
  invalid_project_id: { status: 400, meaning: 'project_id is not of [a-z0-9.:-]{1,100}' },
  invalid_topic_id: { status: 400, meaning: 'topic_id is no short id of a Pub/Sub topic' },
  invalid_endpoint: { status: 400, meaning: 'endpoint is no regional host of Pub/Sub' },
  invalid_event_hub_name: { status: 400, meaning: 'event_hub_name is no name of an event hub' },
  invalid_topic: { status: 400, meaning: 'topic is no Kafka topic that may be written' },
  invalid_brokers: { status: 400, meaning: 'brokers are none that the operator allows' },
  invalid_path: { status: 400, meaning: 'path is no relative path of a file that may be written' },
  invalid_credentials_uri: { status: 400, meaning: 'credentials_uri is neither file: nor the own sealed:' },
  invalid_resume: { status: 400, meaning: 'resume is neither null, WHERE_STOPPED nor NOW' },
  invalid_metadata: { status: 400, meaning: 'metadata is neither [] nor ["message_id"]' },
  invalid_user_point_parent: { status: 400, meaning: 'user_point_parent is neither true nor false' },
  invalid_ordering: { status: 400, meaning: 'ordering is neither true nor false' },
  invalid_ordering_lanes: { status: 400, meaning: 'ordering_lanes is no integer from 1 to 256' },
  invalid_created: { status: 400, meaning: 'created is no time in ms' },
  invalid_replication_filters: {
    status: 400,
    meaning: 'replication_filters is no list of {document, filter}',
  },
  empty_filters: { status: 400, meaning: 'replication_filters is []; leave it out to replicate everything' },
  unknown_document: { status: 400, meaning: 'a filter names a document that is none of the nine' },
  filter_not_supported: { status: 400, meaning: 'filter within replication_filters must be null' },
  invalid_field: {
    status: 400,
    meaning: 'a field of another sink’s type is wrong; details.code is what that type says',
  },
  missing_file: { status: 400, meaning: 'the form has no part named file, or it is empty' },
  too_many_files: { status: 400, meaning: 'the form has more than the one part named file' },
  invalid_characters: { status: 400, meaning: 'credentials hold bytes that don’t belong there' },
  invalid_credentials: { status: 400, meaning: 'credentials of a KAFKA_TOPIC replication are wrong' },
  credential_kind_mismatch: { status: 400, meaning: 'credentials of another type of destination' },
  credential_type_not_allowed: { status: 400, meaning: 'a Google key file that is no service_account' },
  invalid_private_key: { status: 400, meaning: 'private_key is absent, or no RSA key in PEM' },
  untrusted_universe: { status: 400, meaning: 'universe_domain is not googleapis.com' },
  incomplete_connection_string: {
    status: 400,
    meaning: 'a part of the connection string is absent or not known',
  },
  untrusted_endpoint: { status: 400, meaning: 'Endpoint is no host of Azure Event Hubs' },
  emulator_not_allowed: { status: 400, meaning: 'UseDevelopmentEmulator in production' },
  entity_path_mismatch: { status: 400, meaning: 'EntityPath is not event_hub_name' },
  invalid_mutation: { status: 400, meaning: 'the mutation to be explained is no JSON object' },
  invalid_replication_ids: { status: 400, meaning: 'replication_ids are empty, repeated or too many' },
  unauthorized: { status: 401, meaning: 'no token that is known; expected is Authorization: api:TOKEN' },
  forbidden: { status: 403, meaning: 'the token’s role may not do this' },
  not_found: { status: 404, meaning: 'nothing is there, or nothing that the token may see' },
  method_not_allowed: { status: 405, meaning: 'the path has other methods, see the header Allow' },
  request_timeout: { status: 408, meaning: 'the request didn’t arrive within 10 s' },
  filters_immutable: {
    status: 409,
    meaning: 'replication_filters can’t be changed; create a new replication',
  },
  immutable_field: { status: 409, meaning: 'a field that can’t be changed; create a new replication' },
  credentials_missing: { status: 409, meaning: 'activating a replication that has no credentials' },
  too_many_replications: { status: 409, meaning: 'the datamart has as many as it may have' },
  sync_in_progress: { status: 409, meaning: 'status can’t change while an initial synchronization runs' },
  sync_already_running: { status: 409, meaning: 'one of the datamart is pending or running' },
  replication_not_active: { status: 409, meaning: 'an initial synchronization needs ACTIVE replications' },
  no_active_replication: { status: 409, meaning: 'the datamart has none that is ACTIVE' },
  execution_ended: { status: 409, meaning: 'what has ended can’t be cancelled' },
  snapshot_stale: { status: 409, meaning: 'the snapshot isn’t whole at the moment' },
  precondition_failed: { status: 412, meaning: 'If-Match: another write came between' },
  payload_too_large: { status: 413, meaning: 'the body is longer than 64 KiB' },
  credentials_too_large: { status: 413, meaning: 'the uploaded file is longer than 16 KiB' },
  unsupported_media_type: {
    status: 415,
    meaning: 'the body’s Content-Type is not the one that the call takes',
  },
  activation_failed: {
    status: 422,
    meaning: 'the destination refuses; details.code, message, remedy say why',
  },
  rate_limited: {
    status: 429,
    meaning: 'too many requests of this token, or too many that read the log, see the header Retry-After',
  },
  sync_too_soon: { status: 429, meaning: 'the last one was less than a week ago, see details.next_date' },
  headers_too_large: { status: 431, meaning: 'address and headers are longer than 16 KiB' },
  internal_error: { status: 500, meaning: 'a defect of this program; the log knows error_id' },
  not_ready: {
    status: 503,
    meaning: 'the tables or dead letters can’t be read, or others are read for or redriven; try again',
  },
  credentials_key_missing: { status: 503, meaning: 'CREDENTIALS_KEY isn’t set on this instance' },
  write_not_confirmed: { status: 504, meaning: 'the write wasn’t seen within 10 s; it may still happen' },
} as const satisfies Readonly<Record<string, ErrorKind>>;

export type ApiErrorCode = keyof typeof API_ERRORS;

export const API_ERROR_CODES: readonly ApiErrorCode[] = Object.keys(API_ERRORS).filter(isApiErrorCode);

/** What goes with a refusal; what is left out is none. */
export interface ApiErrorContext {
  readonly field?: string | null;
  /** What the caller can do about it. */
  readonly hint?: string | null;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly retryAfterSeconds?: number;
  /** For the log; never answered. */
  readonly cause?: unknown;
}

/** What every refused call ends in, whoever calls: HTTP answers it as an envelope, commands print it. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ApiErrorCode;
  readonly status: number;
  readonly field: string | null;
  readonly hint: string | null;
  readonly details: Readonly<Record<string, unknown>>;
  readonly retryAfterSeconds: number | null;

  /** `message` is for people, without secrets. */
  constructor(code: ApiErrorCode, message: string, context: ApiErrorContext = {}) {
    super(message, { cause: context.cause });
    this.code = code;
    this.status = API_ERRORS[code].status;
    this.field = context.field ?? null;
    this.hint = context.hint ?? null;
    this.details = context.details ?? {};
    this.retryAfterSeconds = context.retryAfterSeconds ?? null;
  }
}

/** There is nothing, or nothing that the caller may know of: both look the same. */
export function notFound(): ApiError {
  return new ApiError('not_found', 'Resource Not Found');
}

/** A refused record, or refused credentials, as the rules and the adapters tell it. */
export function refusedBy(problem: ConfigProblem): ApiError {
  const { code, field, message, hint = null } = problem;
  if (isApiErrorCode(code)) return new ApiError(code, message, { field, hint });
  // An adapter that isn't this program's has codes of its own.
  return new ApiError('invalid_field', message, { field, hint, details: { code } });
}

function isApiErrorCode(code: string): code is ApiErrorCode {
  return Object.hasOwn(API_ERRORS, code);
}
