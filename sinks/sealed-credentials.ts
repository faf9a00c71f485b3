import { createCipheriv, createDecipheriv, createHash, createSecretKey, type KeyObject } from 'node:crypto';
import { MAX_CREDENTIALS_BYTES, type SealedCredentials } from '../schemas/sealed-credentials.ts';
import { SinkError } from './sink.ts';

const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** Without the separator, so that no two owners have the same additional data. */
const OWNER_ID = /^[A-Za-z0-9_.-]{1,64}$/;

/** Whose credentials they are: what is sealed for one owner doesn't open for another. */
export interface CredentialsOwner {
  readonly datamartId: string;
  readonly replicationId: string;
  /** Counts uploads, from 1. */
  readonly version: number;
}

/** Where keys and IVs come from; `randomBytes` of `node:crypto` in production. */
export type RandomBytes = (size: number) => Buffer;

/** The name that a record gives its key-encryption key: the first 16 hex digits of the key's SHA-256. */
export function kekIdOf(key: Buffer): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 16);
}

/** The key-encryption keys of the settings: one that seals, and former ones that still open. Prints as nothing. */
export class KeyRing {
  /** The key that seals; null when none is set. */
  readonly currentId: string | null;
  readonly #keys = new Map<string, KeyObject>();

  /** Of 32 bytes each. */
  constructor({ key, oldKeys }: { readonly key: Buffer | null; readonly oldKeys: readonly Buffer[] }) {
    this.currentId = key === null ? null : kekIdOf(key);
    for (const each of key === null ? oldKeys : [key, ...oldKeys])
      this.#keys.set(kekIdOf(each), createSecretKey(each));
  }

  /** The key of that name; null when it isn't set. */
  find(kekId: string): KeyObject | null {
    return this.#keys.get(kekId) ?? null;
  }

  /** The key that seals. Throws a `SinkError` when none is set. */
  get current(): { readonly id: string; readonly key: KeyObject } {
    const key = this.currentId === null ? null : this.find(this.currentId);
    if (this.currentId !== null && key !== null) return { id: this.currentId, key };
    throw new SinkError('fatal', 'credential_decrypt_failed', 'CREDENTIALS_KEY is not set', {
      remedy: 'set CREDENTIALS_KEY',
    });
  }
}

/**
 * Encrypts credentials under a fresh data key, and that under the current key-encryption key. Both are bound to the
 * owner. Throws a `SinkError` when no key is set, or for a text that is empty or longer than 16 KiB.
 */
export function sealCredentials(
  owner: CredentialsOwner,
  text: string,
  {
    keys,
    randomBytes,
    now,
  }: { readonly keys: KeyRing; readonly randomBytes: RandomBytes; readonly now: () => number },
): SealedCredentials {
  const additionalData = additionalDataOf(owner);
  const { id, key } = keys.current;
  const plaintext = Buffer.from(text, 'utf8');
  const dataKey = randomBytes(KEY_BYTES);
  try {
    if (plaintext.length === 0 || plaintext.length > MAX_CREDENTIALS_BYTES) {
      const reason = `credentials are 1 to ${MAX_CREDENTIALS_BYTES} bytes long`;
      throw new SinkError('fatal', 'credentials_invalid', `sealing credentials: ${reason}`);
    }
    const [iv, wrapIv] = [randomBytes(IV_BYTES), randomBytes(IV_BYTES)];
    const sealed = encrypt(dataKey, iv, additionalData, plaintext);
    const wrapped = encrypt(key, wrapIv, additionalData, dataKey);
    return {
      replicationId: owner.replicationId,
      datamartId: owner.datamartId,
      version: owner.version,
      kekId: id,
      wrappedKey: wrapped.ciphertext,
      wrapIv,
      wrapTag: wrapped.tag,
      iv,
      tag: sealed.tag,
      ciphertext: sealed.ciphertext,
      createdAt: now(),
    };
  } finally {
    plaintext.fill(0);
    dataKey.fill(0);
  }
}

/**
 * The text that was sealed. Throws a fatal `SinkError`: `credential_decrypt_failed` when the key isn't there, or the
 * record isn't as it was sealed; `credentials_invalid` when what was sealed is no UTF-8.
 */
