import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { CredentialsResolver } from '../sinks/credentials.ts';
import type { SinkRegistry } from '../sinks/registry.ts';
import { SinkError } from '../sinks/sink.ts';
import { activationReport, type ActivationReport } from '../streams/activation-report.ts';
import { checkDestination } from '../streams/destination-check.ts';

/** Opens a replication's destination, tries it without publishing, and closes it. Never rejects. */
export type DestinationProbe = (
  config: ReplicationConfig,
  /** The text of other credentials than the config names; null takes those. */
  credentials: string | null,
  signal: AbortSignal,
) => Promise<ActivationReport>;

/** Tries destinations as an activation does. */
export function destinationProbe(
  sinks: () => SinkRegistry,
  resolver: () => CredentialsResolver,
): DestinationProbe {
  return async (config, credentials, signal) => {
    const { id, datamartId, credentialsUri } = config;
    try {
      const adapter = sinks().get(config.type);
      if (!adapter) throw new SinkError('fatal', 'unknown', `no sink of type ${config.type} is enabled`);
      const named = { uri: credentialsUri ?? '', replicationId: id, datamartId };
      const text =
        credentials ?? (credentialsUri === null ? null : (await resolver().resolve(named, signal)).text);
      return await checkDestination(adapter, config, text, signal);
    } catch (error) {
      return activationReport(asSinkError(error), []);
    }
  };
}

function asSinkError(error: unknown): SinkError {
  if (error instanceof SinkError) return error;
  return new SinkError('retriable', 'unknown', 'reading the credentials failed unexpectedly', {
    cause: error,
  });
}
