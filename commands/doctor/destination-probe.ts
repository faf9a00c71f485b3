import type { CredentialsResolver } from '../../sinks/credentials.ts';
import type { SinkRegistry } from '../../sinks/registry.ts';
import { SinkError, type Sink } from '../../sinks/sink.ts';
import type { DestinationProbe, DestinationReport } from './destinations.ts';

const DEADLINE_MS = 15_000;

/** Tries destinations as an activation does: credentials, client, check; and closes them again. */
export function destinationProbe(
  sinks: () => SinkRegistry,
  credentials: CredentialsResolver,
): DestinationProbe {
  return async (config, signal) => {
    let sink: Sink | null = null;
    try {
      const adapter = sinks().get(config.type);
      if (!adapter) throw new SinkError('fatal', 'unknown', `no sink of type ${config.type} is enabled`);
      const within = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]);
      const { version, userPointParent, messageId, ordering, orderingLanes, credentialsUri } = config;
      const text = credentialsUri === null ? null : (await credentials.resolve(credentialsUri, within)).text;
      if (text === null && adapter.credentials === 'required')
        throw new SinkError('fatal', 'credentials_missing', 'the replication has no credentials', {
          remedy: 'upload credentials for the replication, or set its credentials_uri',
        });
      const problem = text === null ? null : adapter.checkCredentials(text, config.destination);
      if (problem)
        throw new SinkError('fatal', 'credentials_invalid', problem.message, {
          remedy: 'upload the right credentials, or correct what credentials_uri names',
        });
      sink = await adapter.open({
        config: config.destination,
        credentials: text,
        options: { version, userPointParent, messageId, ordering, orderingLanes },
      });
      const warnings = await sink.check(within);
      return { code: 'ok', message: 'the destination can be used', remedy: null, warnings };
    } catch (error) {
      return failureOf(error);
    } finally {
      // What it came to is known; a client that can't say goodbye changes nothing about it.
      await sink?.close().catch(() => undefined);
    }
  };
}

function failureOf(error: unknown): DestinationReport {
  if (error instanceof SinkError)
    return { code: error.code, message: error.message, remedy: error.remedy, warnings: [] };
  const reason = error instanceof Error ? error.message : String(error);
  return {
    code: 'unknown',
    message: `opening the destination failed: ${reason}`,
    remedy: null,
    warnings: [],
  };
}
