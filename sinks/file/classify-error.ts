import { SinkError, type FailureKind, type SinkErrorCode } from '../sink.ts';

interface Verdict {
  readonly kind: FailureKind;
  readonly code: SinkErrorCode;
  readonly remedy?: string;
}

const NO_RIGHT: Verdict = {
  kind: 'fatal',
  code: 'permission_denied',
  remedy: 'give the process the right to write there, or choose another path',
};
const NO_PLACE: Verdict = {
  kind: 'fatal',
  code: 'not_found',
  remedy:
    'make SINKS_FILE_DIRECTORY, and choose a path whose folders are folders and whose file is a plain file',
};
const FULL: Verdict = { kind: 'retriable', code: 'quota_exceeded', remedy: 'make room on the disk' };
const BUSY: Verdict = { kind: 'retriable', code: 'unavailable' };
const UNKNOWN: Verdict = { kind: 'retriable', code: 'unknown' };

/** By errno name. */
const VERDICTS: ReadonlyMap<string, Verdict> = new Map([
  ['EACCES', NO_RIGHT],
  ['EPERM', NO_RIGHT],
  ['EROFS', NO_RIGHT],
  ['ENOENT', NO_PLACE],
  ['ENOTDIR', NO_PLACE],
  ['EISDIR', NO_PLACE],
  ['ELOOP', NO_PLACE],
  ['ENAMETOOLONG', NO_PLACE],
  ['ENXIO', NO_PLACE],
  ['ENOSPC', FULL],
  ['EDQUOT', FULL],
  ['EFBIG', FULL],
  ['EIO', BUSY],
  ['EBUSY', BUSY],
  ['EAGAIN', BUSY],
  ['EMFILE', BUSY],
  ['ENFILE', BUSY],
  ['ENOMEM', BUSY],
  ['ESTALE', BUSY],
  ['ETIMEDOUT', BUSY],
]);

/**
 * Judges what the file system threw. `isAmbiguous`: lines may have been written before it failed.
 * `action` begins the message: "appending to acme/90.jsonl".
 */
export function classifyFileError(error: unknown, action: string, isAmbiguous: boolean): SinkError {
  if (error instanceof SinkError) return error;
  const errno = errnoOf(error);
  const verdict = VERDICTS.get(errno ?? '') ?? UNKNOWN;
  const reason = errno ?? (error instanceof Error ? error.message : 'failed without a reason');
  const options = { cause: error, isAmbiguous };
  return new SinkError(
    verdict.kind,
    verdict.code,
    `${action}: ${reason}`,
    verdict.remedy === undefined ? options : { ...options, remedy: verdict.remedy },
  );
}

function errnoOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
