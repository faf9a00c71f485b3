/**
 * One version of a replication's credentials as `replication-credentials` holds it (CONTRACT section 7): encrypted under
 * a data key of its own, which is encrypted ("wrapped") under a key-encryption key.
 */
export interface SealedCredentials {
  readonly replicationId: string;
  readonly datamartId: string;
  /** Counts uploads, from 1. A re-wrap keeps it. */
  readonly version: number;
  /** Names the key-encryption key: the first 16 hex digits of its SHA-256. */
  readonly kekId: string;
  /** The data key under the key-encryption key, with its IV and tag. */
  readonly wrappedKey: Buffer;
  readonly wrapIv: Buffer;
  readonly wrapTag: Buffer;
  /** The credentials under the data key, with their IV and tag. */
  readonly iv: Buffer;
  readonly tag: Buffer;
  readonly ciphertext: Buffer;
  /** When they were sealed, in ms since 1970 UTC. For people only: nothing vouches for it. */
  readonly createdAt: number;
}

/** Credentials that are longer, as UTF-8, are neither sealed nor read. */
export const MAX_CREDENTIALS_BYTES = 16 * 1024;

/** True when both hold the very same credentials; what they are wrapped under doesn't count. */
export function holdSameCredentials(a: SealedCredentials, b: SealedCredentials): boolean {
  return (
    a.replicationId === b.replicationId &&
    a.datamartId === b.datamartId &&
    a.version === b.version &&
    a.iv.equals(b.iv) &&
    a.tag.equals(b.tag) &&
    a.ciphertext.equals(b.ciphertext)
  );
}
