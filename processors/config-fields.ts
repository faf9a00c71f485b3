import type { OperationVersion } from '../schemas/operation-encoder.ts';
import { refusal, RefusedRecordError, type ConfigProblemCode } from './config-problem.ts';
import { didYouMean, type ConfigRecord } from './config-record.ts';
import type { ConfigRules, DestinationType } from './destination-type.ts';

/**
 * The parsers of a record's common fields, one each. Null stands for absent and means the default. Each throws a
 * `RefusedRecordError` that names its field.
 */

const ID_PATTERN = /^[A-Za-z0-9_.-]{1,64}$/;
const DATAMART_ID_PATTERN = /^[1-9][0-9]{0,18}$/;
const MAX_NAME_CHARACTERS = 255;
/** Controls, line separators and lone surrogates: what would break a line, or can't be written as UTF-8. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u;
const DEFAULT_ORDERING_LANES = 16;
const MAX_ORDERING_LANES = 256;
/** The last millisecond that a `Date` can hold. */
const MAX_TIME_MS = 8_640_000_000_000_000;

const STATUSES = ['ACTIVE', 'PAUSED'] as const;
const RESUMES = ['WHERE_STOPPED', 'NOW'] as const;
const METADATA = ['message_id'] as const;

export type DesiredStatus = (typeof STATUSES)[number];
export type Resume = (typeof RESUMES)[number];

export function parseId(record: ConfigRecord, key: string): string {
  const id = idText(record, 'id', 'invalid_id');
  if (id !== key) {
    throw refusal('config_key_mismatch', 'id', "id must equal the record's key; write the same into both");
  }
  if (ID_PATTERN.test(id)) return id;
  throw refusal('invalid_id', 'id', `id must match ${ID_PATTERN.source}`);
}

export function parseDatamartId(record: ConfigRecord): string {
  const datamartId = idText(record, 'datamart_id', 'invalid_datamart_id');
  if (DATAMART_ID_PATTERN.test(datamartId)) return datamartId;
  const message = 'datamart_id must be a positive integer of at most 19 digits, such as "1649"';
  throw refusal('invalid_datamart_id', 'datamart_id', message);
}

export function parseType(record: ConfigRecord, { types }: ConfigRules): DestinationType {
  const given = record.type ?? null;
  const known = [...types.keys()];
  const expected = `one of ${known.join(', ')}`;
  if (given === null) throw refusal('missing_field', 'type', `type is missing; give ${expected}`);
  const type = typeof given === 'string' ? types.get(given) : undefined;
  if (type) return type;
  throw refusal(
    'unsupported_type',
    'type',
    `type must be ${expected}${didYouMean(given, known)}`,
    'an operator turns further types on with SINKS_ENABLED and SINKS_MODULES',
  );
}

export function parseVersion(record: ConfigRecord, { type, versions }: DestinationType): OperationVersion {
  const version = record.version ?? versions[0];
  if (version !== 1 && version !== 2) {
    const isText = version === '1' || version === '2';
    const remedy = isText ? `; did you mean ${version}, without quotes?` : '';
    throw refusal('invalid_version', 'version', `version must be the number 1 or 2${remedy}`);
  }
  if (versions.includes(version)) return version;
  throw refusal(
    'version_not_supported_for_type',
    'version',
    `version of ${type} must be ${versions.join(' or ')}; leave it out for ${versions[0]}`,
  );
}

export function parseName(record: ConfigRecord, byDefault: string): string {
  const name = record.name ?? byDefault;
  const characters = typeof name === 'string' ? Array.from(name).length : 0;
  if (typeof name !== 'string' || characters < 1 || characters > MAX_NAME_CHARACTERS) {
    const message = `name must be a text of 1 to ${MAX_NAME_CHARACTERS} characters (Unicode code points)`;
    throw refusal('invalid_name', 'name', message);
  }
  if (!UNPRINTABLE.test(name)) return name;
  const message = 'name must hold no line break, no other control character and no lone surrogate';
  throw refusal('invalid_name', 'name', message);
}

