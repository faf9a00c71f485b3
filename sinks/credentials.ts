import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, open, realpath } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MAX_CREDENTIALS_BYTES, type SealedCredentials } from '../schemas/sealed-credentials.ts';
import { openCredentials, type KeyRing } from './sealed-credentials.ts';
import { SinkError, type FieldProblem } from './sink.ts';

/** A replication's credentials as its sink is given them. */
export interface ResolvedCredentials {
  /** Without byte order mark and surrounding white space; never empty. */
  readonly text: string;
  /** SHA-256 of the text in hex: other credentials have another one. */
  readonly fingerprint: string;
  /** Of sealed credentials the record's version; null of those that count none. */
  readonly version: number | null;
}

/** Which credentials are wanted, and for whom. */
export interface CredentialsRequest {
  /** The replication's `credentials_uri`. */
  readonly uri: string;
  readonly replicationId: string;
  readonly datamartId: string;
}

/** Turns a replication's `credentials_uri` into its credentials. */
export interface CredentialsResolver {
  /**
   * Reads them anew with each call. Rejects with a `SinkError`: `credentials_missing` when there are none,
   * `credentials_invalid` or `credential_decrypt_failed` when they can't be used.
   */
  resolve(request: CredentialsRequest, signal: AbortSignal): Promise<ResolvedCredentials>;
}

/** The kinds of `credentials_uri` there are, by what they begin with. */
export type CredentialsScheme = 'file' | 'sealed';

/** Where the sealed records are: the table of `replication-credentials`. */
export interface SealedRecords {
  /** Null when there is none, or when it can't be read. */
  get(replicationId: string): SealedCredentials | null;
  /** Why the record can't be read; null when it can, or when there is none. */
  problemOf(replicationId: string): string | null;
}

export interface FileCredentialsOptions {
  /** The only directory that credentials may be in; null when the operator has set none. */
  readonly directory: string | null;
}

const FILE = 'file:';
const SEALED = 'sealed:';
const MAX_URI_LENGTH = 1_024;
/** A path to a pipe must not hold the process, nor a link made after the check be followed. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Pure: says what is wrong with a `credentials_uri` as a record gives it, null when nothing is.
 * Whether a file is there, and inside the directory, only its resolver knows.
 */
export function credentialsUriProblem(uri: string, replicationId: string): FieldProblem | null {
  // Control characters would end up in logs and break a path.
  if (uri.length > MAX_URI_LENGTH || /[\x00-\x1f\x7f]/.test(uri)) {
    return invalidUri(`credentials_uri must be ${MAX_URI_LENGTH} printable characters at most`);
  }
  if (uri.startsWith(SEALED)) {
    if (uri === `${SEALED}${replicationId}`) return null;
    return invalidUri("credentials_uri must be sealed: with the replication's own id");
  }
  if (!uri.startsWith(FILE))
    return invalidUri('credentials_uri must be file:<path> or sealed:<replication id>');
  return pathOf(uri) === null ? invalidUri('credentials_uri must name a file, as file:<path>') : null;
}

/** The kind of a `credentials_uri`; null when it is none of them. */
export function schemeOf(uri: string): CredentialsScheme | null {
  if (uri.startsWith(FILE)) return 'file';
  return uri.startsWith(SEALED) ? 'sealed' : null;
}

/** Resolves each kind of URI by its own resolver. */
export function credentialsResolver(
  resolvers: Readonly<Record<CredentialsScheme, CredentialsResolver>>,
): CredentialsResolver {
  return {
    resolve: async (request, signal) => {
      const scheme = schemeOf(request.uri);
      if (scheme === null) throw invalid(request.uri, 'it is neither file: nor sealed:');
      return await resolvers[scheme].resolve(request, signal);
    },
  };
}

/**
 * Resolves `sealed:` URIs: a replication's own record, opened anew with each call, so that no plaintext is kept here.
 * A record that is there but can't be read is `credentials_invalid`; one that doesn't open for this replication of this
 * datamart is `credential_decrypt_failed`.
 */
