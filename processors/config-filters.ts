import {
  FILTER_NAMES,
  USER_POINT,
  USER_POINT_PARENT,
  type DocumentTypeMask,
} from '../schemas/document-type.ts';
import { isJsonObject } from '../schemas/json-object.ts';
import { refusal } from './config-problem.ts';
import { didYouMean, shownName } from './config-record.ts';

const FIELD = 'replication_filters';
const EXAMPLE = '[{"document":"USER_SEGMENT","filter":null}]';

/** `id` and `replication_id` are what the API answers with; they mean nothing here. */
const ENTRY_FIELDS = ['document', 'filter', 'id', 'replication_id'];

/**
 * Which documents a record's `replication_filters` select: null, or the field left out, is all of them. Order doesn't
 * count, duplicates collapse, `UserPointParent` follows `USER_POINT`. Throws a `RefusedRecordError`.
 */
export function parseFilters(filters: unknown): DocumentTypeMask | null {
  if (filters === undefined || filters === null) return null;
  if (!Array.isArray(filters)) {
    const message = `${FIELD} must be a list such as ${EXAMPLE}, or null for all documents`;
    throw refusal('invalid_replication_filters', FIELD, message);
  }
  if (filters.length === 0) {
    throw refusal('empty_filters', FIELD, `${FIELD} is empty; leave it out to replicate all documents`);
  }
  let mask = 0;
  for (const [index, entry] of (filters as readonly unknown[]).entries()) {
    mask |= 1 << parseEntry(entry, `${FIELD}[${index}]`);
  }
  return mask & (1 << USER_POINT) ? mask | (1 << USER_POINT_PARENT) : mask;
}

function parseEntry(entry: unknown, place: string): number {
  if (!isJsonObject(entry)) {
    const message = `${place} must be an object such as {"document":"USER_SEGMENT","filter":null}`;
    throw refusal('invalid_replication_filters', FIELD, message);
  }
  for (const name of Object.keys(entry)) {
    if (ENTRY_FIELDS.includes(name)) continue;
    const remedy = didYouMean(name, ENTRY_FIELDS) || '; leave it out';
    throw refusal('unknown_field', FIELD, `"${shownName(name)}" is not a field of ${place}${remedy}`);
  }
  if ((entry.filter ?? null) !== null) {
    const message = `${place}.filter is not used at the moment and must be null`;
    throw refusal('filter_not_supported', FIELD, message);
  }
  return parseDocument(entry.document ?? null, place);
}

function parseDocument(document: unknown, place: string): number {
  const expected = `one of ${FILTER_NAMES.join(', ')}`;
  if (document === null) throw refusal('missing_field', FIELD, `${place} has no document; give ${expected}`);
  const index = FILTER_NAMES.findIndex((name) => name === document);
  if (index >= 0) return index;
  throw refusal(
    'unknown_document',
    FIELD,
    `${place}.document must be ${expected}${didYouMean(document, FILTER_NAMES)}`,
    document === 'USER_POINT_PARENT' ? 'UserPointParent comes with USER_POINT' : undefined,
  );
}
