/**
 * What may be asked of an initial synchronization and what is refused, as data: each rule of CONTRACT section 6, and rows
 * 36 to 38 of RELIABILITY section 7. The same cases are sent over the topic and over HTTP, where the path gives the
 * datamart and the id may be left out.
 */
import type { SyncProblemCode } from '../../processors/initial-sync/sync-problem.ts';

export interface RefusedSync {
  readonly what: string;
  /** Row of RELIABILITY section 7. */
  readonly row?: number;
  /** Beside `id` and `datamart_id`. */
  readonly request: Readonly<Record<string, unknown>>;
  readonly code: SyncProblemCode;
  readonly field: string | null;
  readonly offenders?: readonly string[];
}

/**
 * The situation: 80 and 81 are ACTIVE, 82 is PAUSED, 83 in ERROR, 84 DETACHED, 85 still ACTIVATING, 90 is of another
 * datamart, 99 of none. 81 was synchronized an hour ago.
 */
export const SITUATION = {
  datamartId: '1649',
  otherDatamartId: '1700',
  recentlySynchronized: '81',
} as const;

/** Refused by what the request itself says. */
export const MALFORMED_SYNCS: readonly RefusedSync[] = [
  ids('no list', '80'),
  ids('an empty list', []),
  ids('an id twice', ['80', '80']),
  ids('an id twice, once as a number', ['80', 80]),
  ids(
    '10,000 ids',
    Array.from({ length: 10_000 }, (_, n) => n),
  ),
  ids(
    '1,001 ids',
    Array.from({ length: 1_001 }, (_, n) => String(n)),
  ),
  ids('an id that is none', ['80', { id: 80 }]),
  ids('an id with a slash', ['80/81']),
  ids('an empty id', ['']),
  {
    what: 'a field that is none',
    request: { replication_id: '80' },
    code: 'unknown_field',
    field: 'replication_id',
  },
  parameter('a budget of 0', 'max_operations', 0),
  parameter('a budget that is a text', 'max_operations', '100'),
  parameter('a budget with a fraction', 'max_operations', 1.5),
];

/** Refused by what else there is. */
export const REFUSED_SYNCS: readonly RefusedSync[] = [
  unable('a replication that is not there', ['80', '99'], 'not_found', ['99']),
  unable('a replication of another datamart', ['80', '90'], 'not_found', ['90']),
  unable('a PAUSED replication', ['80', '82'], 'replication_not_active', ['82']),
  unable('a replication in ERROR', ['83', '80'], 'replication_not_active', ['83']),
  unable('a replication that is still checked', ['85'], 'replication_not_active', ['85']),
  unable('several that are not ACTIVE, all told', ['82', '80', '83'], 'replication_not_active', ['82', '83']),
  unable('several kinds, of which the first is told', ['99', '82', '81', '90'], 'not_found', ['99', '90']),
  { ...unable('one that was synchronized lately', ['80', '81'], 'sync_too_soon', ['81']), row: 37 },
  {
    what: 'every ACTIVE one, of which one was synchronized lately',
    row: 37,
    request: {},
    code: 'sync_too_soon',
    field: 'replication_ids',
    offenders: ['81'],
  },
  {
    ...unable('one that is not ACTIVE and one of lately', ['81', '82'], 'replication_not_active', ['82']),
    row: 36,
  },
];

function ids(what: string, replication_ids: unknown): RefusedSync {
  return {
    what: `replication_ids: ${what}`,
    row: 38,
    request: { replication_ids },
    code: 'invalid_replication_ids',
    field: 'replication_ids',
  };
}

function parameter(what: string, field: string, value: unknown): RefusedSync {
  return { what, request: { [field]: value }, code: 'invalid_parameter', field };
}

function unable(
  what: string,
  replication_ids: readonly string[],
  code: SyncProblemCode,
  offenders: readonly string[],
): RefusedSync {
  return { what, row: 36, request: { replication_ids }, code, field: 'replication_ids', offenders };
}
