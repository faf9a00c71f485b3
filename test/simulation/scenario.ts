import { MAX_METADATA_LENGTH } from '../../streams/commit-metadata.ts';
import type { Chance } from './chance.ts';

export const FAULTS = [
  'kills',
  'stops',
  'freezes',
  'consumer crashes',
  'network',
  'cut off',
  'no coordinator',
  'too few replicas',
  'moods',
  'configs',
  'retention',
  'unreadable',
  'rejections',
  'clocks',
  'paused machines',
  'credentials',
  'lost metadata',
  'added partition',
  'initial syncs',
  'compaction',
] as const;
export type Fault = (typeof FAULTS)[number];

const OF_THE_SNAPSHOT: ReadonlySet<Fault> = new Set(['initial syncs', 'compaction']);

/** How many worlds have a fault, beside the others, where that is not all of its share. */
const RARITY: Partial<Readonly<Record<Fault, number>>> = {
  retention: 0.25,
  clocks: 0.25,
  'paused machines': 0.25,
  credentials: 0.5,
  'lost metadata': 0.4,
  'added partition': 0.4,
};

/** What one seed makes of a world. */
export interface Scenario {
  readonly partitions: number;
  readonly instances: number;
  readonly replications: number;
  readonly windowRecords: number;
  readonly memoryBytes: number;
  readonly detachAfterMs: number;
  readonly maxFetch: number;
  readonly maxRecords: number;
  /** What the metadata of a commit take at the most: beyond it positions go into a list. */
  readonly maxMetadataLength: number;
  /** How long mutations come and faults happen. */
  readonly activeMs: number;
  /** Between two mutations, on average. */
  readonly everyMs: number;
  readonly valueBytes: number;
  /** Activities of each user. */
  readonly documents: number;
  /** How many mutations are deletions. */
  readonly deletions: number;
  /** Operations a second and replication of an initial synchronization; null: as fast as it goes. */
  readonly maxSyncRate: number | null;
  readonly faults: ReadonlySet<Fault>;
  /** Between two faults, on average. */
  readonly faultEveryMs: number;
  /** How often the coordinator takes seconds to say what is committed. */
  readonly slowClaims: number;
  /** The first replication is left alone, and must never wait for others. */
  readonly isIsolated: boolean;
  /** The processors keep the snapshot. */
  readonly hasSnapshot: boolean;
}

/**
 * Each seed has some of the faults, so that no fault hides behind the others; every other one keeps the snapshot, which
 * would have to be moved to another topic where partitions are added.
 */
export function scenarioOf(seed: number, chance: Chance): Scenario {
  const isIsolated = chance.is(0.15);
  const hasSnapshot = seed % 2 === 1;
  const allowed: readonly Fault[] = isIsolated
    ? ['moods', 'configs', 'credentials', 'rejections', 'unreadable']
    : FAULTS.filter((fault) => (hasSnapshot ? fault !== 'added partition' : !OF_THE_SNAPSHOT.has(fault)));
  const share = chance.of([0.25, 0.5, 0.8]);
  const faults = new Set(allowed.filter((fault) => chance.is(share * (RARITY[fault] ?? 1))));
  if (isIsolated) faults.add('moods');
  const hasSyncs = hasSnapshot && !isIsolated && chance.is(0.7);
  if (!hasSyncs) faults.delete('initial syncs');
  if (hasSyncs) faults.add('initial syncs');
  if (hasSyncs && chance.is(0.5)) faults.add('configs');
  return {
    partitions: chance.between(1, 3),
    instances: isIsolated ? 1 : chance.between(1, 3),
    replications: chance.between(isIsolated ? 2 : 1, 4),
    windowRecords: chance.of(isIsolated ? [60, 200, 1_000] : [5, 20, 60, 1_000]),
    memoryBytes: chance.of([16, 16, 64]) * 1024 * 1024,
    detachAfterMs: chance.of([1_000, 3_000, 10_000, 30_000]),
    maxFetch: chance.of(isIsolated ? [10, 50] : [1, 4, 10, 50]),
    maxRecords: chance.of([1, 3, 10, 1_000]),
    // Without positions they have 61 characters, and each position takes some eight.
    maxMetadataLength: chance.of([MAX_METADATA_LENGTH, MAX_METADATA_LENGTH, MAX_METADATA_LENGTH, 80, 65]),
    activeMs: chance.between(40, 120) * 1_000,
    documents: hasSyncs ? 30 : 2,
    deletions: hasSyncs ? 0.25 : 0.1,
    maxSyncRate: hasSyncs && chance.is(0.4) ? chance.of([5, 20, 100]) : null,
    everyMs: chance.of(isIsolated ? [250, 500] : [100, 250, 500]),
    valueBytes: chance.is(0.1) ? 30_000 : 10,
    faults,
    faultEveryMs: chance.of([2_000, 5_000, 12_000]),
    slowClaims: !isIsolated && chance.is(0.25) ? 0.5 : 0,
    isIsolated,
    hasSnapshot,
  };
}
