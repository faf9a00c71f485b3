import type { StatusDeferral } from './initial-sync/execution.ts';
import type { ReplicationConfig } from './replication-config.ts';
import { identityHash } from './replication-identity.ts';

/**
 * The config as it holds while an initial synchronization of its datamart goes on: a status that a record at or beyond
 * the execution's config offset wants waits for the end, and so stops nothing; everything else in the record holds.
 *
 * It follows from the record and the execution alone, so all instances agree, whichever of the two they read first, and
 * whatever compaction has left of the records between. A replication that was created meanwhile begins PAUSED. Pure.
 */
export function withDeferredStatus(
  config: ReplicationConfig,
  deferral: StatusDeferral | null,
): ReplicationConfig {
  if (!deferral || config.offset < deferral.configOffset) return config;
  const found = deferral.active.get(config.id);
  const wasActive = found?.identity === identityHash(config);
  if (!wasActive) {
    if (config.status === 'PAUSED') return config;
    return { ...config, status: 'PAUSED', deferredStatus: config.status, activeSince: config.offset };
  }
  const { since: activeSince } = found;
  if (config.status === 'ACTIVE') return { ...config, activeSince };
  // An instance that has read the record before the execution has stopped: what it missed since is sent.
  return {
    ...config,
    status: 'ACTIVE',
    deferredStatus: config.status,
    activeSince,
    resume: 'WHERE_STOPPED',
  };
}

/** The status that people want, whether it holds already or waits. */
export function desiredStatus({ status, deferredStatus }: ReplicationConfig): ReplicationConfig['status'] {
  return deferredStatus ?? status;
}
