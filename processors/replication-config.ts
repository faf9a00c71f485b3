import type { DocumentTypeMask } from '../schemas/document-type.ts';
import { datamartKey, type DatamartKey } from '../schemas/mutation.ts';
import type { OperationVersion } from '../schemas/operation-encoder.ts';
import { changeProblem, fixedText } from './config-changes.ts';
import {
  parseCreated,
  parseCredentialsUri,
  parseDatamartId,
  parseId,
  parseMetadata,
  parseName,
  parseOrdering,
  parseOrderingLanes,
  parseResume,
  parseStatus,
  parseType,
  parseUserPointParent,
  parseVersion,
  type DesiredStatus,
  type Resume,
} from './config-fields.ts';
import { parseFilters } from './config-filters.ts';
import { refusal, RefusedRecordError, type ConfigProblem } from './config-problem.ts';
import { assertKnownFields, parseConfigRecord, type ConfigRecord } from './config-record.ts';
import type { ConfigRules, DestinationType } from './destination-type.ts';

export type { ConfigProblem } from './config-problem.ts';
export type { ConfigRules, CredentialsUriCheck, DestinationType } from './destination-type.ts';

/** The desired state of one replication, as an accepted record of the control topic says it. */
export interface ReplicationConfig {
  readonly id: string;
  readonly datamartId: string;
  readonly datamart: DatamartKey;
  readonly name: string;
  readonly version: OperationVersion;
  /** What holds now: the record's own status, but for one that waits for the end of an initial synchronization. */
  readonly status: DesiredStatus;
  /** The record's own status while that waits; null when it holds. */
  readonly deferredStatus: DesiredStatus | null;
  readonly type: string;
  /** Selected document types; null selects all. */
  readonly filter: DocumentTypeMask | null;
  readonly credentialsUri: string | null;
  readonly resume: Resume | null;
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
  /** What no other replication of its kind may have; null when its kind shares everything. */
  readonly exclusive: { readonly field: string; readonly value: string } | null;
  /**
   * The accepted JSON object as it was written, but for a status `ERROR`, which stands here as the status that it
   * keeps: judged by itself, without a previous one, this gives the same config.
   */
  readonly record: ConfigRecord;
}

export type Judgement =
  | { readonly kind: 'accepted'; readonly config: ReplicationConfig }
  | { readonly kind: 'refused'; readonly problem: ConfigProblem };

/**
 * Judges the record at `offset` of the control topic: valid first, then a permitted change of `previous`.
 * Pure: the same record, rules and previous config always get the same judgement. Never throws because of a record.
 *
 * What depends on other replications is judged by `neighbourProblem`.
 */
export function judgeConfig(
  key: string,
  value: Buffer,
  offset: number,
  previous: ReplicationConfig | null,
  rules: ConfigRules,
): Judgement {
  return judgementOf(() => acceptRecord(key, parseConfigRecord(value), offset, previous, rules));
}

/**
 * Judges an accepted config's `record`, from wherever it was kept, by itself: gives the same config while the rules are
 * the same. Unlike `judgeConfig` it sets no limit to the length, which keeping a record as JSON may have changed.
 */
export function judgeKeptConfig(
  key: string,
  record: ConfigRecord,
  offset: number,
  rules: ConfigRules,
): Judgement {
  return judgementOf(() => acceptRecord(key, record, offset, null, rules));
}

function judgementOf(accept: () => ReplicationConfig): Judgement {
  try {
    return { kind: 'accepted', config: accept() };
  } catch (error) {
    if (error instanceof RefusedRecordError) return { kind: 'refused', problem: error.problem };
    throw error;
  }
}

function acceptRecord(
  key: string,
  record: ConfigRecord,
  offset: number,
  previous: ReplicationConfig | null,
  rules: ConfigRules,
): ReplicationConfig {
  const id = parseId(record, key);
  const type = parseType(record, rules);
  assertKnownFields(record, type, rules);
  const datamartId = parseDatamartId(record);
  const version = parseVersion(record, type);
  const destination = parseDestination(record, type);
  const created = parseCreated(record);
  const last = previous?.created === created ? previous : null;
  const status = parseStatus(record, last?.status ?? null);
  const config: ReplicationConfig = {
    id,
    datamartId,
    datamart: datamartKey(datamartId),
    name: parseName(record, id),
    version,
    status,
    deferredStatus: null,
    type: type.type,
    filter: parseFilters(record.replication_filters),
    credentialsUri: parseCredentialsUri(record, id, rules),
    resume: parseResume(record),
    messageId: parseMetadata(record),
    userPointParent: parseUserPointParent(record, version),
    ordering: parseOrdering(record, type),
    orderingLanes: parseOrderingLanes(record),
    created,
    offset,
    activeSince: last?.status === 'ACTIVE' && status === 'ACTIVE' ? last.activeSince : offset,
    destination,
    destinationFields: fixedText(record, type.fields),
    exclusive: exclusiveOf(destination, type),
    record: record.status === 'ERROR' ? { ...record, status } : record,
  };
  const problem = last && changeProblem(last, config, type.fields);
  if (problem) throw new RefusedRecordError(problem);
  return config;
}

function parseDestination(record: ConfigRecord, type: DestinationType): unknown {
  const parsed = askAdapter(type, () => type.parseConfig(record));
  if ('problem' in parsed) throw new RefusedRecordError(parsed.problem);
  return parsed.config;
}

function exclusiveOf(destination: unknown, type: DestinationType): ReplicationConfig['exclusive'] {
  const { exclusive } = type;
  if (!exclusive) return null;
  return { field: exclusive.field, value: askAdapter(type, () => exclusive.value(destination)) };
}

/** An adapter that fails on a record must not end every instance that reads it: a third party's may. */
function askAdapter<T>({ type }: DestinationType, ask: () => T): T {
  try {
    return ask();
  } catch (error) {
    const kind = error instanceof Error ? error.name : typeof error;
    const message = `the adapter of ${type} can't read the record (${kind}); ask whoever maintains it`;
    throw refusal('config_unparseable', null, message);
  }
}
