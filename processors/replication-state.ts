import type { ReplicationConfig } from './replication-config.ts';

/** What a replication is seen to be, as status records, metrics and the API tell it. */
export const REPLICATION_STATES = ['PAUSED', 'ACTIVATING', 'ACTIVE', 'DETACHED', 'ERROR', 'DELETED'] as const;
export type ReplicationState = (typeof REPLICATION_STATES)[number];

/**
 * What was found out about one config record with one version of its credentials: the destination can be used, or it
 * can't. It says nothing about any other (PROTOCOL C1).
 */
export interface Verdict {
  readonly configOffset: number;
  /** Of sealed credentials the record's version; of a changed `file:` the time when it was seen; null for the first one. */
  readonly credentialsVersion: number | null;
  /** Null: the destination can be used. */
  readonly failure: {
    readonly reason: 'activation_failed' | 'destination_failed';
    readonly code: string;
    readonly message: string;
    readonly remedy: string | null;
  } | null;
}

/**
 * ```
 *                 check passed              a partition is detached
 *   ACTIVATING ───────────────▶ ACTIVE ◀────────────────────────────▶ DETACHED
 *    ▲  │  ▲                      │            all have caught up        │
 *    │  │  └── newer record ────┐ │ fault confirmed                      │ fault confirmed
 *    │  │      or credentials   │ ▼                                      │
 *    │  └─ check failed ──────▶ ERROR ◀──────────────────────────────────┘
 *    │ ACTIVE record              │
 *    └────────── PAUSED ◀─────────┴─────── PAUSED record, from any           null record, from any ──▶ DELETED
 * ```
 * An instance that hears of another's verdict before it reads the record skips ACTIVATING.
 */
export const REPLICATION_TRANSITIONS: Readonly<Record<ReplicationState, readonly ReplicationState[]>> = {
  PAUSED: ['ACTIVATING', 'ACTIVE', 'DETACHED', 'ERROR', 'DELETED'],
  ACTIVATING: ['ACTIVE', 'DETACHED', 'ERROR', 'PAUSED', 'DELETED'],
  ACTIVE: ['DETACHED', 'ERROR', 'ACTIVATING', 'PAUSED', 'DELETED'],
  DETACHED: ['ACTIVE', 'ERROR', 'ACTIVATING', 'PAUSED', 'DELETED'],
  ERROR: ['ACTIVATING', 'ACTIVE', 'DETACHED', 'PAUSED', 'DELETED'],
  DELETED: ['ACTIVATING', 'ACTIVE', 'DETACHED', 'ERROR', 'PAUSED'],
};

/**
 * The state of a replication, from what is desired and what was found out. `credentialsVersion` is that of its sealed
 * credentials, null without. Pure.
 */
export function replicationState(
  config: ReplicationConfig | null,
  verdict: Verdict | null,
  credentialsVersion: number | null,
  isDetached: boolean,
): ReplicationState {
  if (!config) return 'DELETED';
  if (config.status === 'PAUSED') return 'PAUSED';
  const current = verdict && verdictFor(config, verdict, credentialsVersion);
  if (!current) return 'ACTIVATING';
  if (current.failure) return 'ERROR';
  return isDetached ? 'DETACHED' : 'ACTIVE';
}

/**
 * The verdict if it speaks of this record, else null. A destination that could be used stays so while records change
 * other things and the replication remains ACTIVE; a failure ends with any newer record, and with newer credentials.
 */
export function verdictFor(
  config: ReplicationConfig,
  verdict: Verdict,
  credentialsVersion: number | null,
): Verdict | null {
  const isOfThisRecord = verdict.configOffset === config.offset;
  if (verdict.failure) {
    const isOfOlderCredentials = (verdict.credentialsVersion ?? 0) < (credentialsVersion ?? 0);
    // A record whose status waits doesn't say ACTIVE.
    const isWaiting = config.deferredStatus !== null && verdict.configOffset >= config.activeSince;
    return (isOfThisRecord || isWaiting) && !isOfOlderCredentials ? verdict : null;
  }
  const isSameActivation = verdict.configOffset >= config.activeSince && verdict.configOffset < config.offset;
  return isOfThisRecord || isSameActivation ? verdict : null;
}

/** Of two verdicts the one in force: the newer record's; of one record's the failure, whoever wrote it later. */
export function strongerVerdict(a: Verdict, b: Verdict): Verdict {
  if (a.configOffset !== b.configOffset) return a.configOffset > b.configOffset ? a : b;
  const [versionA, versionB] = [a.credentialsVersion ?? 0, b.credentialsVersion ?? 0];
  if (versionA !== versionB) return versionA > versionB ? a : b;
  return a.failure ? a : b;
}
