import { createHash } from 'node:crypto';
import { shownName } from '../processors/config-record.ts';
import type { Caller } from './replication-operations.ts';

/** An entry of the tokens file: who a token belongs to. The token itself is nowhere. */
export interface TokenEntry {
  readonly name: string;
  /** SHA-256, in hex, of the token's text after `api:`. */
  readonly sha256: string;
  /** Ids of datamarts; `*` for all. */
  readonly datamarts: readonly string[] | '*';
  readonly role: Caller['role'];
}

/** The tokens file can't be used as it is. One problem a line, never the file's text. */
export class TokensFileError extends Error {
  override readonly name = 'TokensFileError';
  readonly problems: readonly string[];

  constructor(path: string, problems: readonly string[], options: { readonly cause?: unknown } = {}) {
    super(`reading the tokens file ${path}: ${problems.join('; ')}`, options);
    this.problems = problems;
  }
}

const PREFIX = 'api:';
const TOKEN_BYTES = 32;
const NAME = /^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const DATAMART_ID = /^[1-9][0-9]{0,18}$/;
const FIELDS = ['name', 'sha256', 'datamarts', 'role'];

/** What is wrong with what a new token is to be; empty when nothing is. */
export function newTokenProblems({
  name,
  datamarts,
}: Pick<TokenEntry, 'name' | 'datamarts'>): readonly string[] {
  return [
    ...(NAME.test(name) ? [] : [`name must match ${NAME.source}`]),
    ...(areDatamarts(datamarts) ? [] : ['datamarts must be ids as 1649, or *']),
  ];
}

/** Makes a token, to be shown once, and its entry. `randomBytes` are those of a cryptographic generator. */
export function newToken(
  name: string,
  datamarts: TokenEntry['datamarts'],
  role: Caller['role'],
  randomBytes: (size: number) => Buffer,
): { readonly token: string; readonly entry: TokenEntry } {
  const secret = randomBytes(TOKEN_BYTES).toString('base64url');
  return {
    token: `${PREFIX}${secret}`,
    entry: { name, sha256: digestOf(secret).toString('hex'), datamarts, role },
  };
}

/** What is compared: of the text after `api:`. */
export function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** The text after `api:` of an Authorization header; null when it isn't one. */
export function secretOf(authorization: string | undefined): string | null {
  const secret = /^api:([\x21-\x7e]{1,512})$/.exec(authorization ?? '')?.[1];
  return secret ?? null;
}

/** Reads the text of a tokens file. Throws a `TokensFileError` with all its problems. */
export function parseTokensFile(text: string, path: string): readonly TokenEntry[] {
  let entries: unknown;
  try {
    entries = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch {
    // The parser's message quotes the text.
    throw new TokensFileError(path, ['it is not valid JSON']);
  }
  if (!Array.isArray(entries)) throw new TokensFileError(path, ['it must be a JSON list of tokens']);
  const problems: string[] = [];
  const parsed = entries.map((entry: unknown, i) => parseEntry(entry, `token ${i + 1}`, problems));
  problems.push(...repeated(parsed, 'name'), ...repeated(parsed, 'sha256'));
  if (problems.length > 0) throw new TokensFileError(path, problems);
  return parsed;
}

function parseEntry(entry: unknown, where: string, problems: string[]): TokenEntry {
  const fields: Readonly<Record<string, unknown>> =
    typeof entry === 'object' && entry !== null && !Array.isArray(entry) ? { ...entry } : {};
  const { name, sha256, datamarts, role = 'customer' } = fields;
  const unknown = Object.keys(fields).filter((field) => !FIELDS.includes(field));
  for (const field of unknown) problems.push(`${where}: ${shownName(field)} is none of ${FIELDS.join(', ')}`);
  const isNamed = typeof name === 'string' && NAME.test(name);
  if (!isNamed) problems.push(`${where}: name must match ${NAME.source}`);
  const isHashed = typeof sha256 === 'string' && SHA256.test(sha256);
  if (!isHashed) problems.push(`${where}: sha256 must be 64 lower-case hex digits`);
  const isBound = areDatamarts(datamarts);
  if (!isBound) problems.push(`${where}: datamarts must be a list of ids as ["1649"], or "*"`);
  const isRole = role === 'customer' || role === 'operator';
  if (!isRole) problems.push(`${where}: role must be customer or operator`);
  return {
    name: isNamed ? name : '',
    sha256: isHashed ? sha256 : '',
    datamarts: isBound ? datamarts : [],
    role: isRole ? role : 'customer',
  };
}

function areDatamarts(datamarts: unknown): datamarts is TokenEntry['datamarts'] {
  if (datamarts === '*') return true;
  return (
    Array.isArray(datamarts) &&
    datamarts.length > 0 &&
    datamarts.every((id) => typeof id === 'string' && DATAMART_ID.test(id))
  );
}

/** A name stands for one token in the audit log, a token for one name. */
function repeated(entries: readonly TokenEntry[], field: 'name' | 'sha256'): readonly string[] {
  const seen = new Set<string>();
  const twice = new Set<number>();
  entries.forEach((entry, i) => {
    if (entry[field] !== '' && seen.has(entry[field])) twice.add(i + 1);
    seen.add(entry[field]);
  });
  return [...twice].map((i) => `token ${i}: another one has the same ${field}`);
}
