import type { ReplicationConfig } from '../processors/replication-config.ts';
import { ApiError } from './api-error.ts';
import type { DestinationChecker } from './control-plane.ts';

/** A destination's check ends by itself after 15 s; one that doesn't is given up. */
const CHECK_DEADLINE_MS = 20_000;

/**
 * Tries the destination with the credentials that `config` names, or with new ones. Rejects with an `ApiError`:
 * `credentials_missing`, or `activation_failed` with the destination's code.
 */
export async function assertDestinationWorks(
  checker: DestinationChecker,
  config: ReplicationConfig,
  credentials: string | null,
): Promise<void> {
  const refusal = await checker.check(config, credentials, AbortSignal.timeout(CHECK_DEADLINE_MS));
  if (refusal === null) return;
  const { code, message, remedy } = refusal;
  if (code === 'credentials_missing') throw missingCredentials();
  throw new ApiError('activation_failed', `the destination can't be used: ${message}`, {
    hint: remedy,
    details: { code, message, remedy },
  });
}

/** Activating needs credentials first. */
export function missingCredentials(): ApiError {
  return new ApiError('credentials_missing', 'the replication has no credentials', {
    field: 'credentials_uri',
    hint: 'upload them: POST …/replications/:replicationId/credentials, with the file as the form’s part `file`',
  });
}
