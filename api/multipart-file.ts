import multipart, { type Multipart } from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from './api-error.ts';
import { MAX_CREDENTIALS_BYTES } from './credentials-upload.ts';

/** A form is read to its end, whatever is wrong with it, so that the answer arrives; but not for ever. */
const MAX_FORM_BYTES = 1024 * 1024;
const FILE = 'file';
const MAX_PARTS = 8;

/** Lets a part of the server take forms. Everything else of it answers 415 to them. */
export async function acceptForms(scope: FastifyInstance): Promise<void> {
  await scope.register(multipart, {
    throwFileSizeLimit: false,
    limits: {
      // One byte more than is taken, so that a file that is too long shows.
      fileSize: MAX_CREDENTIALS_BYTES + 1,
      fieldSize: MAX_CREDENTIALS_BYTES + 1,
      files: 2,
      parts: MAX_PARTS,
      headerPairs: 32,
      fieldNameSize: 100,
    },
  });
}

/**
 * The form's one part `file`, with a file name or without. Rejects with an `ApiError`: `missing_file`, `too_many_files`,
 * `credentials_too_large`.
 */
export async function uploadedFile(request: FastifyRequest): Promise<Buffer> {
  if (!request.isMultipart())
    throw new ApiError('missing_file', 'a form with the part file is expected', { field: FILE, hint: HINT });
  const files = await boundedFiles(request);
  const [file] = files;
  if (files.length > 1) throw tooManyFiles();
  if (!file) throw new ApiError('missing_file', 'the form has no part file', { field: FILE, hint: HINT });
  if (file.length > MAX_CREDENTIALS_BYTES) throw tooLarge();
  return file;
}

const HINT = "curl --form 'file=@service-account.json' sends it";

/** The parser has no limit for what lies around and between parts. */
async function boundedFiles(request: FastifyRequest): Promise<readonly Buffer[]> {
  const { raw } = request;
  const tooLong = Promise.withResolvers<never>();
  let bytes = 0;
  const count = (chunk: Buffer): void => {
    bytes += chunk.length;
    if (bytes > MAX_FORM_BYTES) tooLong.reject(tooLarge());
  };
  raw.on('data', count);
  const files = filesOf(request);
  // It ends with the connection when it was given up.
  files.catch(() => undefined);
  try {
    return await Promise.race([files, tooLong.promise]);
  } finally {
    raw.off('data', count);
    raw.unpipe();
  }
}

async function filesOf(request: FastifyRequest): Promise<readonly Buffer[]> {
  const files: Buffer[] = [];
  try {
    for await (const part of request.parts()) {
      const bytes = await bytesOf(part);
      if (part.fieldname === FILE || part.type === 'file') files.push(bytes);
    }
    return files;
  } catch (error) {
    throw formError(error);
  }
}

/** A part without a file name is text, or what was parsed from JSON. */
async function bytesOf(part: Multipart): Promise<Buffer> {
  if (part.type === 'file') return part.toBuffer();
  return Buffer.from(typeof part.value === 'string' ? part.value : JSON.stringify(part.value ?? ''));
}

function formError(error: unknown): ApiError {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null;
  if (code === 'FST_FILES_LIMIT' || code === 'FST_PARTS_LIMIT') return tooManyFiles();
  return new ApiError('missing_file', 'the form can’t be read to its end', {
    field: FILE,
    hint: HINT,
    cause: error,
  });
}

function tooManyFiles(): ApiError {
  return new ApiError('too_many_files', 'the form has more than the one part file', { field: FILE });
}

function tooLarge(): ApiError {
  return new ApiError('credentials_too_large', `the file is longer than ${MAX_CREDENTIALS_BYTES} bytes`, {
    field: FILE,
  });
}
