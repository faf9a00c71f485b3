import { timingSafeEqual } from 'node:crypto';
import type { Logger } from '../streams/logger.ts';
import type { Caller } from './replication-operations.ts';
import { digestOf, parseTokensFile, secretOf, TokensFileError, type TokenEntry } from './tokens-file.ts';

/** Whose token it is. */
export interface Principal extends Caller {
  /** Ids of datamarts; `*` for all. */
  readonly datamarts: readonly string[] | '*';
}

/** Knows the tokens. */
export interface Tokens {
  /** Whose token an Authorization header holds; null when it holds none that is known. Never rejects. */
  principalOf(authorization: string | undefined): Promise<Principal | null>;
}

/** Without a tokens file nobody gets in. */
export const noTokens: Tokens = { principalOf: async () => null };

export interface TokensFileOptions {
  readonly path: string;
  readonly readFile: (path: string) => Promise<string>;
  readonly logger: Logger;
  /** ms of a clock that only goes forward. */
  readonly now: () => number;
}

interface KnownToken {
  readonly digest: Buffer;
  readonly principal: Principal;
}

/** A changed file is in force 10 s later at the latest, for the next request that asks. */
const LOOK_EVERY_MS = 5_000;

/**
 * The tokens of a file, read again as it changes. A file that can't be used changes nothing: the last good one stays in
 * force, and the log says so once.
 */
export class FileTokens implements Tokens {
  readonly #options: TokensFileOptions;
  #known: readonly KnownToken[];
  #text: string;
  #lookedAtMs: number;
  #looking: Promise<void> | null = null;
  /** What was last wrong, so that it is told once. */
  #problem: string | null = null;

  private constructor(options: TokensFileOptions, text: string) {
    this.#options = options;
    this.#known = parseTokensFile(text, options.path).map(knownToken);
    this.#text = text;
    this.#lookedAtMs = options.now();
  }

  /** Rejects with a `TokensFileError` when the file can't be read, or says something else than tokens. */
  static async open(options: TokensFileOptions): Promise<FileTokens> {
    return new FileTokens(options, await readText(options));
  }

  async principalOf(authorization: string | undefined): Promise<Principal | null> {
    const secret = secretOf(authorization);
    if (secret === null) return null;
    await this.#lookAgain();
    const digest = digestOf(secret);
    let found: Principal | null = null;
    // All of them, so that the time taken tells nothing.
    for (const known of this.#known) if (timingSafeEqual(known.digest, digest)) found = known.principal;
    return found;
  }

  async #lookAgain(): Promise<void> {
    const now = this.#options.now();
    if (now - this.#lookedAtMs >= LOOK_EVERY_MS) {
      this.#lookedAtMs = now;
      this.#looking = this.#look().finally(() => {
        this.#looking = null;
      });
    }
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { path, logger } = this.#options;
    try {
      const text = await readText(this.#options);
      if (text !== this.#text) {
        this.#known = parseTokensFile(text, path).map(knownToken);
        this.#text = text;
        logger.info({ file: path }, `the tokens file has changed: ${this.#known.length} are known`);
      }
      this.#problem = null;
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      if (problem !== this.#problem)
        logger.error({ file: path, error }, `${problem}; the tokens read before stay in force`);
      this.#problem = problem;
    }
  }
}

async function readText({ path, readFile }: TokensFileOptions): Promise<string> {
  try {
    return await readFile(path);
  } catch (error) {
    const code =
      typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unknown error';
    throw new TokensFileError(path, [`it can't be read (${code})`], { cause: error });
  }
}

function knownToken({ name, sha256, datamarts, role }: TokenEntry): KnownToken {
  return { digest: Buffer.from(sha256, 'hex'), principal: { name, datamarts, role } };
}
