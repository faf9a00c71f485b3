import type { Route } from '../../processors/datamart-plan.ts';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import type { ReplicationTable } from '../../processors/replication-table.ts';
import { ALL_DOCUMENT_TYPES } from '../../schemas/document-type.ts';
import type { MutationView } from '../../schemas/mutation.ts';

/** Who gets a dead letter. */
export interface RedriveTarget {
  readonly config: ReplicationConfig;
  readonly route: Route;
}

/**
 * Why a replication doesn't get one.
 * - `other_datamart`: it was deleted and made anew for another datamart since.
 * - `not_wanted`: its filter doesn't select the document, or its schema can't hold it; nobody does, when it has no id.
 */
export type LeftOutReason = 'unknown_replication' | 'paused' | 'other_datamart' | 'not_wanted';

export interface RedriveDecision {
  readonly targets: readonly RedriveTarget[];
  readonly leftOut: readonly { readonly replicationId: string | null; readonly reason: LeftOutReason }[];
}

/** Who gets the mutation of a dead letter: the replication it names, or all that want it when it names none. Pure. */
export function redriveTargets(
  named: string | null,
  mutation: MutationView,
  table: ReplicationTable,
): RedriveDecision {
  return named === null ? allWanted(mutation, table) : onlyNamed(named, mutation, table);
}

function onlyNamed(
  id: string,
  { datamart, docType }: MutationView,
  table: ReplicationTable,
): RedriveDecision {
  const leftOut = (reason: LeftOutReason): RedriveDecision => ({
    targets: [],
    leftOut: [{ replicationId: id, reason }],
  });
  const config = table.get(id);
  if (!config) return leftOut('unknown_replication');
  if (config.datamart !== datamart) return leftOut('other_datamart');
  if (config.status === 'PAUSED') return leftOut('paused');
  const route = table
    .plan(datamart)
    .routesOf[docType]?.find(({ replications }) => replications.includes(config));
  return route ? { targets: [{ config, route }], leftOut: [] } : leftOut('not_wanted');
}

function allWanted({ datamart, docType }: MutationView, table: ReplicationTable): RedriveDecision {
  const routes = table.has(datamart) ? (table.plan(datamart).routesOf[docType] ?? []) : [];
  const targets = routes.flatMap((route) => route.replications.map((config) => ({ config, route })));
  const paused = [...table.all()].filter(
    ({ datamart: of, status, filter }) =>
      of === datamart && status === 'PAUSED' && ((filter ?? ALL_DOCUMENT_TYPES) & (1 << docType)) !== 0,
  );
  if (targets.length + paused.length === 0)
    return { targets, leftOut: [{ replicationId: null, reason: 'not_wanted' }] };
  return { targets, leftOut: paused.map(({ id }) => ({ replicationId: id, reason: 'paused' })) };
}
