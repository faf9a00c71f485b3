import type { ReplicationConfig } from '../processors/replication-config.ts';
import { SinkError, type Sink, type SinkAdapter } from '../sinks/sink.ts';
import { activationReport, type ActivationReport } from './activation-report.ts';
import { systemClock, type Clock } from './clock.ts';

/** CONTRACT section 7: a check takes no longer. */
const CHECK_DEADLINE_MS = 15_000;
/** A sink that hasn't ended its check this long after its signal is given up. */
const OVERTIME_MS = 500;

/** A sink that was found to work, and what was noticed on the way. */
export interface CheckedSink {
  readonly sink: Sink;
  readonly warnings: readonly string[];
}

/** Gives the text of a replication's credentials, null when it has none. Rejects with a `SinkError`. */
export type ReadCredentials = (signal: AbortSignal) => Promise<string | null>;

/**
 * Opens the replication's destination and tries it, publishing nothing, in 15 s at most. Rejects with a `SinkError`,
 * and has closed everything then; so it does when `signal` aborts.
 */
export async function openChecked(
  adapter: SinkAdapter,
  config: ReplicationConfig,
  readCredentials: ReadCredentials,
  signal: AbortSignal,
  clock: Clock,
): Promise<CheckedSink> {
  // Not AbortSignal.any: Node keeps such a signal for ever when a sink leaves its listener on it.
  const stop = new AbortController();
  const late = Promise.withResolvers<never>();
  let cancelTimer = (): void => undefined;
  const end = (reason: SinkError): void => {
    cancelTimer();
    stop.abort(reason);
    cancelTimer = clock.schedule(OVERTIME_MS, () => {
      late.reject(reason);
    });
  };
  const onAbort = (): void => {
    end(new SinkError('retriable', 'timeout', 'opening the destination was given up'));
  };
  cancelTimer = clock.schedule(CHECK_DEADLINE_MS, () => {
    end(new SinkError('retriable', 'timeout', 'opening the destination took too long'));
  });
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  const opening = open(adapter, config, readCredentials, stop.signal);
  try {
    return await Promise.race([opening, late.promise]);
  } catch (error) {
    // One that was given up may still come.
    void opening.then(({ sink }) => sink.close()).catch(() => undefined);
    throw asSinkError(error);
  } finally {
    cancelTimer();
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * Tries the replication's destination with these credentials (null: it has none) and closes it again. Publishes nothing,
 * takes 15 s at most. Never rejects.
 */
export async function checkDestination(
  adapter: SinkAdapter,
  config: ReplicationConfig,
  credentials: string | null,
  signal: AbortSignal,
  clock: Clock = systemClock,
): Promise<ActivationReport> {
  try {
    const read: ReadCredentials = () => Promise.resolve(credentials);
    const { sink, warnings } = await openChecked(adapter, config, read, signal, clock);
    // What it came to is known; a client that can't say goodbye changes nothing about it.
    await sink.close().catch(() => undefined);
    return activationReport(null, warnings);
  } catch (error) {
    return activationReport(asSinkError(error), []);
  }
}

async function open(
  adapter: SinkAdapter,
  config: ReplicationConfig,
  readCredentials: ReadCredentials,
  signal: AbortSignal,
): Promise<CheckedSink> {
  const credentials = checkedCredentials(adapter, config, await readCredentials(signal));
  signal.throwIfAborted();
  const { version, userPointParent, messageId, ordering, orderingLanes } = config;
  const sink = await adapter.open({
    config: config.destination,
    credentials,
    options: { version, userPointParent, messageId, ordering, orderingLanes },
  });
  try {
    const warnings = await sink.check(signal);
    signal.throwIfAborted();
    return { sink, warnings };
  } catch (error) {
    await sink.close();
    throw error;
  }
}

function checkedCredentials(
  adapter: SinkAdapter,
  config: ReplicationConfig,
  credentials: string | null,
): string | null {
  if (credentials === null) {
    if (adapter.credentials !== 'required') return null;
    throw new SinkError('fatal', 'credentials_missing', 'the replication has no credentials', {
      remedy: 'upload credentials for the replication, or set its credentials_uri',
    });
  }
  const problem = adapter.checkCredentials(credentials, config.destination);
  if (!problem) return credentials;
  throw new SinkError('fatal', 'credentials_invalid', `the credentials can't be used: ${problem.message}`, {
    remedy: 'upload the right credentials, or correct what credentials_uri names',
  });
}

function asSinkError(error: unknown): SinkError {
  if (error instanceof SinkError) return error;
  return new SinkError('retriable', 'unknown', 'opening the destination failed unexpectedly', {
    cause: error,
  });
}