/** `ERROR`, an echo of what was read, keeps the status that was last accepted. */
export function parseStatus(record: ConfigRecord, last: DesiredStatus | null): DesiredStatus {
  const status = record.status ?? 'PAUSED';
  if (status === 'ERROR') return last ?? 'PAUSED';
  const known = STATUSES.find((name) => name === status);
  if (known) return known;
  const message = `status must be ACTIVE or PAUSED${didYouMean(status, STATUSES)}`;
  throw refusal('invalid_status', 'status', message);
}

export function parseCredentialsUri(
  record: ConfigRecord,
  id: string,
  { checkCredentialsUri }: ConfigRules,
): string | null {
  const uri = record.credentials_uri ?? null;
  if (uri === null) return null;
  if (typeof uri !== 'string' || !uri.isWellFormed()) {
    const message = 'credentials_uri must be a text, file:<path> or sealed:<replication id>';
    throw refusal('invalid_credentials_uri', 'credentials_uri', message);
  }
  const problem = checkCredentialsUri(uri, id);
  if (problem) throw new RefusedRecordError(problem);
  return uri;
}

export function parseResume(record: ConfigRecord): Resume | null {
  const resume = record.resume ?? null;
  if (resume === null) return null;
  const known = RESUMES.find((name) => name === resume);
  if (known) return known;
  const message = `resume must be null, "WHERE_STOPPED" or "NOW"${didYouMean(resume, RESUMES)}`;
  throw refusal('invalid_resume', 'resume', message);
}

/** Whether messages carry `message_id`; duplicates collapse. */
export function parseMetadata(record: ConfigRecord): boolean {
  const metadata = record.metadata ?? [];
  const odd: unknown = Array.isArray(metadata) ? metadata.find((name) => name !== 'message_id') : metadata;
  if (Array.isArray(metadata) && odd === undefined) return metadata.length > 0;
  const message = `metadata must be [] or ["message_id"]${didYouMean(odd, METADATA)}`;
  throw refusal('invalid_metadata', 'metadata', message);
}

export function parseUserPointParent(record: ConfigRecord, version: OperationVersion): boolean {
  const field = 'user_point_parent';
  const userPointParent = flag(record, field, false, 'invalid_user_point_parent');
  if (!userPointParent || version === 2) return userPointParent;
  const message = `${field} applies to version 2 only; leave it out: version 1 holds UserPointParent anyway`;
  throw refusal('field_not_applicable', field, message);
}

export function parseOrdering(record: ConfigRecord, { options }: DestinationType): boolean {
  return options.ordering === null ? false : flag(record, 'ordering', options.ordering, 'invalid_ordering');
}

export function parseOrderingLanes(record: ConfigRecord): number {
  const lanes = record.ordering_lanes ?? DEFAULT_ORDERING_LANES;
  if (isInteger(lanes, 1, MAX_ORDERING_LANES)) return lanes;
  const message = `ordering_lanes must be an integer from 1 to ${MAX_ORDERING_LANES}`;
  throw refusal('invalid_ordering_lanes', 'ordering_lanes', message);
}

export function parseCreated(record: ConfigRecord): number | null {
  const created = record.created ?? null;
  if (created === null || isInteger(created, 1, MAX_TIME_MS)) return created;
  throw refusal(
    'invalid_created',
    'created',
    'created must be a time in ms since 1970, as a positive integer',
  );
}

/** An id's text. JSON integers are taken too, as far as a number can hold them. */
function idText(record: ConfigRecord, field: string, code: ConfigProblemCode): string {
  const value = record[field] ?? null;
  if (value === null) throw refusal('missing_field', field, `${field} is missing; every record needs it`);
  if (typeof value === 'string') return value;
  if (isInteger(value, 0, Number.MAX_SAFE_INTEGER)) return String(value);
  const remedy = typeof value === 'number' ? '; write the number in quotes' : '';
  throw refusal(code, field, `${field} must be a text${remedy}`);
}

function flag(record: ConfigRecord, field: string, byDefault: boolean, code: ConfigProblemCode): boolean {
  const value = record[field] ?? byDefault;
  if (typeof value === 'boolean') return value;
  throw refusal(code, field, `${field} must be true or false, without quotes`);
}

function isInteger(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
}
