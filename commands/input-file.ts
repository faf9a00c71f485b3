import { open } from 'node:fs/promises';
import { ConfigError } from '../config/config-error.ts';
import type { AnswerSource } from './confirmation.ts';

export interface InputFile {
  /** `-` is standard input. */
  readonly path: string;
  /** The flag that named it, for errors. */
  readonly flag: string;
  readonly maxBytes: number;
}

const READ_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
};

/** Reads a file that a flag names. Throws a ConfigError when it can't be read or is too large; never shows a byte. */
export async function readInputFile(
  { path, flag, maxBytes }: InputFile,
  stdin: AnswerSource | undefined,
): Promise<Buffer> {
  const tooLarge = (): ConfigError =>
    new ConfigError([`${flag}: ${path === '-' ? 'the input' : path} is larger than ${maxBytes} bytes`]);
  if (path === '-') return readBounded(piped(stdin, flag), maxBytes, tooLarge);
  try {
    await using file = await open(path, 'r');
    // Devices and pipes have no size to be looked at.
    return await readBounded(file.createReadStream({ end: maxBytes, autoClose: false }), maxBytes, tooLarge);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError([`${flag}: reading ${path}: ${readProblem(error)}`]);
  }
}

/** Why a file can't be read, in words. */
export function readProblem(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null;
  return typeof code === 'string' ? (READ_PROBLEMS[code] ?? code) : "it can't be read";
}

function piped(stdin: AnswerSource | undefined, flag: string): AnswerSource {
  // A terminal would show what is typed.
  if (stdin && stdin.isTTY !== true) return stdin;
  throw new ConfigError([`${flag} -: reads what is piped in, and nothing is: … | datamart-replication …`]);
}

async function readBounded(
  chunks: AsyncIterable<Buffer | string>,
  maxBytes: number,
  tooLarge: () => ConfigError,
): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    const part = Buffer.from(chunk);
    bytes += part.length;
    if (bytes > maxBytes) throw tooLarge();
    parts.push(part);
  }
  return Buffer.concat(parts);
}
