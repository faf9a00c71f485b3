import { parseDatamartId, parseId } from '../config-fields.ts';
import { RefusedRecordError, type ConfigProblem } from '../config-problem.ts';
import { didYouMean, parseConfigRecord, shownName, type ConfigRecord } from '../config-record.ts';
import { SYNC_PROBLEM_CODES, type SyncProblem, type SyncProblemCode } from './sync-problem.ts';

/** What is asked for: an initial synchronization of a datamart. */
export interface LaunchRequest {
  readonly id: string;
  readonly datamartId: string;
  /** Never empty; null for every ACTIVE replication of the datamart. */
  readonly replicationIds: readonly string[] | null;
  /** ms since 1970 UTC; null for when the record was stored. */
  readonly creationDate: number | null;
  readonly userId: string | null;
  /** How many operations may be sent in all; null without a budget. */
  readonly maxOperations: number | null;
}

/** A record of `initial-sync-requests`, judged by itself. */
export type ParsedRequest =
  | { readonly kind: 'launch'; readonly launch: LaunchRequest }
  | { readonly kind: 'cancel'; readonly datamartId: string }
  | {
      readonly kind: 'refused';
      readonly problem: SyncProblem;
      /** Null when it names none that can be read. */
      readonly datamartId: string | null;
    };

const FIELDS = [
  'id',
  'datamart_id',
  'replication_ids',
  'creation_date',
  'user_id',
  'max_operations',
  'cancel',
] as const;

const MAX_REPLICATIONS = 1_000;
const MAX_USER_ID_CHARACTERS = 255;
/** The last millisecond that a `Date` can hold. */
const MAX_TIME_MS = 8_640_000_000_000_000;
const ID_PATTERN = /^[A-Za-z0-9_.-]{1,64}$/;
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Whether a key can be that of a request: nothing is stored under any other. */
export function isExecutionId(key: string): boolean {
  return ID_PATTERN.test(key);
}

/** Judges the bytes of a record by themselves. Pure; never throws because of a record. */
export function parseSyncRequest(key: string, value: Buffer): ParsedRequest {
  let record: ConfigRecord;
  try {
    record = parseConfigRecord(value);
  } catch (error) {
    return { kind: 'refused', problem: problemOf(error), datamartId: null };
  }
  return parseSyncRecord(key, record);
}

/** Judges a record that is parsed already, such as one that the API is about to write. */
export function parseSyncRecord(key: string, record: ConfigRecord): ParsedRequest {
  try {
    return parseRecord(key, record);
  } catch (error) {
    return { kind: 'refused', problem: problemOf(error), datamartId: datamartIdOf(record) };
  }
}

function parseRecord(key: string, record: ConfigRecord): ParsedRequest {
  const id = parseId(record, key);
  for (const field of Object.keys(record)) assertKnown(field);
  const datamartId = parseDatamartId(record);
  if (parseCancel(record)) return { kind: 'cancel', datamartId };
  const launch = {
    id,
    datamartId,
    replicationIds: parseReplicationIds(record),
    creationDate: parseInteger(record, 'creation_date', 0, MAX_TIME_MS, 'a time in ms since 1970'),
    userId: parseUserId(record),
    maxOperations: parseInteger(
      record,
      'max_operations',
      1,
      Number.MAX_SAFE_INTEGER,
      'a whole number above 0',
    ),
  };
  return { kind: 'launch', launch };
}

function assertKnown(field: string): void {
  if (field === 'v' || FIELDS.some((known) => known === field)) return;
  const shown = shownName(field);
  const remedy = didYouMean(field, FIELDS) || '; leave it out';
  throw refused('unknown_field', shown, `"${shown}" is not a field of an initial synchronization${remedy}`);
}

function parseCancel({ cancel = null }: ConfigRecord): boolean {
  if (cancel === null || typeof cancel === 'boolean') return cancel ?? false;
  throw refused('invalid_parameter', 'cancel', 'cancel must be true, or left out');
}

function parseReplicationIds({ replication_ids: given = null }: ConfigRecord): readonly string[] | null {
  if (given === null) return null;
  const field = 'replication_ids';
  const code = 'invalid_replication_ids';
  if (!Array.isArray(given))
    throw refused(code, field, `${field} must be a list of ids; leave it out for every ACTIVE replication`);
  if (given.length === 0)
    throw refused(code, field, `${field} is empty; leave it out for every ACTIVE replication`);
  if (given.length > MAX_REPLICATIONS)
    throw refused(code, field, `${field} has ${given.length} ids; at most ${MAX_REPLICATIONS} are allowed`);
  const ids = given.map(idText);
  if (new Set(ids).size < ids.length)
    throw refused(code, field, `${field} names an id twice; name each once`);
  return ids;
}

/** JSON integers are taken for ids. */
function idText(id: unknown): string {
  const text = typeof id === 'number' && Number.isSafeInteger(id) ? String(id) : id;
  if (typeof text === 'string' && ID_PATTERN.test(text)) return text;
  const message = 'replication_ids must hold ids of replications only, as texts';
  throw refused('invalid_replication_ids', 'replication_ids', message);
}

function parseUserId({ user_id: given = null }: ConfigRecord): string | null {
  if (given === null) return null;
  const text = typeof given === 'number' && Number.isSafeInteger(given) ? String(given) : given;
  const isText = typeof text === 'string' && text !== '' && text.length <= MAX_USER_ID_CHARACTERS;
  if (isText && !UNPRINTABLE.test(text)) return text;
  const message = `user_id must be a text of 1 to ${MAX_USER_ID_CHARACTERS} printable characters`;
  throw refused('invalid_parameter', 'user_id', message);
}

function parseInteger(
  record: ConfigRecord,
  field: string,
  min: number,
  max: number,
  allowed: string,
): number | null {
  const value = record[field] ?? null;
  if (value === null) return null;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw refused('invalid_parameter', field, `${field} must be ${allowed}, or left out`);
}

/** The datamart of a record that is refused, as far as it names one. */
function datamartIdOf(record: ConfigRecord): string | null {
  try {
    return parseDatamartId(record);
  } catch {
    return null;
  }
}

function refused(code: SyncProblemCode, field: string | null, message: string): RefusedRecordError {
  return new RefusedRecordError({ code, field, message });
}

function problemOf(error: unknown): SyncProblem {
  if (!(error instanceof RefusedRecordError)) throw error;
  const { field, message }: ConfigProblem = error.problem;
  const code = SYNC_PROBLEM_CODES.find((known) => known === error.problem.code) ?? 'invalid_json';
  return { code, field, message, replicationIds: [], nextDate: null };
}