export function openCredentials(record: SealedCredentials, keys: KeyRing): string {
  const dataKey = unwrap(record, keys);
  let plaintext: Buffer | null = null;
  try {
    plaintext = tryDecrypt(dataKey, record.iv, additionalDataOf(record), record.ciphertext, record.tag);
    if (plaintext === null) throw notAsSealed(record);
    // The byte order mark belongs to the text: who seals has cut it, or wanted it.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(plaintext);
  } catch (error) {
    if (error instanceof SinkError) throw error;
    throw new SinkError('fatal', 'credentials_invalid', `${opening(record)}: they are no UTF-8 text`, {
      remedy: 'upload the credentials again',
    });
  } finally {
    dataKey.fill(0);
    plaintext?.fill(0);
  }
}

/**
 * The same credentials with their data key under the current key-encryption key; the record itself when it is there
 * already. The credentials stay encrypted. Throws a `SinkError` as `openCredentials` when the data key can't be had.
 */
export function rewrapCredentials(
  record: SealedCredentials,
  { keys, randomBytes }: { readonly keys: KeyRing; readonly randomBytes: RandomBytes },
): SealedCredentials {
  const { id, key } = keys.current;
  const dataKey = unwrap(record, keys);
  try {
    if (record.kekId === id) return record;
    const wrapIv = randomBytes(IV_BYTES);
    const { ciphertext, tag } = encrypt(key, wrapIv, additionalDataOf(record), dataKey);
    return { ...record, kekId: id, wrappedKey: ciphertext, wrapIv, wrapTag: tag };
  } finally {
    dataKey.fill(0);
  }
}

/** The data key; the caller fills it with zeros when it is done. */
function unwrap(record: SealedCredentials, keys: KeyRing): Buffer {
  const { kekId } = record;
  const key = keys.find(kekId);
  if (key === null) {
    const isSet = keys.currentId !== null;
    const reason = isSet ? `the key ${kekId} is not set` : 'CREDENTIALS_KEY is not set';
    const remedy = isSet
      ? `add the key whose id is ${kekId} to CREDENTIALS_OLD_KEYS, or upload the credentials again`
      : `set CREDENTIALS_KEY to the key whose id is ${kekId} (the first 16 hex digits of its SHA-256)`;
    throw new SinkError('fatal', 'credential_decrypt_failed', `${opening(record)}: ${reason}`, { remedy });
  }
  const dataKey = tryDecrypt(key, record.wrapIv, additionalDataOf(record), record.wrappedKey, record.wrapTag);
  if (dataKey === null) throw notAsSealed(record);
  return dataKey;
}

function encrypt(
  key: KeyObject | Buffer,
  iv: Buffer,
  additionalData: Buffer,
  plaintext: Buffer,
): { readonly ciphertext: Buffer; readonly tag: Buffer } {
  const cipher = createCipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(additionalData);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return { ciphertext, tag: cipher.getAuthTag() };
}

/** Null when the tag doesn't vouch for all of it; what was decrypted by then is gone. */
function tryDecrypt(
  key: KeyObject | Buffer,
  iv: Buffer,
  additionalData: Buffer,
  ciphertext: Buffer,
  tag: Buffer,
): Buffer | null {
  const decipher = createDecipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES });
  decipher.setAAD(additionalData);
  decipher.setAuthTag(tag);
  const plaintext = decipher.update(ciphertext);
  try {
    decipher.final();
    return plaintext;
  } catch {
    // OpenSSL's words say nothing but that.
    plaintext.fill(0);
    return null;
  }
}

function additionalDataOf({ datamartId, replicationId, version }: CredentialsOwner): Buffer {
  if (!OWNER_ID.test(datamartId) || !OWNER_ID.test(replicationId) || !Number.isSafeInteger(version)) {
    throw new SinkError('fatal', 'credentials_invalid', 'sealed credentials need a valid owner and version');
  }
  return Buffer.from(`datamart-replication/credentials/v1|${datamartId}|${replicationId}|${version}`);
}

function notAsSealed(record: SealedCredentials): SinkError {
  const reason = 'the record is damaged, or was sealed for another replication, datamart or version';
  return new SinkError('fatal', 'credential_decrypt_failed', `${opening(record)}: ${reason}`, {
    remedy: 'upload the credentials again',
  });
}

function opening({ replicationId, version }: SealedCredentials): string {
  return `opening the sealed credentials of ${replicationId}, version ${version}`;
}
