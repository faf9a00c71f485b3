import { isJsonObject } from '../schemas/json-object.ts';
import { parseJsonText } from '../schemas/json-text.ts';
import { nearestName } from '../schemas/nearest-name.ts';
import { redactText } from '../schemas/redacted-text.ts';
import { refusal } from './config-problem.ts';
import type { ConfigRules, DestinationType } from './destination-type.ts';

/** A record of the control topic, parsed and not judged yet. */
export type ConfigRecord = Readonly<Record<string, unknown>>;

/** The longest record of the control topic, and the longest body of the API. */
export const MAX_CONFIG_BYTES = 64 * 1024;

/** How deep arrays and objects may nest, the record itself included. */
export const MAX_CONFIG_DEPTH = 32;

/** The version of the record's own form, which is optional here: people write these records too. */
const RECORD_VERSION = 1;

/** The fields of every replication; a kind of destination brings further ones, and may have no use for some. */
export const COMMON_FIELDS = [
  'id',
  'datamart_id',
  'name',
  'version',
  'status',
  'type',
  'replication_filters',
  'credentials_uri',
  'resume',
  'metadata',
  'user_point_parent',
  'ordering',
  'ordering_lanes',
  'created',
] as const;

/** Names are shown, so a hostile one must neither be long nor steer a terminal. */
const SHOWN_CHARACTERS = 64;

/** The JSON object that a record's value holds. Throws a `RefusedRecordError`. */
export function parseConfigRecord(value: Buffer): ConfigRecord {
  if (value.length > MAX_CONFIG_BYTES) {
    const message = `the record is ${value.length} bytes long; at most ${MAX_CONFIG_BYTES} are allowed`;
    throw refusal('payload_too_large', null, message);
  }
  const parsed = parseJsonText(value, MAX_CONFIG_DEPTH);
  if ('problem' in parsed) throw refusal('config_unparseable', null, `the record ${parsed.problem}`);
  if (!isJsonObject(parsed.value)) {
    throw refusal('config_unparseable', null, 'the record is not a JSON object; write {"id": …}');
  }
  const { v } = parsed.value;
  if (v !== undefined && v !== null && v !== RECORD_VERSION) {
    const message = `v, the version of the record's form, must be ${RECORD_VERSION} or left out`;
    throw refusal('config_unparseable', 'v', message, "the operations' version is the field version");
  }
  return parsed.value;
}

/** Refuses fields that nobody knows, and fields of other kinds of destinations unless they are null. */
export function assertKnownFields(record: ConfigRecord, type: DestinationType, { types }: ConfigRules): void {
  const applicable = fieldsOf(type);
  for (const [field, value] of Object.entries(record)) {
    if (field === 'v' || applicable.has(field)) continue;
    const owners = [...types.values()].filter((other) => fieldsOf(other).has(field));
    if (owners.length === 0) throw unknownField(field, type, applicable);
    if (value === null) continue;
    const elsewhere = owners.map((owner) => owner.type).join(' and ');
    const message = `${field} applies to ${elsewhere}, not to ${type.type}; leave it out`;
    throw refusal('field_not_applicable', field, message);
  }
}

function fieldsOf({ fields, options, credentials }: DestinationType): ReadonlySet<string> {
  const applicable = new Set<string>([...COMMON_FIELDS, ...fields]);
  if (!options.messageId) applicable.delete('metadata');
  if (options.ordering === null) applicable.delete('ordering');
  if (!options.orderingLanes) applicable.delete('ordering_lanes');
  if (credentials === 'none') applicable.delete('credentials_uri');
  return applicable;
}

function unknownField(field: string, type: DestinationType, applicable: ReadonlySet<string>): Error {
  const shown = shownName(field);
  const remedy = didYouMean(field, applicable) || '; leave it out';
  return refusal(
    'unknown_field',
    shown,
    `"${shown}" is not a field of a ${type.type} replication${remedy}`,
    `its fields are ${[...applicable].join(', ')}`,
  );
}

/** A field's name as a record gives it, fit to be shown: it may be a secret that was put in the wrong place. */
export function shownName(name: string): string {
  const start = redactText(name).slice(0, SHOWN_CHARACTERS).toWellFormed();
  return start.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\ufffd');
}

/** `; did you mean X?`, to end a message with; empty when nothing is near, or the value is no text. */
export function didYouMean(value: unknown, candidates: Iterable<string>): string {
  const near = typeof value === 'string' ? nearestName(value, candidates) : undefined;
  return near === undefined ? '' : `; did you mean ${near}?`;
}
