import { gapJson, type GapJson } from '../processors/initial-sync/gap-finding.ts';
import type { ReplicationPlan, SyncPlan } from '../processors/initial-sync/sync-plan.ts';

/** What one replication would get. Null where an amount isn't known, or the destination isn't billed by it. */
export interface ReplicationPlanResource {
  readonly documents: Readonly<Record<string, number>>;
  readonly messages: number;
  readonly bytes: number;
  readonly requests: number | null;
  readonly billed_bytes: number | null;
  readonly throughput_unit_seconds: number | null;
  /** At the rate; null without one. */
  readonly seconds: number | null;
  readonly billed_events: number | null;
  /** Where the provider says by what it bills. */
  readonly billing_source: string | null;
  /** Of documents that were deleted in a gap, among the messages. */
  readonly deletions: Readonly<Record<string, number>>;
  /** Documents that the replication's schema can't hold. */
  readonly not_in_schema: number;
  readonly gap: GapJson | null;
}

/** A plan as the API answers it and the command prints it as JSON. */
export interface SyncPlanResource {
  readonly replications: Readonly<Record<string, ReplicationPlanResource>>;
  /** Operations per second and replication; null: as fast as it goes. */
  readonly rate: number | null;
  /** Rows that may be sent beside those, until compaction has removed them. */
  readonly superseded_rows: number;
  /** Rows of the snapshot that are no mutations, and are left out. */
  readonly unreadable_rows: number;
}

/** The plan with another rate. */
export function planAtRate(plan: SyncPlanResource, rate: number): SyncPlanResource {
  const replications = Object.entries(plan.replications).map(
    ([id, part]) => [id, { ...part, seconds: secondsOf(part.messages, rate) }] as const,
  );
  return { ...plan, rate, replications: Object.fromEntries(replications) };
}

export function syncPlanResource(plan: SyncPlan, rate: number | null): SyncPlanResource {
  const replications = [...plan.replications].map(([id, part]) => [id, partResource(part, rate)] as const);
  return {
    replications: Object.fromEntries(replications),
    rate,
    superseded_rows: plan.supersededRows,
    unreadable_rows: plan.unreadableRows,
  };
}

function partResource(
  { estimate, billingSource, gap }: ReplicationPlan,
  rate: number | null,
): ReplicationPlanResource {
  const { throughputUnitSeconds } = estimate;
  return {
    documents: Object.fromEntries(estimate.documents),
    messages: estimate.messages,
    bytes: estimate.bytes,
    requests: estimate.requests,
    billed_bytes: estimate.billedBytes,
    throughput_unit_seconds: throughputUnitSeconds === null ? null : Math.ceil(throughputUnitSeconds),
    seconds: rate === null ? null : secondsOf(estimate.messages, rate),
    billed_events: estimate.billedEvents,
    billing_source: billingSource,
    deletions: Object.fromEntries(estimate.deletions),
    not_in_schema: estimate.notInSchema,
    gap: gap && gapJson(gap),
  };
}

function secondsOf(messages: number, rate: number): number {
  return Math.ceil(messages / rate);
}
