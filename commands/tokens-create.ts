import { randomBytes } from 'node:crypto';
import { open, readFile, realpath, rename, rm } from 'node:fs/promises';
import { newToken, parseTokensFile, type TokenEntry } from '../api/tokens-file.ts';
import type { TextOutput } from './text-output.ts';

export interface TokensCreateOptions {
  readonly name: string;
  readonly datamarts: TokenEntry['datamarts'];
  readonly role: TokenEntry['role'];
  /** The tokens file that the entry is added to; null only shows it. */
  readonly writeTo: string | null;
  readonly isJson: boolean;
}

/**
 * The `tokens create` command: makes a token, adds its entry when that is asked for, and shows the token, this once.
 * Resolves with the exit code; rejects when the file can't be written, and has shown no token then.
 */
export async function runTokensCreate(
  { name, datamarts, role, writeTo, isJson }: TokensCreateOptions,
  { out, errors }: { readonly out: TextOutput; readonly errors: TextOutput },
): Promise<number> {
  const { token, entry } = newToken(name, datamarts, role, randomBytes);
  if (writeTo !== null) await addToken(writeTo, entry);
  if (isJson) {
    out.write(`${JSON.stringify({ token, entry })}\n`);
    return 0;
  }
  out.write(`${token}\n`);
  if (writeTo === null) {
    errors.write('The token is shown this once. Add this entry to the list in HTTP_TOKENS_FILE:\n');
    out.write(`${JSON.stringify(entry)}\n`);
  } else {
    errors.write(`The token is shown this once. Its entry was added to ${writeTo}.\n`);
  }
  return 0;
}

/**
 * Adds an entry to a tokens file, which nobody ever sees half-written: it is written beside, and put in its place. The
 * new file itself keeps a second writer out.
 */
export async function addToken(path: string, entry: TokenEntry): Promise<void> {
  // A link stays one.
  const target = await realpath(path).catch(() => path);
  const beside = `${target}.new`;
  const file = await open(beside, 'wx', 0o600).catch((error: unknown) => {
    throw new Error(
      `making ${beside}: ${reasonOf(error, 'somebody else is writing it; delete it if nobody is')}`,
      {
        cause: error,
      },
    );
  });
  try {
    try {
      const entries = await readEntries(target);
      if (entries.some(({ name }) => name === entry.name))
        throw new Error(`adding a token to ${target}: there is one named ${entry.name} already`);
      await file.writeFile(`${JSON.stringify([...entries, entry], null, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, target);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

async function readEntries(path: string): Promise<readonly TokenEntry[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
  return parseTokensFile(text, path);
}

function reasonOf(error: unknown, ifThere: string): string {
  const code = codeOf(error);
  return code === 'EEXIST' ? ifThere : `it can't be written (${code})`;
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error
    ? String(error.code)
    : 'unknown error';
}
