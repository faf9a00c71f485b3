import type { ConfigProblem } from './config-problem.ts';
import type { ReplicationConfig } from './replication-config.ts';

/** The replications in force beside a candidate; the candidate's own predecessor may be among them. */
export interface Neighbours {
  /** Of the candidate's datamart. */
  readonly ofDatamart: readonly ReplicationConfig[];
  readonly all: Iterable<ReplicationConfig>;
}

/**
 * What forbids a valid record beside the replications that are in force; null when nothing does: a datamart has at
 * most `maxPerDatamart` replications, and some destinations (a file) belong to one replication alone. Who is in force
 * stays so, also when the limit is lowered. Pure.
 */
export function neighbourProblem(
  candidate: ReplicationConfig,
  { ofDatamart, all }: Neighbours,
  maxPerDatamart: number,
): ConfigProblem | null {
  const isNew = ofDatamart.every(({ id }) => id !== candidate.id);
  if (isNew && ofDatamart.length >= maxPerDatamart) {
    return {
      code: 'too_many_replications',
      field: 'datamart_id',
      message: `a datamart has at most ${maxPerDatamart} replications; delete one first`,
      hint: 'an operator raises the limit with LIMITS_REPLICATIONS_PER_DATAMART',
    };
  }
  const { exclusive } = candidate;
  if (exclusive === null) return null;
  for (const other of all) {
    if (other.id === candidate.id || other.type !== candidate.type) continue;
    if (other.exclusive?.field !== exclusive.field || other.exclusive.value !== exclusive.value) continue;
    // Another customer's replication isn't named.
    const holder =
      other.datamartId === candidate.datamartId ? `replication ${other.id}` : 'another replication';
    return {
      code: `invalid_${exclusive.field}`,
      field: exclusive.field,
      message: `${exclusive.field} is in use by ${holder}; choose another one`,
    };
  }
  return null;
}
