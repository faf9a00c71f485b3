import { parseResume } from '../processors/config-fields.ts';
import { sealedVersionOf } from '../processors/credentials-table.ts';
import { desiredStatus } from '../processors/deferred-status.ts';
import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { DestinationType } from '../processors/replication-config.ts';
import { replicationState, verdictFor, type ReplicationState } from '../processors/replication-state.ts';
import type {
  ControlState,
  DesiredReplications,
  ObservedReplications,
  PartitionOffsets,
  SealedVersions,
} from './control-plane.ts';

/** How one partition stands for a replication. */
export interface PositionResource {
  readonly topic: string;
  readonly partition: number;
  readonly state: string;
  /** The first offset not delivered; null when the group has committed none. */
  readonly offset: string | null;
  readonly lag_records: number | null;
  /** The last interval that was not sent, `[from, to)`. */
  readonly gap: { readonly from: string; readonly to: string } | null;
}

/** What the processors see of a replication. */
export interface ObservedResource {
  readonly state: ReplicationState;
  readonly reason: string | null;
  readonly code: string | null;
  readonly message: string | null;
  readonly remedy: string | null;
  /** Since when the state holds, ms since 1970 UTC; null while no processor has said so. */
  readonly since: number | null;
  readonly deferred_status: string | null;
  readonly needs_initial_sync: boolean;
  readonly lost_offsets: string;
  /** Null when Kafka can't be asked. */
  readonly lag_records: number | null;
  readonly lag_seconds: number | null;
  /** Why the newest record on the control topic isn't in force; null when it is. */
  readonly refused: {
    readonly offset: string;
    readonly code: string;
    readonly field: string | null;
    readonly message: string;
    readonly time: number;
  } | null;
  readonly positions?: readonly PositionResource[];
}

export interface FilterResource {
  readonly id: string;
  readonly replication_id: string;
  readonly document: string;
  readonly filter: null;
}

/** A replication as the API answers it. Fields of other types are absent; those of its own type come with it. */
export interface ReplicationResource {
  readonly id: string;
  readonly version: 1 | 2;
  readonly status: 'ACTIVE' | 'PAUSED' | 'ERROR';
  readonly name: string;
  readonly type: string;
  readonly datamart_id: string;
  readonly credentials_uri?: string | null;
  readonly replication_filters: readonly FilterResource[] | null;
  readonly resume: 'WHERE_STOPPED' | 'NOW' | null;
  readonly metadata?: readonly string[];
  readonly user_point_parent?: boolean;
  readonly ordering?: boolean;
  readonly ordering_lanes?: number;
  readonly observed: ObservedResource;
  readonly [field: string]: unknown;
}

/** What the tables say of the replications, at one moment. */
export interface Observation {
  readonly replications: DesiredReplications;
  readonly status: ObservedReplications;
  readonly credentials: SealedVersions;
  /** Null when Kafka couldn't be asked. */
  readonly offsets: readonly PartitionOffsets[] | null;
}

/** Asks Kafka how far the group is. An answer without it is better than none: it never rejects. */
export async function observationOf(state: ControlState): Promise<Observation> {
  const { replications, status, credentials } = state;
  const offsets = await state.partitionOffsets().catch(() => null);
  return { replications, status, credentials, offsets };
}

/** The state of a replication, by what is desired and what was found out. */
export function observedState(
  config: ReplicationConfig,
  { status, credentials }: Pick<Observation, 'status' | 'credentials'>,
): ReplicationState {
  const isDetached = [...status.reports(config.id)].some(({ state }) => state === 'DETACHED');
  return replicationState(
    config,
    status.verdict(config.id),
    sealedVersionOf(config, credentials),
    isDetached,
  );
}

/** The JSON of one replication, its fields in the order of the documentation. Lists leave `positions` out. */
export function resourceOf(
  config: ReplicationConfig,
  observation: Observation,
  positions: 'withPositions' | 'withoutPositions',
): ReplicationResource {
  const type = observation.replications.rules.types.get(config.type);
  const observed = observedOf(config, observation, positions === 'withPositions');
  return {
    id: config.id,
    version: config.version,
    status: observed.state === 'ERROR' ? 'ERROR' : desiredStatus(config),
    name: config.name,
    type: config.type,
    datamart_id: config.datamartId,
    ...ownFields(config, type),
    ...(type?.credentials === 'none' ? {} : { credentials_uri: config.credentialsUri }),
    replication_filters: filtersOf(config),
    // As it was written: what holds while a status waits isn't to be written back.
    resume: parseResume(config.record),
    ...(type?.options.messageId ? { metadata: config.messageId ? ['message_id'] : [] } : {}),
    ...(config.version === 2 ? { user_point_parent: config.userPointParent } : {}),
    ...(type && type.options.ordering !== null ? { ordering: config.ordering } : {}),
    ...(type?.options.orderingLanes ? { ordering_lanes: config.orderingLanes } : {}),
    observed,
  };
}

