import { randomUUID } from 'node:crypto';
import {
  readCredentialsRecord,
  writeCredentialsRecord,
  type CredentialsRecord,
} from '../processors/credentials-record.ts';
import { StateTooNewError } from '../processors/status-record.ts';
import { holdSameCredentials, type SealedCredentials } from '../schemas/sealed-credentials.ts';
import { SinkError, type SinkErrorCode } from '../sinks/sink.ts';
import { backoffMs, type Random } from './backoff.ts';
import { sleep, type Clock } from './clock.ts';
import { GlobalTable } from './global-table.ts';
import type { ConsumedRecord, PartitionReader, ProducedRecord, Producer } from './kafka-port.ts';
import type { Logger } from './logger.ts';

/** So many records are written between two looks at the topic. */
const BATCH_RECORDS = 50;
const MOST_FAILURES = 6;
/** Marks the records that a rotation has written, with the run that did. */
const ROTATION_HEADER = 'credentials_rotation';

export interface CredentialsRotationOptions {
  /** `replication-credentials`. */
  readonly topic: string;
  readonly reader: PartitionReader;
  readonly producer: Producer;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /**
   * The same credentials under the current key; the very record when it is under it already. Throws a `SinkError` when
   * its data key can't be had.
   */
  readonly rewrap: (record: SealedCredentials) => SealedCredentials;
  /** Called now and then: so many records are settled, of so many. */
  readonly onProgress: (settled: number, total: number) => void;
}

/** Credentials that no key of the settings opens. */
export interface UnopenedCredentials {
  /** The record's key; whatever somebody wrote there. */
  readonly replicationId: string;
  /** The key they are under; null when the record can't be read. */
  readonly kekId: string | null;
  readonly code: SinkErrorCode;
  readonly message: string;
}

export interface RotationResult {
  /** Re-wrapped under the current key; in a dry run, what would be. */
  readonly rewrapped: number;
  readonly current: number;
  readonly unopened: readonly UnopenedCredentials[];
  /** Under a former key still, because the rotation was stopped. */
  readonly left: number;
}

type Held = CredentialsRecord | { readonly kind: 'deleted' };

/** What is known of one key of the topic. */
interface Entry {
  /** The newest that was uploaded or deleted: what must be in force. */
  readonly held: Held;
  /** Its bytes, should they have to be written again; null of a deletion. */
  readonly value: Buffer | null;
  /** A re-wrap of something older lies behind it on the topic. */
  isOverwritten: boolean;
  /** This run has re-wrapped it. */
  readonly isRewrapped: boolean;
  unopened: UnopenedCredentials | null;
}

/**
 * Re-wraps what is in `replication-credentials` under the current key. It reads the topic whole, and may run at any
 * time and again: it works only on what is under a former key.
 *
 * Kafka knows no conditional write, so an upload or a deletion can come between a look at the topic and the re-wrap of
 * what was seen. So it looks right before each write, and after it once more, past its own record: what is older in
 * content but newer on the topic is overwritten by the newer one again, a deletion by a deletion. A run that was killed
 * just there is made good by the next one, as long as compaction has left the newer record on the topic.
 */
export class CredentialsRotation {
  readonly #options: CredentialsRotationOptions;
  readonly #run = randomUUID();
  readonly #table: GlobalTable;
  readonly #entries = new Map<string, Entry>();
  /** Keys whose records haven't been looked at since they came. */
  readonly #unsettled = new Set<string>();
  #tooNew: StateTooNewError | null = null;

