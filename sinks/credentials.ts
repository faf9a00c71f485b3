import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, open, realpath } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { SinkError, type FieldProblem } from './sink.ts';

/** A replication's credentials as its sink is given them. */
export interface ResolvedCredentials {
  /** Without byte order mark and surrounding white space; never empty. */
  readonly text: string;
  /** SHA-256 of the text in hex: other credentials have another one. */
  readonly fingerprint: string;
  /** Which upload they are, for sealed ones; null for a file, which has none. */
  readonly version: number | null;
}

/** Turns a replication's `credentials_uri` into its credentials. */
export interface CredentialsResolver {
  /**
   * Reads them anew with each call. Rejects with a `SinkError`: `credentials_missing` when there are none,
   * `credentials_invalid` or `credential_decrypt_failed` when they can't be used.
   */
  resolve(uri: string, signal: AbortSignal): Promise<ResolvedCredentials>;
}

export interface FileCredentialsOptions {
  /** The only directory that credentials may be in; null when the operator has set none. */
  readonly directory: string | null;
}

const FILE = 'file:';
const SEALED = 'sealed:';
const MAX_URI_LENGTH = 1_024;
const MAX_BYTES = 16 * 1024;
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

/**
 * Resolves `file:` URIs: paths relative to the directory, or absolute and inside it, also once links are resolved.
 * The directory is a boundary: nothing outside it is read, nor is told whether it exists.
 */
export function fileCredentials({ directory }: FileCredentialsOptions): CredentialsResolver {
  return {
    resolve: async (uri, signal) => {
      if (signal.aborted) throw new SinkError('retriable', 'timeout', `reading ${uri}: no time left`);
      if (directory === null) throw invalid(uri, 'CREDENTIALS_DIRECTORY is not set');
      const given = pathOf(uri);
      if (given === null) throw invalid(uri, 'it names no file');
      const text = await readInside(directory, given, uri);
      if (text === '') throw invalid(uri, 'it is empty');
      return { text, fingerprint: createHash('sha256').update(text).digest('hex'), version: null };
    },
  };
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
    return decode(await readAtMost(real, MAX_BYTES, uri), uri);
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
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
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