/** The fields of the type, as the record says them. */
function ownFields(config: ReplicationConfig, type: DestinationType | undefined): Record<string, unknown> {
  const fields = (type?.fields ?? []).map((field) => [field, config.record[field] ?? null] as const);
  return Object.fromEntries(fields.filter(([, value]) => value !== null));
}

/** In the order of the record; a document that is named twice counts once. */
function filtersOf({ id, filter, record }: ReplicationConfig): readonly FilterResource[] | null {
  const { replication_filters: filters } = record;
  if (filter === null || !Array.isArray(filters)) return null;
  const documents = filters.map((entry: unknown) =>
    typeof entry === 'object' && entry !== null && 'document' in entry ? String(entry.document) : '',
  );
  return [...new Set(documents)].map((document, i) => ({
    id: String(i + 1),
    replication_id: id,
    document,
    filter: null,
  }));
}

function observedOf(
  config: ReplicationConfig,
  { replications, status, credentials, offsets }: Observation,
  hasPositions: boolean,
): ObservedResource {
  const written = status.status(config.id);
  const verdict = status.verdict(config.id);
  const state = observedState(config, { status, credentials });
  const isInForce = state === 'ERROR' && verdict !== null;
  const inForce = isInForce ? verdictFor(config, verdict, sealedVersionOf(config, credentials)) : null;
  const failure = inForce?.failure ?? null;
  const positions = positionsOf(config, state, status, offsets);
  const lostOffsets = written?.lostOffsets ?? 0;
  const refused = replications.judgement(config.id)?.refused ?? null;
  const lagRecords = state === 'PAUSED' ? 0 : sumOf(positions.map(({ lag_records: lag }) => lag));
  return {
    state,
    reason: failure?.reason ?? null,
    code: failure?.code ?? null,
    message: failure?.message ?? null,
    remedy: failure?.remedy ?? null,
    since: written?.state === state ? written.since : null,
    deferred_status: config.deferredStatus,
    needs_initial_sync: lostOffsets > 0,
    lost_offsets: String(lostOffsets),
    lag_records: offsets === null ? null : lagRecords,
    lag_seconds: lagRecords === 0 && offsets !== null ? 0 : lagSecondsOf(config, status, offsets),
    refused: refused && {
      offset: String(refused.offset),
      code: refused.code,
      field: refused.field,
      message: refused.message,
      time: refused.time,
    },
    ...(hasPositions ? { positions } : {}),
  };
}

function positionsOf(
  { id }: ReplicationConfig,
  state: ReplicationState,
  status: ObservedReplications,
  offsets: readonly PartitionOffsets[] | null,
): readonly PositionResource[] {
  const reports = new Map([...status.reports(id)].map((report) => [keyOf(report), report]));
  const known = offsets ?? [...reports.values()].map((report) => ({ ...report, committed: null, end: null }));
  return known.map(({ topic, partition, committed, end }) => {
    const report = reports.get(keyOf({ topic, partition }));
    // A report that says ACTIVE only tells of the last gap: the position is the group's.
    const isApart = report !== undefined && report.state !== 'ACTIVE';
    const offset = isApart ? report.offset : committed;
    return {
      topic,
      partition,
      state: isApart ? report.state : stateOfFollower(state),
      offset: offset === null ? null : String(offset),
      lag_records: offset === null || end === null ? null : Math.max(0, end - offset),
      gap: report?.gap ? { from: String(report.gap.from), to: String(report.gap.to) } : null,
    };
  });
}

/** Of a partition that has no position of its own: what the replication as a whole is. */
function stateOfFollower(state: ReplicationState): string {
  if (state === 'ERROR') return 'STOPPED';
  return state === 'DETACHED' ? 'ACTIVE' : state;
}

/** Null when one is apart from the group: nobody stores when the record at its position came. */
function lagSecondsOf(
  { id }: ReplicationConfig,
  status: ObservedReplications,
  offsets: readonly PartitionOffsets[] | null,
): number | null {
  if (offsets === null) return null;
  if ([...status.reports(id)].some(({ state }) => state !== 'ACTIVE')) return null;
  const lags = offsets.map(({ lagMs }) => lagMs);
  return lags.every((lag) => lag !== null) ? Math.max(0, ...lags) / 1_000 : null;
}

function sumOf(values: readonly (number | null)[]): number | null {
  let sum = 0;
  for (const value of values) {
    if (value === null) return null;
    sum += value;
  }
  return sum;
}

function keyOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${topic}/${partition}`;
}