export function sealedCredentials({
  records,
  keys,
}: {
  readonly records: SealedRecords;
  readonly keys: KeyRing;
}): CredentialsResolver {
  return {
    resolve: async ({ uri, replicationId, datamartId }, signal) => {
      if (signal.aborted) throw new SinkError('retriable', 'timeout', `reading ${uri}: no time left`);
      if (uri !== `${SEALED}${replicationId}`) throw invalid(uri, "it isn't the replication's own");
      const remedy = 'upload the credentials again';
      const problem = records.problemOf(replicationId);
      if (problem !== null) {
        const message = `reading ${uri}: the record can't be read: ${problem}`;
        throw new SinkError('fatal', 'credentials_invalid', message, { remedy });
      }
      const record = records.get(replicationId);
      if (record === null) {
        throw new SinkError('fatal', 'credentials_missing', `reading ${uri}: there is no such record`, {
          remedy: 'upload the credentials',
        });
      }
      if (record.replicationId !== replicationId || record.datamartId !== datamartId) {
        const message = `reading ${uri}: the record was sealed for another replication or datamart`;
        throw new SinkError('fatal', 'credential_decrypt_failed', message, { remedy });
      }
      return resolved(openCredentials(record, keys), record.version, uri);
    },
  };
}

/**
 * Resolves `file:` URIs: paths relative to the directory, or absolute and inside it, also once links are resolved.
 * The directory is a boundary: nothing outside it is read, nor is told whether it exists.
 */
export function fileCredentials({ directory }: FileCredentialsOptions): CredentialsResolver {
  return {
    resolve: async ({ uri }, signal) => {
      if (signal.aborted) throw new SinkError('retriable', 'timeout', `reading ${uri}: no time left`);
      if (directory === null) throw invalid(uri, 'CREDENTIALS_DIRECTORY is not set');
      const given = pathOf(uri);
      if (given === null) throw invalid(uri, 'it names no file');
      return resolved(await readInside(directory, given, uri), null, uri);
    },
  };
}

function resolved(untrimmed: string, version: number | null, uri: string): ResolvedCredentials {
  // The byte order mark counts as white space.
  const text = untrimmed.trim();
  if (text === '') throw invalid(uri, 'it is empty');
  return { text, fingerprint: createHash('sha256').update(text).digest('hex'), version };
}

async function readInside(directory: string, given: string, uri: string): Promise<string> {
  try {
    const root = await realpath(directory);
    const lexical = path.resolve(directory, given);
    if (!isInside(lexical, path.resolve(directory)) && !isInside(lexical, root)) {
      throw invalid(uri, 'it is outside CREDENTIALS_DIRECTORY');
    }
    const real = await realpath(lexical);
    if (!isInside(real, root)) throw invalid(uri, 'it is a link to outside CREDENTIALS_DIRECTORY');
    if (!(await lstat(real)).isFile()) throw invalid(uri, 'it is no regular file');
    return decode(await readAtMost(real, MAX_CREDENTIALS_BYTES, uri), uri);
  } catch (error) {
    if (error instanceof SinkError) throw error;
    const code = systemCodeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new SinkError('fatal', 'credentials_missing', `reading ${uri}: it isn't there`, { cause: error });
    }
    throw invalid(uri, `it can't be read (${code})`, error);
  }
}

async function readAtMost(file: string, maxBytes: number, uri: string): Promise<Buffer> {
  await using handle = await open(file, OPEN_FLAGS);
  const target = Buffer.alloc(maxBytes + 1);
  let length = 0;
  while (length < target.length) {
    const { bytesRead } = await handle.read(target, length, target.length - length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  if (length > maxBytes) throw invalid(uri, `it is longer than ${maxBytes} bytes`);
  return target.subarray(0, length);
}

function decode(bytes: Buffer, uri: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw invalid(uri, 'it is no UTF-8 text', error);
  }
}

/** The path in a `file:` URI; null when it has none. */
function pathOf(uri: string): string | null {
  if (!uri.startsWith(FILE)) return null;
  const rest = uri.slice(FILE.length);
  if (!rest.startsWith('//')) return rest === '' || rest.endsWith('/') ? null : rest;
  try {
    const url = new URL(uri);
    return url.host === '' && !url.pathname.endsWith('/') ? fileURLToPath(url) : null;
  } catch {
    // Not a URL, or one with an encoded slash: names no file here.
    return null;
  }
}

function isInside(file: string, directory: string): boolean {
  const relative = path.relative(directory, file);
  return (
    relative !== '' &&
    relative !== '..' &&
    !relative.startsWith(`..${path.sep}`) &&
    !path.isAbsolute(relative)
  );
}

function systemCodeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'unknown error';
}

function invalid(uri: string, reason: string, cause?: unknown): SinkError {
  return new SinkError('fatal', 'credentials_invalid', `reading ${uri}: ${reason}`, { cause });
}

function invalidUri(message: string): FieldProblem {
  return { code: 'invalid_credentials_uri', field: 'credentials_uri', message };
}
