import {
  ALL_DOCUMENT_TYPES,
  FILTER_NAMES,
  USER_POINT,
  USER_POINT_PARENT,
  type DocumentTypeMask,
  type FilterName,
} from '../schemas/document-type.ts';
import { datamartKey, type DatamartKey } from '../schemas/mutation.ts';
import { nearestName } from '../schemas/nearest-name.ts';
import type { OperationVersion } from '../schemas/operation-encoder.ts';

/** The desired state of one replication, as an accepted record of the control topic says it. */
export interface ReplicationConfig {
  readonly id: string;
  readonly datamartId: string;
  readonly datamart: DatamartKey;
  readonly name: string;
  readonly version: OperationVersion;
  readonly status: 'ACTIVE' | 'PAUSED';
  readonly type: string;
  /** Selected document types; null selects all. */
  readonly filter: DocumentTypeMask | null;
  readonly credentialsUri: string | null;
  readonly resume: 'WHERE_STOPPED' | 'NOW' | null;
  readonly messageId: boolean;
  readonly userPointParent: boolean;
  readonly ordering: boolean;
  readonly orderingLanes: number;
  /** Set by whoever created it: another value under the same id is another replication (PROTOCOL C4). */
  readonly created: number | null;
  /** Offset of the record on the control topic. */
  readonly offset: number;
  /** Offset of the record with which it became ACTIVE, as far as this instance has seen; its own when it is PAUSED. */
  readonly activeSince: number;
  /** The kind's own fields, as its adapter parsed them. */
  readonly destination: unknown;
  /** The kind's own fields as text, to compare: they are immutable. */
  readonly destinationFields: string;
  /** The JSON object as it was written. */
  readonly record: Readonly<Record<string, unknown>>;
}

/** Why a record of the control topic is refused. The codes are those of the API. */
export interface ConfigProblem {
  readonly code: string;
  readonly field: string | null;
  readonly message: string;
}

export type Judgement =
  | { readonly kind: 'accepted'; readonly config: ReplicationConfig }
  | { readonly kind: 'refused'; readonly problem: ConfigProblem };

/** What the rules need to know of a kind of destination. Sink adapters have this shape. */
export interface DestinationType {
  readonly type: string;
  readonly versions: readonly [OperationVersion, ...OperationVersion[]];
  readonly fields: readonly string[];
  readonly options: {
    readonly messageId: boolean;
    readonly ordering: boolean | null;
    readonly orderingLanes: boolean;
  };
  readonly credentials: 'required' | 'optional' | 'none';
  parseConfig(
    record: Readonly<Record<string, unknown>>,
  ): { readonly config: unknown } | { readonly problem: ConfigProblem };
}

/** Pure syntax check of a `credentials_uri`; null when it is good. */
export type CredentialsUriCheck = (uri: string, replicationId: string) => ConfigProblem | null;

export interface ConfigRules {
  readonly types: ReadonlyMap<string, DestinationType>;
  readonly checkCredentialsUri: CredentialsUriCheck;
}

const COMMON_FIELDS = [
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

const ID_PATTERN = /^[A-Za-z0-9_.-]{1,64}$/;
const DATAMART_ID_PATTERN = /^[1-9][0-9]{0,18}$/;
const DEFAULT_ORDERING_LANES = 16;

class Refusal extends Error {
  readonly problem: ConfigProblem;
  constructor(code: string, field: string | null, message: string) {
    super(message);
    this.problem = { code, field, message };
  }
}

/**
 * Judges the record at `offset` of the control topic: valid first, then a permitted change of `previous`.
 * Pure: the same record, rules and previous config always get the same judgement.
 */
export function judgeConfig(
  key: string,
  value: Buffer,
  offset: number,
  previous: ReplicationConfig | null,
  rules: ConfigRules,
): Judgement {
  try {
    const parsed = parseConfig(key, parseJsonObject(value), previous, rules);
    const isStillActive =
      previous?.status === 'ACTIVE' && parsed.status === 'ACTIVE' && previous.created === parsed.created;
    const config = { ...parsed, offset, activeSince: isStillActive ? previous.activeSince : offset };
    if (previous && previous.created === config.created) assertPermittedChange(previous, config);
    return { kind: 'accepted', config };
  } catch (error) {
    if (error instanceof Refusal) return { kind: 'refused', problem: error.problem };
    throw error;
  }
}

function parseJsonObject(value: Buffer): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(value));
  } catch {
    throw new Refusal('config_unparseable', null, 'the record is not valid JSON in UTF-8');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new Refusal('config_unparseable', null, 'the record must be a JSON object');
  }
  return parsed as Record<string, unknown>;
}

