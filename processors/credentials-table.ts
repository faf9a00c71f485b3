import { holdSameCredentials, type SealedCredentials } from '../schemas/sealed-credentials.ts';
import { readCredentialsRecord, type CredentialsRecord } from './credentials-record.ts';

/** The version of the sealed credentials that a config names; null when it names none, or when there are none. */
export function sealedVersionOf(
  { id, credentialsUri }: { readonly id: string; readonly credentialsUri: string | null },
  credentials: { versionOf(replicationId: string): number | null },
): number | null {
  return credentialsUri === `sealed:${id}` ? credentials.versionOf(id) : null;
}

/**
 * The sealed credentials of all replications, as `replication-credentials` holds them: of each key the newest record,
 * also where that has a lower version. Opens nothing and holds no plaintext.
 */
export class CredentialsTable {
  readonly #records = new Map<string, CredentialsRecord>();

  /**
   * Applies one record; null deletes. `changed` when the credentials are others than before: a record that is only
   * wrapped under another key is taken over, and `unchanged`. Throws `StateTooNewError`.
   */
  apply(key: string, value: Buffer | null): 'changed' | 'unchanged' {
    if (value === null) return this.#records.delete(key) ? 'changed' : 'unchanged';
    const next = readCredentialsRecord(key, value);
    const previous = this.#records.get(key);
    this.#records.set(key, next);
    const isSame =
      previous?.kind === 'sealed' &&
      next.kind === 'sealed' &&
      holdSameCredentials(previous.credentials, next.credentials);
    return isSame ? 'unchanged' : 'changed';
  }

  /** The replication's record; null when there is none, or when it can't be read (`problemOf` says which). */
  get(replicationId: string): SealedCredentials | null {
    const record = this.#records.get(replicationId);
    return record?.kind === 'sealed' ? record.credentials : null;
  }

  /** Why the replication's record can't be read, in words without values; null when it can, or when there is none. */
  problemOf(replicationId: string): string | null {
    const record = this.#records.get(replicationId);
    return record?.kind === 'unreadable' ? record.problem : null;
  }

  /** The version of the replication's record, also of one that can't be read otherwise; null when none is known. */
  versionOf(replicationId: string): number | null {
    const record = this.#records.get(replicationId);
    if (record === undefined) return null;
    return record.kind === 'sealed' ? record.credentials.version : record.version;
  }

  /** Whether there is a record, also one that can't be read. */
  has(replicationId: string): boolean {
    return this.#records.has(replicationId);
  }

  /** The keys of all records, of those that can't be read too: a deleted replication's is to be shredded. */
  ids(): Iterable<string> {
    return this.#records.keys();
  }

  /** How many records can't be read. */
  get unreadable(): number {
    let count = 0;
    for (const { kind } of this.#records.values()) if (kind === 'unreadable') count += 1;
    return count;
  }
}
