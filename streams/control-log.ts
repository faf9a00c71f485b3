import { sleep, type Clock } from './clock.ts';
import type { ControlTables, ControlTopics } from './control-tables.ts';
import type { Producer } from './kafka-port.ts';

/** CONTRACT section 8: an answer waits no longer for the instance's own table. */
const CONFIRMATION_MS = 10_000;

/** The record was written, or may have been, and this instance has not read it in time: it may still take effect. */
export class NotConfirmedError extends Error {
  override readonly name = 'NotConfirmedError';
}

export interface ControlLogOptions {
  readonly topics: Pick<
    ControlTopics,
    'replicationConfig' | 'replicationCredentials' | 'initialSyncRequests'
  >;
  readonly producer: Producer;
  readonly tables: ControlTables;
  readonly clock: Clock;
}

/**
 * Writes what is desired, and waits until this instance's own tables hold it: who has written reads it afterwards.
 *
 * Each resolves with the record's offset. They reject with `NotConfirmedError` after 10 s, and with Kafka's error when
 * the record can't be stored.
 */
export class ControlLog {
  readonly #options: ControlLogOptions;

  constructor(options: ControlLogOptions) {
    this.#options = options;
  }

  /** Desired state of a replication; null deletes it. */
  writeConfig(id: string, record: Readonly<Record<string, unknown>> | null): Promise<number> {
    const { topics, tables } = this.#options;
    const value = record && Buffer.from(JSON.stringify(record));
    return this.#write(topics.replicationConfig, id, value, (offset, signal) =>
      tables.configApplied(offset, signal),
    );
  }

  /** Sealed credentials of a replication; null destroys them. */
  writeCredentials(id: string, record: Buffer | null): Promise<number> {
    const { topics, tables } = this.#options;
    return this.#write(topics.replicationCredentials, id, record, (offset, signal) =>
      tables.credentialsApplied(offset, signal),
    );
  }

  /** A launch or a cancel of an initial synchronization. */
  writeSyncRequest(id: string, record: Readonly<Record<string, unknown>>): Promise<number> {
    const { topics, tables } = this.#options;
    const value = Buffer.from(JSON.stringify(record));
    return this.#write(topics.initialSyncRequests, id, value, (offset, signal) =>
      tables.requestApplied(offset, signal),
    );
  }

  async #write(
    topic: string,
    key: string,
    value: Buffer | null,
    applied: (offset: number, signal: AbortSignal) => Promise<void>,
  ): Promise<number> {
    const { producer, clock } = this.#options;
    const done = new AbortController();
    const late = sleep(clock, CONFIRMATION_MS, done.signal).then(() => {
      if (!done.signal.aborted)
        throw new NotConfirmedError(`writing to ${topic}: not confirmed in ${CONFIRMATION_MS / 1_000} s`);
    });
    late.catch(() => undefined);
    const writing = producer.send(topic, [{ key: Buffer.from(key), value, headers: {} }]);
    const written = writing.then(async ([batch]) => {
      const offset = batch?.baseOffset ?? -1;
      await applied(offset, done.signal);
      return offset;
    });
    written.catch(() => undefined);
    try {
      return await Promise.race([written, late.then(() => -1)]);
    } finally {
      done.abort();
    }
  }
}