function parseConfig(
  key: string,
  record: Record<string, unknown>,
  previous: ReplicationConfig | null,
  rules: ConfigRules,
): Omit<ReplicationConfig, 'offset' | 'activeSince'> {
  const id = requiredText(record, 'id');
  if (id !== key) {
    throw new Refusal('config_key_mismatch', 'id', 'the record’s key must equal its field id');
  }
  if (!ID_PATTERN.test(id)) throw new Refusal('invalid_id', 'id', 'id must match [A-Za-z0-9_.-]{1,64}');
  const type = rules.types.get(requiredText(record, 'type'));
  if (!type) {
    const known = [...rules.types.keys()].join(', ');
    throw new Refusal('unsupported_type', 'type', `type must be one of ${known}`);
  }
  assertKnownFields(record, type, rules);

  const datamartId = requiredText(record, 'datamart_id');
  if (!DATAMART_ID_PATTERN.test(datamartId)) {
    throw new Refusal(
      'invalid_datamart_id',
      'datamart_id',
      'datamart_id must be a positive integer of at most 19 digits',
    );
  }
  const version = parseVersion(record, type);
  const parsed = type.parseConfig(record);
  if ('problem' in parsed) {
    throw new Refusal(parsed.problem.code, parsed.problem.field, parsed.problem.message);
  }
  const userPointParent = flag(record, 'user_point_parent', false);
  if (userPointParent && version !== 2) {
    throw new Refusal(
      'field_not_applicable',
      'user_point_parent',
      'user_point_parent applies to version 2 only',
    );
  }
  return {
    id,
    datamartId,
    datamart: datamartKey(datamartId),
    name: parseName(record, id),
    version,
    status: parseStatus(record, previous),
    type: type.type,
    filter: parseFilter(record.replication_filters),
    credentialsUri: parseCredentialsUri(record, id, type, rules),
    resume: parseResume(record),
    messageId: parseMetadata(record, type),
    userPointParent,
    ordering: type.options.ordering === null ? false : flag(record, 'ordering', type.options.ordering),
    orderingLanes: parseOrderingLanes(record),
    created: parseCreated(record),
    destination: parsed.config,
    destinationFields: JSON.stringify(type.fields.map((field) => record[field] ?? null)),
    record,
  };
}

function assertKnownFields(record: Record<string, unknown>, type: DestinationType, rules: ConfigRules): void {
  const applicable = new Set<string>([...COMMON_FIELDS, ...type.fields]);
  if (!type.options.messageId) applicable.delete('metadata');
  if (type.options.ordering === null) applicable.delete('ordering');
  if (!type.options.orderingLanes) applicable.delete('ordering_lanes');
  if (type.credentials === 'none') applicable.delete('credentials_uri');
  const elsewhere = new Set([...COMMON_FIELDS, ...[...rules.types.values()].flatMap(({ fields }) => fields)]);
  for (const [field, value] of Object.entries(record)) {
    if (applicable.has(field)) continue;
    if (elsewhere.has(field)) {
      if (value === null) continue;
      throw new Refusal('field_not_applicable', field, `${field} does not apply to type ${type.type}`);
    }
    const near = nearestName(field, applicable);
    throw new Refusal(
      'unknown_field',
      field,
      `${field.slice(0, 64)} is not a field of a replication${near ? `; did you mean ${near}?` : ''}`,
    );
  }
}

function parseVersion(record: Record<string, unknown>, type: DestinationType): OperationVersion {
  const version = record.version ?? type.versions[0];
  if (version !== 1 && version !== 2) {
    throw new Refusal('invalid_version', 'version', 'version must be the number 1 or 2');
  }
  if (!type.versions.includes(version)) {
    throw new Refusal(
      'version_not_supported_for_type',
      'version',
      `${type.type} takes version ${type.versions.join(' or ')} only`,
    );
  }
  return version;
}

function parseName(record: Record<string, unknown>, id: string): string {
  const name = record.name ?? id;
  if (typeof name !== 'string' || name.length < 1 || name.length > 255) {
    throw new Refusal('invalid_name', 'name', 'name must be a text of 1 to 255 characters');
  }
  return name;
}

function parseStatus(
  record: Record<string, unknown>,
  previous: ReplicationConfig | null,
): 'ACTIVE' | 'PAUSED' {
  const { status } = record;
  if (status === undefined || status === null) return 'PAUSED';
  if (status === 'ACTIVE' || status === 'PAUSED') return status;
  if (status === 'ERROR') return previous?.status ?? 'PAUSED';
  throw new Refusal('invalid_status', 'status', 'status must be ACTIVE or PAUSED');
}

