import { posix } from 'node:path';
import type { FieldProblem } from '../sink.ts';

/** Which file a `FILE` replication writes. */
export interface FileConfig {
  /** Relative to the sinks' directory, normalized, with `/` between the names. */
  readonly path: string;
}

/** The record's fields that belong to this kind. */
export const FILE_FIELDS = ['path'] as const;

const MAX_PATH_LENGTH = 1_000;
const MAX_NAME_BYTES = 255;

/**
 * Control characters; the backslash, which separates names elsewhere; lone surrogates, which all become the same bytes
 * in a file's name.
 */
const FORBIDDEN = /[\u0000-\u001f\u007f\\\p{Cs}]/u;

type ParsedConfig = { readonly config: FileConfig } | { readonly problem: FieldProblem };

/** Validates the kind's own field: a relative path that stays below the directory, whatever links lie there. */
export function parseFileConfig(record: Readonly<Record<string, unknown>>): ParsedConfig {
  const path = record['path'] ?? null;
  if (path === null) return refused('missing_field', 'path is missing; a FILE replication needs it');
  if (typeof path !== 'string' || path === '' || path.length > MAX_PATH_LENGTH) {
    return refused('invalid_path', `path must be a text of 1 to ${MAX_PATH_LENGTH} characters`);
  }
  if (FORBIDDEN.test(path)) {
    return refused('invalid_path', 'path must hold no control character, no lone surrogate and no backslash');
  }
  if (posix.isAbsolute(path)) {
    return refused('invalid_path', 'path must be relative to SINKS_FILE_DIRECTORY, such as acme/90.jsonl');
  }
  const names = path.split('/');
  if (names.includes('..')) return refused('invalid_path', 'path must hold no .. between its names');
  if (names.some((name) => Buffer.byteLength(name) > MAX_NAME_BYTES)) {
    return refused('invalid_path', `path must hold no name longer than ${MAX_NAME_BYTES} bytes`);
  }
  const normalized = posix.normalize(path);
  if (normalized === '.' || normalized.endsWith('/')) {
    return refused('invalid_path', 'path must name a file, such as acme/90.jsonl, not a folder');
  }
  return { config: { path: normalized } };
}

function refused(code: string, message: string): ParsedConfig {
  return { problem: { code, field: 'path', message } };
}