  constructor(options: CredentialsRotationOptions) {
    this.#options = options;
    this.#table = new GlobalTable({
      ...options,
      apply: (record) => {
        this.#apply(record);
      },
    });
  }

  /** Says what `rotate` would do. Rejects as that does. */
  async plan(signal: AbortSignal): Promise<RotationResult> {
    await this.#restore(signal);
    const { left, ...result } = this.#result();
    return { ...result, rewrapped: left, left: 0 };
  }

  /**
   * Re-wraps all that can be. After `signal` has aborted it re-wraps nothing more, and resolves once what it has
   * written is known to be right. Rejects with `StateTooNewError` for a record of a newer release, and when the topic
   * can't be read or written for long.
   */
  async rotate(signal: AbortSignal): Promise<RotationResult> {
    await this.#restore(signal);
    const following = new AbortController();
    const followed = this.#table.follow(following.signal);
    try {
      await this.#settleAll(signal);
    } finally {
      following.abort();
      await followed;
    }
    return this.#result();
  }

  async #restore(signal: AbortSignal): Promise<void> {
    await this.#table.restore(signal);
    if (this.#tooNew !== null) throw this.#tooNew;
  }

  async #settleAll(stop: AbortSignal): Promise<void> {
    const { topic, producer, clock, random, logger, onProgress } = this.#options;
    const never = new AbortController().signal;
    for (let failures = 0; ;) {
      try {
        await this.#table.caughtUp(never);
        if (this.#tooNew !== null) throw this.#tooNew;
        const writes = this.#nextWrites(stop.aborted);
        if (writes.length === 0) return;
        await producer.send(topic, writes);
        failures = 0;
        onProgress(this.#entries.size - this.#unsettled.size, this.#entries.size);
      } catch (error) {
        if (error === this.#tooNew) throw error;
        failures += 1;
        if (failures >= MOST_FAILURES) {
          const reason = error instanceof Error ? error.message : String(error);
          throw new Error(`rotating the keys of ${topic}: ${reason}; run it again`, { cause: error });
        }
        logger.debug({ topic, error }, 'a step of the rotation failed; trying again');
        await sleep(clock, backoffMs(failures, false, random), never);
      }
    }
  }

  /** What is to be written of the keys that aren't settled; after a stop only what was overwritten. */
  #nextWrites(isStopping: boolean): ProducedRecord[] {
    const writes: ProducedRecord[] = [];
    for (const key of this.#unsettled) {
      if (writes.length === BATCH_RECORDS) break;
      const entry = this.#entries.get(key);
      if (entry === undefined || (isStopping && !entry.isOverwritten)) continue;
      const rewrapped = this.#tryRewrap(key, entry);
      if (rewrapped !== null || entry.isOverwritten) {
        const value = rewrapped === null ? entry.value : writeCredentialsRecord(rewrapped);
        // Unsettled until it comes back with a look: also when the answer is lost and it was stored.
        writes.push({ key: Buffer.from(key), value, headers: { [ROTATION_HEADER]: this.#run } });
      } else this.#unsettled.delete(key);
    }
    return writes;
  }

  /** Null when there is nothing to re-wrap, or no way to. */
  #tryRewrap(key: string, entry: Entry): SealedCredentials | null {
    const { held } = entry;
    if (held.kind === 'deleted') return null;
    const note = (kekId: string | null, code: SinkErrorCode, message: string): null => {
      entry.unopened = { replicationId: key, kekId, code, message };
      return null;
    };
    if (held.kind === 'unreadable')
      return note(null, 'credentials_invalid', `the record can't be read: ${held.problem}`);
    const { credentials } = held;
    const { kekId, replicationId } = credentials;
    if (replicationId !== key)
      return note(kekId, 'credential_decrypt_failed', `the record was sealed for ${replicationId}`);
    try {
      const rewrapped = this.#options.rewrap(credentials);
      return rewrapped === credentials ? null : rewrapped;
    } catch (error) {
      if (!(error instanceof SinkError)) throw error;
      return note(kekId, error.code, error.message);
    }
  }

  #apply({ key: keyBytes, value, headers }: ConsumedRecord): void {
    const key = keyBytes?.toString('utf8') ?? '';
    let next: Held;
    try {
      next = value === null ? { kind: 'deleted' } : readCredentialsRecord(key, value);
    } catch (error) {
      if (!(error instanceof StateTooNewError)) throw error;
      this.#tooNew ??= error;
      return;
    }
    this.#unsettled.add(key);
    const entry = this.#entries.get(key);
    const isOwn = headers[ROTATION_HEADER]?.toString() === this.#run;
    const isRewrap = entry !== undefined && isSame(entry, next, value);
    if (entry !== undefined && !isRewrap && (isOwn || isOlder(next, entry.held))) {
      entry.isOverwritten = true;
      return;
    }
    this.#entries.set(key, {
      held: next,
      // A view on the fetch response.
      value: value === null ? null : Buffer.from(value),
      isOverwritten: false,
      isRewrapped: isRewrap && (entry.isRewrapped || (isOwn && isRewrapOf(next, entry.held))),
      unopened: null,
    });
  }

  #result(): RotationResult {
    let [rewrapped, current, left] = [0, 0, 0];
    const unopened: UnopenedCredentials[] = [];
    for (const [key, entry] of this.#entries) {
      if (entry.held.kind === 'deleted') continue;
      const isDue = this.#unsettled.has(key) && this.#tryRewrap(key, entry) !== null;
      if (entry.unopened !== null) unopened.push(entry.unopened);
      else if (isDue) left += 1;
      else if (entry.isRewrapped) rewrapped += 1;
      else current += 1;
    }
    return { rewrapped, current, unopened, left };
  }
}

/** The same credentials, whatever they are wrapped under. */
function isSame({ held, value }: Entry, next: Held, nextValue: Buffer | null): boolean {
  if (held.kind === 'sealed' && next.kind === 'sealed')
    return holdSameCredentials(held.credentials, next.credentials);
  if (held.kind !== next.kind) return false;
  return value === null || nextValue === null ? value === nextValue : value.equals(nextValue);
}

/** A version before the one held, with no deletion between them: nobody uploads that. */
function isOlder(next: Held, held: Held): boolean {
  return (
    next.kind === 'sealed' &&
    held.kind === 'sealed' &&
    next.credentials.datamartId === held.credentials.datamartId &&
    next.credentials.version < held.credentials.version
  );
}

function isRewrapOf(next: Held, held: Held): boolean {
  return (
    next.kind === 'sealed' && held.kind === 'sealed' && next.credentials.kekId !== held.credentials.kekId
  );
}