/** Null and absent select everything; duplicates collapse; `UserPointParent` follows `USER_POINT`. */
function parseFilter(filters: unknown): DocumentTypeMask | null {
  if (filters === undefined || filters === null) return null;
  const field = 'replication_filters';
  if (!Array.isArray(filters)) {
    throw new Refusal(
      'invalid_replication_filters',
      field,
      'replication_filters must be a list of {document, filter}',
    );
  }
  if (filters.length === 0) {
    throw new Refusal(
      'empty_filters',
      field,
      'replication_filters is empty; leave it out to replicate all documents',
    );
  }
  let mask = 0;
  for (const entry of filters as unknown[]) {
    if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
      throw new Refusal(
        'invalid_replication_filters',
        field,
        'each filter must be an object {document, filter}',
      );
    }
    const { document, filter } = entry as { document?: unknown; filter?: unknown };
    for (const name of Object.keys(entry)) {
      if (!['id', 'replication_id', 'document', 'filter'].includes(name)) {
        throw new Refusal('unknown_field', field, `${name.slice(0, 64)} is not a field of a filter`);
      }
    }
    if (filter !== undefined && filter !== null) {
      throw new Refusal('filter_not_supported', field, 'filter is not used at the moment and must be null');
    }
    const index = FILTER_NAMES.indexOf(document as FilterName);
    if (index < 0) {
      throw new Refusal('unknown_document', field, `document must be one of ${FILTER_NAMES.join(', ')}`);
    }
    mask |= 1 << index;
  }
  return mask & (1 << USER_POINT) ? mask | (1 << USER_POINT_PARENT) : mask;
}

function parseCredentialsUri(
  record: Record<string, unknown>,
  id: string,
  type: DestinationType,
  rules: ConfigRules,
): string | null {
  const uri = record.credentials_uri ?? null;
  if (uri === null || type.credentials === 'none') return null;
  if (typeof uri !== 'string') {
    throw new Refusal('invalid_credentials_uri', 'credentials_uri', 'credentials_uri must be a text');
  }
  const problem = rules.checkCredentialsUri(uri, id);
  if (problem) throw new Refusal(problem.code, problem.field, problem.message);
  return uri;
}

function parseResume(record: Record<string, unknown>): ReplicationConfig['resume'] {
  const resume = record.resume ?? null;
  if (resume === null || resume === 'WHERE_STOPPED' || resume === 'NOW') return resume;
  throw new Refusal('invalid_resume', 'resume', 'resume must be null, "WHERE_STOPPED" or "NOW"');
}

function parseMetadata(record: Record<string, unknown>, type: DestinationType): boolean {
  const metadata = record.metadata ?? [];
  if (!type.options.messageId) return false;
  if (!Array.isArray(metadata) || metadata.some((name) => name !== 'message_id')) {
    throw new Refusal('invalid_metadata', 'metadata', 'metadata must be [] or ["message_id"]');
  }
  return metadata.length > 0;
}

function parseOrderingLanes(record: Record<string, unknown>): number {
  const lanes = record.ordering_lanes ?? DEFAULT_ORDERING_LANES;
  if (typeof lanes !== 'number' || !Number.isInteger(lanes) || lanes < 1 || lanes > 256) {
    throw new Refusal(
      'invalid_ordering_lanes',
      'ordering_lanes',
      'ordering_lanes must be an integer from 1 to 256',
    );
  }
  return lanes;
}

function parseCreated(record: Record<string, unknown>): number | null {
  const created = record.created ?? null;
  if (created === null || (typeof created === 'number' && Number.isSafeInteger(created))) return created;
  throw new Refusal('invalid_created', 'created', 'created must be a time in ms');
}

/** A text; ids may come as JSON integers. */
function requiredText(record: Record<string, unknown>, field: string): string {
  const value = record[field];
  if (value === undefined || value === null) {
    throw new Refusal('missing_field', field, `${field} is missing`);
  }
  if (typeof value === 'string') return value;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value);
  throw new Refusal(`invalid_${field}`, field, `${field} must be a text`);
}

function flag(record: Record<string, unknown>, field: string, byDefault: boolean): boolean {
  const value = record[field] ?? byDefault;
  if (typeof value !== 'boolean')
    throw new Refusal(`invalid_${field}`, field, `${field} must be true or false`);
  return value;
}

/** The fields that a customer's data hangs on never change; a new replication is the way. */
function assertPermittedChange(previous: ReplicationConfig, next: ReplicationConfig): void {
  const immutable = (field: string): Refusal =>
    new Refusal('immutable_field', field, `${field} can't be changed; create a new replication`);
  if (previous.datamartId !== next.datamartId) throw immutable('datamart_id');
  if (previous.type !== next.type) throw immutable('type');
  if (previous.version !== next.version) throw immutable('version');
  if (previous.destinationFields !== next.destinationFields) throw immutable('destination');
  if ((previous.filter ?? ALL_DOCUMENT_TYPES) !== (next.filter ?? ALL_DOCUMENT_TYPES)) {
    throw new Refusal(
      'filters_immutable',
      'replication_filters',
      "replication_filters can't be changed; create a new replication",
    );
  }
}
