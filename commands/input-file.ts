import { open } from 'node:fs/promises';
import { ConfigError } from '../config/config-error.ts';
import { readProblem } from '../config/read-problem.ts';
import type { AnswerSource } from './confirmation.ts';

export interface InputFile {
  /** `-` is standard input. */
  readonly path: string;
  /** The flag that named it, for errors. */
  readonly flag: string;
  readonly maxBytes: number;
}

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
