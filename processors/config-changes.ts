import { ALL_DOCUMENT_TYPES, type DocumentTypeMask } from '../schemas/document-type.ts';
import { isJsonObject } from '../schemas/json-object.ts';
import type { OperationVersion } from '../schemas/operation-encoder.ts';
import type { ConfigProblem } from './config-problem.ts';
import type { ConfigRecord } from './config-record.ts';

/** What a customer's data hangs on: it never changes while the replication exists. */
export interface FixedFields {
  readonly datamartId: string;
  readonly type: string;
  readonly version: OperationVersion;
  readonly filter: DocumentTypeMask | null;
  /** Holds the fields of the destination. */
  readonly record: ConfigRecord;
}

const HINT = 'create a new replication with it, and delete this one when the new one is ACTIVE';

/**
 * What forbids the change from `previous` to `next`, two valid records of one replication; null when nothing does.
 * `destinationFields` are the names of the fields that belong to its kind of destination. Pure.
 */
export function changeProblem(
  previous: FixedFields,
  next: FixedFields,
  destinationFields: readonly string[],
): ConfigProblem | null {
  if (previous.datamartId !== next.datamartId) return immutable('datamart_id', HINT);
  if (previous.type !== next.type) return immutable('type', HINT);
  if (previous.version !== next.version) {
    return immutable('version', `this replication has version ${previous.version}: write it into the record`);
  }
  for (const field of destinationFields) {
    if (fixedText(previous.record, [field]) !== fixedText(next.record, [field]))
      return immutable(field, HINT);
  }
  if ((previous.filter ?? ALL_DOCUMENT_TYPES) === (next.filter ?? ALL_DOCUMENT_TYPES)) return null;
  return { ...immutable('replication_filters', HINT), code: 'filters_immutable' };
}

/** The fields' values as one text, to compare: absent is null, the order of an object's keys doesn't count. */
export function fixedText(record: ConfigRecord, fields: readonly string[]): string {
  const values = fields.map((field) => record[field] ?? null);
  return JSON.stringify(values, (_, value: unknown) => (isJsonObject(value) ? withSortedKeys(value) : value));
}

function withSortedKeys(object: ConfigRecord): ConfigRecord {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function immutable(field: string, hint: string): ConfigProblem {
  const message = `${field} can't be changed; create a new replication`;
  return { code: 'immutable_field', field, message, hint };
}
