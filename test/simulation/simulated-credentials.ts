import { writeCredentialsRecord } from '../../processors/credentials-record.ts';
import type { CredentialsTable } from '../../processors/credentials-table.ts';
import { sealedCredentials, type CredentialsResolver } from '../../sinks/credentials.ts';
import { KeyRing, sealCredentials } from '../../sinks/sealed-credentials.ts';
import type { Chance } from './chance.ts';

/** What was uploaded for one replication. */
interface Uploads {
  /** Counts them, from 1. */
  newest: number;
  isNewestThere: boolean;
  /** Texts that the destination takes. */
  readonly accepted: Set<string>;
}

/**
 * The credentials of the replications of one simulated world: sealed as the API seals them, and which of them their
 * destinations take. Those of a replication without any aren't asked for.
 */
export class SimulatedCredentials {
  readonly #chance: Chance;
  readonly #now: () => number;
  readonly #keys = new KeyRing({ key: Buffer.alloc(32, 1), oldKeys: [] });
  readonly #uploads = new Map<string, Uploads>();

  constructor(chance: Chance, now: () => number) {
    this.#chance = chance;
    this.#now = now;
  }

  /** The replication's next version, as it is stored; `isGood`: its destination takes it, beside those that it took before. */
  upload(replicationId: string, datamartId: string, isGood: boolean): Buffer {
    const uploads = this.#uploadsOf(replicationId);
    const version = uploads.newest + 1;
    uploads.newest = version;
    uploads.isNewestThere = true;
    const text = textOf(replicationId, version);
    if (isGood) uploads.accepted.add(text);
    const sealed = sealCredentials({ replicationId, datamartId, version }, text, {
      keys: this.#keys,
      randomBytes: (size) => Buffer.from(Array.from({ length: size }, () => this.#chance.between(0, 255))),
      now: this.#now,
    });
    return writeCredentialsRecord(sealed);
  }

  /** The destination takes none of those before the newest any more, or none at all. */
  revoke(replicationId: string, what: 'former' | 'all'): void {
    const { newest, accepted } = this.#uploadsOf(replicationId);
    const kept = what === 'former' ? textOf(replicationId, newest) : null;
    for (const text of accepted) if (text !== kept) accepted.delete(text);
  }

  /** The record was destroyed. */
  shredded(replicationId: string): void {
    this.#uploadsOf(replicationId).isNewestThere = false;
  }

  /** The version of the record that is stored; null when there is none. */
  versionOf(replicationId: string): number | null {
    const { newest, isNewestThere } = this.#uploadsOf(replicationId);
    return isNewestThere ? newest : null;
  }

  /** Whether the record that is stored opens the destination. */
  areGood(replicationId: string): boolean {
    const { newest, isNewestThere, accepted } = this.#uploadsOf(replicationId);
    return isNewestThere && accepted.has(textOf(replicationId, newest));
  }

  /** Whether the destination takes this text, null being none. */
  isAccepted(replicationId: string, text: string | null): boolean {
    return text === null || this.#uploadsOf(replicationId).accepted.has(text);
  }

  /** Opens what an instance has read. */
  resolver(records: CredentialsTable): CredentialsResolver {
    return sealedCredentials({ records, keys: this.#keys });
  }

  #uploadsOf(replicationId: string): Uploads {
    const uploads = this.#uploads.get(replicationId) ?? {
      newest: 0,
      isNewestThere: false,
      accepted: new Set(),
    };
    this.#uploads.set(replicationId, uploads);
    return uploads;
  }
}

function textOf(replicationId: string, version: number): string {
  return `version ${version} of ${replicationId}`;
}
