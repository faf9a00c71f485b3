import { judgementNameOf, readJudgement, type StoredJudgement } from './config-judgement.ts';
import type { ReplicationState, Verdict } from './replication-state.ts';

/** The version of the records of `replication-status` that this program writes and the newest that it reads. */
const STATUS_VERSION = 1;

/** A record says more than this program understands: it must not go on (exit 1). */
export class StateTooNewError extends Error {
  override readonly name = 'StateTooNewError';
  /** `record`: its kind and key. */
  constructor(record: string, version: number, newestRead: number) {
    super(
      `state_too_new: the ${record} has version ${version}, this program reads up to ${newestRead}; ` +
        'run the release that wrote it, or a newer one',
    );
  }
}

/** What was observed of one replication. */
export interface ReplicationStatus {
  readonly replicationId: string;
  readonly datamartId: string;
  readonly state: ReplicationState;
  readonly verdict: Verdict | null;
  /** Since when the state holds, ms since 1970 UTC. */
  readonly since: number;
  readonly lostOffsets: number;
  /** The desired status that waits for the end of an initial synchronization; null when none does. */
  readonly deferredStatus: string | null;
}

/** How one partition stands for a replication: a report for people, never a place to start from. */
export interface PartitionReport {
  readonly replicationId: string;
  readonly topic: string;
  readonly partition: number;
  readonly state: 'ACTIVE' | 'DETACHED' | 'PAUSED' | 'STOPPED';
  /** The first offset not delivered. */
  readonly offset: number;
  /** The last interval that was not sent, `[from, to)`. */
  readonly gap: { readonly from: number; readonly to: number } | null;
  /** Offsets that retention took before they were delivered. */
  readonly lostOffsets: number;
}

export type StatusRecord =
  | { readonly kind: 'replication'; readonly status: ReplicationStatus }
  | { readonly kind: 'partition'; readonly report: PartitionReport }
  | { readonly kind: 'judgement'; readonly name: string; readonly judgement: StoredJudgement }
  | { readonly kind: 'other' };

/** The key of a replication's own record. */
export function replicationKey(id: string): string {
  return `replication/${id}`;
}

/** The key of a replication's report on one partition. */
export function partitionKey(id: string, topic: string, partition: number): string {
  return `replication/${id}/${topic}/${partition}`;
}

/** The bytes of a replication's record (CONTRACT: status records). */
export function writeReplicationStatus(status: ReplicationStatus, nowMs: number): Buffer {
  const { verdict } = status;
  const failure = status.state === 'ERROR' ? (verdict?.failure ?? null) : null;
  return json({
    replication_id: status.replicationId,
    datamart_id: status.datamartId,
    state: status.state,
    reason: failure?.reason ?? null,
    code: failure?.code ?? null,
    message: failure?.message ?? null,
    remedy: failure?.remedy ?? null,
    since: status.since,
    config_offset: verdict ? String(verdict.configOffset) : null,
    credentials_version: verdict?.credentialsVersion ?? null,
    deferred_status: status.deferredStatus,
    needs_initial_sync: status.lostOffsets > 0,
    lost_offsets: String(status.lostOffsets),
    updated_at: nowMs,
  });
}

/** The bytes of a report on one partition. */
export function writePartitionReport(
  report: PartitionReport,
  owner: string,
  generation: number,
  nowMs: number,
): Buffer {
  const { gap } = report;
  return json({
    replication_id: report.replicationId,
    topic: report.topic,
    partition: report.partition,
    state: report.state,
    offset: String(report.offset),
    gap: gap && { from: String(gap.from), to: String(gap.to) },
    lost_offsets: String(report.lostOffsets),
    owner,
    generation,
    updated_at: nowMs,
  });
}

/**
 * Reads a record of `replication-status`. One that can't be understood counts as absent: it is written anew.
 * Throws `StateTooNewError` for a record of a newer release.
 */
export function readStatusRecord(key: string, value: Buffer): StatusRecord {
  const other: StatusRecord = { kind: 'other' };
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(value.toString('utf8')) as Record<string, unknown>;
    if (typeof record !== 'object' || record === null) return other;
  } catch {
    return other;
  }
  if (typeof record.v === 'number' && record.v > STATUS_VERSION)
    throw new StateTooNewError(`status record ${key}`, record.v, STATUS_VERSION);
  const name = judgementNameOf(key);
  if (name !== null) {
    const judgement = readJudgement(record);
    return judgement ? { kind: 'judgement', name, judgement } : other;
  }
  const [prefix, id, topic, partition] = key.split('/');
  if (prefix !== 'replication' || id === undefined) return other;
  if (topic !== undefined && partition !== undefined) {
    const report = readReport(record, id, topic, Number(partition));
    return report ? { kind: 'partition', report } : other;
  }
  const { state } = record;
  if (typeof state !== 'string') return other;
  return {
    kind: 'replication',
    status: {
      replicationId: id,
      datamartId: text(record.datamart_id) ?? '',
      state: state as ReplicationState,
      verdict: readVerdict(record),
      since: typeof record.since === 'number' ? record.since : 0,
      lostOffsets: Number(text(record.lost_offsets) ?? 0),
      deferredStatus: text(record.deferred_status),
    },
  };
}

function readVerdict(record: Record<string, unknown>): Verdict | null {
  const configOffset = Number(text(record.config_offset) ?? NaN);
  if (!Number.isSafeInteger(configOffset)) return null;
  const credentialsVersion =
    typeof record.credentials_version === 'number' ? record.credentials_version : null;
  if (record.state === 'ACTIVE' || record.state === 'DETACHED')
    return { configOffset, credentialsVersion, failure: null };
  if (record.state !== 'ERROR') return null;
  return {
    configOffset,
    credentialsVersion,
    failure: {
      reason: record.reason === 'activation_failed' ? 'activation_failed' : 'destination_failed',
      code: text(record.code) ?? 'unknown',
      message: text(record.message) ?? '',
      remedy: text(record.remedy),
    },
  };
}

function readReport(
  record: Record<string, unknown>,
  replicationId: string,
  topic: string,
  partition: number,
): PartitionReport | null {
  const offset = Number(text(record.offset) ?? NaN);
  const { state } = record;
  const isKnown = state === 'ACTIVE' || state === 'DETACHED' || state === 'PAUSED' || state === 'STOPPED';
  if (!isKnown || !Number.isSafeInteger(offset) || !Number.isSafeInteger(partition)) return null;
  const gap = record.gap as { from?: unknown; to?: unknown } | null | undefined;
  const [from, to] = [Number(text(gap?.from) ?? NaN), Number(text(gap?.to) ?? NaN)];
  return {
    replicationId,
    topic,
    partition,
    state,
    offset,
    gap: Number.isSafeInteger(from) && Number.isSafeInteger(to) ? { from, to } : null,
    lostOffsets: Number(text(record.lost_offsets) ?? 0),
  };
}

function json(fields: Record<string, unknown>): Buffer {
  return Buffer.from(JSON.stringify({ v: STATUS_VERSION, ...fields }));
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
