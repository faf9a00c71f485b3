import { desiredStatus } from '../processors/deferred-status.ts';
import type { ReplicationConfig } from '../processors/replication-config.ts';
import { ApiError } from './api-error.ts';
import type { DesiredReplications } from './control-plane.ts';
import type { Caller } from './replication-operations.ts';

type Fields = Readonly<Record<string, unknown>>;

/** The types of the product page; all others are for operators to set up. */
const CUSTOMER_TYPES: ReadonlySet<string> = new Set(['GOOGLE_PUBSUB', 'AZURE_EVENT_HUBS']);

/**
 * The record of a new replication but for its id and time, from a body that may be a replication as `GET` returned it.
 * What the rules of the control topic refuse is left in for them to refuse. Throws an `ApiError`.
 */
export function newRecordOf(
  body: unknown,
  datamartId: string,
  caller: Caller,
  replications: DesiredReplications,
): Fields {
  const { id, datamart_id: givenDatamart, ...rest } = fieldsOf(body);
  const given = without(rest, 'observed');
  assertDatamart(givenDatamart, datamartId);
  assertOnlyResource(given);
  const type = given.type ?? null;
  if (caller.role !== 'operator' && typeof type === 'string' && replications.rules.types.has(type))
    assertCustomerType(type);
  const uri = given.credentials_uri ?? null;
  // Sealed credentials stay with the replication that they were uploaded to.
  const original = idText(id);
  const isOfOriginal = original !== null && uri === `sealed:${original}`;
  if (caller.role !== 'operator' && !isOfOriginal && !isPresentUri(uri, original, datamartId, replications))
    throw foreignCredentials();
  const isDropped = isOfOriginal || caller.role !== 'operator';
  const record = isDropped ? without(given, 'credentials_uri') : given;
  return { datamart_id: datamartId, ...withPlainFilters(record) };
}

/** What holds of a new replication beyond the rules of the control topic. Throws an `ApiError`. */
export function assertNewReplication(record: Fields): void {
  const { status = null, name = null, type, version } = record;
  if (name === null) throw new ApiError('missing_field', 'name is missing', { field: 'name' });
  if (status !== null && status !== 'PAUSED')
    throw new ApiError('initial_status_must_be_paused', 'a replication is created PAUSED', {
      field: 'status',
      hint: 'leave status out; upload credentials, then activate with PUT {"status":"ACTIVE"}',
    });
  if (type === 'GOOGLE_PUBSUB' && version === 1)
    throw new ApiError('version_not_allowed', 'new Pub/Sub replications are version 2', {
      field: 'version',
      hint: 'leave version out',
    });
}

/**
 * The record that a change makes of the one in force, nulls included: what `body` leaves out stays, null is the default.
 * Throws an `ApiError` for what only the API refuses.
 */
export function changedRecordOf(config: ReplicationConfig, body: unknown, caller: Caller): Fields {
  const { id, datamart_id: datamartId, ...rest } = fieldsOf(body);
  const given = without(rest, 'observed');
  if (id !== undefined && idText(id) !== config.id)
    throw new ApiError('config_key_mismatch', 'id differs from the id in the path', { field: 'id' });
  assertDatamart(datamartId, config.datamartId);
  assertOnlyResource(given);
  if (caller.role !== 'operator' && given.credentials_uri !== undefined) {
    if (given.credentials_uri !== config.credentialsUri) throw foreignCredentials();
  }
  if (given.name === null) throw new ApiError('missing_field', 'name can’t be null', { field: 'name' });
  const record = { ...config.record, ...withPlainFilters(given) };
  // ERROR is what was observed; what is desired stays.
  return given.status === 'ERROR' ? { ...record, status: desiredStatus(config) } : record;
}

/** The fields of a JSON object as it came. */
export function fieldsOf(body: unknown): Fields {
  if (body === undefined) throw new ApiError('invalid_json', 'the body is empty; a JSON object is expected');
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new ApiError('invalid_json', 'the body must be a JSON object');
  return { ...body };
}

/** A datamart that a body repeats must be that of the path. */
export function assertDatamart(given: unknown, datamartId: string): void {
  if (given === undefined || given === null || idText(given) === datamartId) return;
  throw new ApiError('datamart_mismatch', 'datamart_id differs from the datamart in the path', {
    field: 'datamart_id',
    hint: `leave it out, or say "${datamartId}"`,
  });
}

function assertCustomerType(type: string): void {
  if (CUSTOMER_TYPES.has(type)) return;
  throw new ApiError('forbidden', `replications of type ${type} are set up by operators`, {
    field: 'type',
    hint: `use one of ${[...CUSTOMER_TYPES].join(', ')}, or ask the operator of this service`,
  });
}

function foreignCredentials(): ApiError {
  return new ApiError('forbidden', 'credentials_uri can only be set by operators', {
    field: 'credentials_uri',
    hint: 'upload the credentials: POST …/replications/:replicationId/credentials',
  });
}

/** Whether the body repeats the URI of the replication that it is a copy of; none repeats none. */
function isPresentUri(
  uri: unknown,
  id: string | null,
  datamartId: string,
  replications: DesiredReplications,
): boolean {
  if (uri === null) return true;
  const original = id === null ? undefined : replications.get(id);
  return original?.datamartId === datamartId && original.credentialsUri === uri;
}

/** Filters as the record keeps them: their ids are counted anew in every answer. */
function withPlainFilters(fields: Fields): Fields {
  const { replication_filters: filters } = fields;
  if (!Array.isArray(filters)) return fields;
  const plain = filters.map((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return entry;
    return without({ ...entry }, 'id', 'replication_id');
  });
  return { ...fields, replication_filters: plain };
}

/** Null stands for the default: a record that leaves it out says the same. */
export function withoutNulls(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

function without(fields: Fields, ...names: readonly string[]): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([field]) => !names.includes(field)));
}

/**
 * Fields of the record alone: `created` makes a replication another one under the same id, and only whoever creates it
 * sets it; `v` is the record's form.
 */
function assertOnlyResource(given: Fields): void {
  const field = ['created', 'v'].find((name) => Object.hasOwn(given, name));
  if (field === undefined) return;
  throw new ApiError('unknown_field', `${field} is not a field of a replication`, { field });
}

/** An id's text; numbers are taken for ids. Null when it is neither. */
function idText(id: unknown): string | null {
  if (typeof id === 'string') return id;
  return typeof id === 'number' && Number.isSafeInteger(id) ? String(id) : null;
}
