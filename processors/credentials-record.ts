import { MAX_CREDENTIALS_BYTES, type SealedCredentials } from '../schemas/sealed-credentials.ts';
import { StateTooNewError } from './status-record.ts';

/** The version of the records of `replication-credentials` that this program writes and the newest that it reads. */
const CREDENTIALS_VERSION = 1;

const REPLICATION_ID = /^[A-Za-z0-9_.-]{1,64}$/;
const DATAMART_ID = /^[1-9][0-9]{0,18}$/;
const KEK_ID = /^[0-9a-f]{16}$/;
const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/**
 * What a record of `replication-credentials` holds. One that can't be read isn't taken for missing: there are
 * credentials, but nobody can use them.
 */
export type CredentialsRecord =
  | { readonly kind: 'sealed'; readonly credentials: SealedCredentials }
  | {
      readonly kind: 'unreadable';
      /** Which field is wrong; never a value. */
      readonly problem: string;
      /** The version, where that much can be read: the next upload must have a higher one. */
      readonly version: number | null;
    };

/** The bytes of a record (CONTRACT section 7). */
export function writeCredentialsRecord(credentials: SealedCredentials): Buffer {
  return Buffer.from(
    JSON.stringify({
      v: CREDENTIALS_VERSION,
      replication_id: credentials.replicationId,
      datamart_id: credentials.datamartId,
      version: credentials.version,
      kek_id: credentials.kekId,
      wrapped_key: credentials.wrappedKey.toString('base64'),
      wrap_iv: credentials.wrapIv.toString('base64'),
      wrap_tag: credentials.wrapTag.toString('base64'),
      iv: credentials.iv.toString('base64'),
      tag: credentials.tag.toString('base64'),
      ciphertext: credentials.ciphertext.toString('base64'),
      created_at: credentials.createdAt,
    }),
  );
}

/**
 * Reads a record of `replication-credentials`. That its ids are those of its key, and that it opens, is checked when it
 * is used. Throws nothing but `StateTooNewError`, for a record of a newer release.
 */
export function readCredentialsRecord(key: string, value: Buffer): CredentialsRecord {
  let record: Readonly<Record<string, unknown>>;
  try {
    const parsed: unknown = JSON.parse(value.toString('utf8'));
    if (typeof parsed !== 'object' || parsed === null) return unreadable('it is no JSON object', null);
    record = parsed as Readonly<Record<string, unknown>>;
  } catch {
    return unreadable('it is no JSON', null);
  }
  if (typeof record.v === 'number' && record.v > CREDENTIALS_VERSION)
    throw new StateTooNewError(`credentials record ${key}`, record.v, CREDENTIALS_VERSION);
  return new RecordFields(record).read();
}

/** Takes the fields of one record, and remembers the first that is wrong. */
class RecordFields {
  readonly #record: Readonly<Record<string, unknown>>;
  #problem: string | null = null;

  constructor(record: Readonly<Record<string, unknown>>) {
    this.#record = record;
  }

  read(): CredentialsRecord {
    if (this.#record.v !== CREDENTIALS_VERSION) this.#problem = `v isn't ${CREDENTIALS_VERSION}`;
    const credentials: SealedCredentials = {
      replicationId: this.#text('replication_id', REPLICATION_ID),
      datamartId: this.#text('datamart_id', DATAMART_ID),
      version: this.#integer('version', 1),
      kekId: this.#text('kek_id', KEK_ID),
      wrappedKey: this.#bytes('wrapped_key', KEY_BYTES),
      wrapIv: this.#bytes('wrap_iv', IV_BYTES),
      wrapTag: this.#bytes('wrap_tag', TAG_BYTES),
      iv: this.#bytes('iv', IV_BYTES),
      tag: this.#bytes('tag', TAG_BYTES),
      ciphertext: this.#bytes('ciphertext', 1, MAX_CREDENTIALS_BYTES),
      createdAt: this.#integer('created_at', 0),
    };
    if (this.#problem === null) return { kind: 'sealed', credentials };
    return unreadable(this.#problem, credentials.version > 0 ? credentials.version : null);
  }

  #text(name: string, pattern: RegExp): string {
    const value = this.#record[name];
    if (typeof value === 'string' && pattern.test(value)) return value;
    this.#problem ??= `${name} is missing or has another form`;
    return '';
  }

  #integer(name: string, least: number): number {
    const value = this.#record[name];
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value;
    this.#problem ??= `${name} is missing or no whole number`;
    return -1;
  }

  /** Base64 has several spellings of the same bytes; only the one that is written counts. */
  #bytes(name: string, least: number, most = least): Buffer {
    const value = this.#record[name];
    const bytes = Buffer.from(typeof value === 'string' ? value : '', 'base64');
    if (bytes.length >= least && bytes.length <= most && bytes.toString('base64') === value) return bytes;
    const length = least === most ? String(least) : `${least} to ${most}`;
    this.#problem ??= `${name} isn't ${length} bytes in base64`;
    return bytes;
  }
}

function unreadable(problem: string, version: number | null): CredentialsRecord {
  return { kind: 'unreadable', problem, version };
}
