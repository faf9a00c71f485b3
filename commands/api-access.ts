import { ConfigError } from '../config/config-error.ts';
import { readProblem } from '../config/read-problem.ts';

/** Where an API is and who asks it. */
export interface ApiAccess {
  /** Without a slash at its end; `/v1/…` follows. */
  readonly baseUrl: string;
  /** Without `api:` in front. */
  readonly token: string;
  /** What the caller should be told before anything is sent; null when all is well. */
  readonly warning: string | null;
}

/** Where `apiAccess` takes the token from. */
export interface TokenSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads a file whole, as text. Throws when it can't. */
  readonly readFile: (path: string) => string;
}

const LOOPBACK = /^(?:localhost|.+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/**
 * Reads `--api URL` and the token of API_TOKEN or API_TOKEN_FILE. Throws a ConfigError with every problem; none of them
 * holds the token.
 */
export function apiAccess(url: string, sources: TokenSources): ApiAccess {
  const problems: string[] = [];
  const address = parseAddress(url, problems);
  const token = readToken(sources, problems);
  if (!address || token === null) throw new ConfigError(problems);
  const isClear = address.protocol === 'http:' && !LOOPBACK.test(address.hostname);
  return {
    baseUrl: `${address.origin}${address.pathname.replace(/\/+$/, '').replace(/\/v1$/, '')}`,
    token,
    warning: isClear
      ? `--api: to ${address.host} the token travels in clear over http://; use https:// outside of tests`
      : null,
  };
}

function parseAddress(url: string, problems: string[]): URL | null {
  const address = URL.parse(url);
  if (!address || (address.protocol !== 'http:' && address.protocol !== 'https:')) {
    problems.push(
      "--api: isn't an address; allowed is http:// or https://, a host, and a path where one is needed",
    );
    return null;
  }
  if (address.username !== '' || address.password !== '') {
    problems.push(
      '--api: holds a user or a password, which `ps` would show; the token goes into API_TOKEN_FILE',
    );
    return null;
  }
  if (address.search !== '' || address.hash !== '') {
    problems.push('--api: only host, port and path belong into it');
    return null;
  }
  return address;
}

function readToken({ env, readFile }: TokenSources, problems: string[]): string | null {
  const { API_TOKEN: given = '', API_TOKEN_FILE: path = '' } = env;
  if (given !== '' && path !== '') {
    problems.push('API_TOKEN and API_TOKEN_FILE are both set; set one');
    return null;
  }
  let text = given;
  if (path !== '') {
    try {
      text = readFile(path);
    } catch (error) {
      problems.push(`API_TOKEN_FILE: reading ${path}: ${readProblem(error)}`);
      return null;
    }
  }
  const token = text.trim().replace(/^api:/, '');
  if (token === '') {
    problems.push(
      'API_TOKEN: not set; --api needs it, or API_TOKEN_FILE, a path. `datamart-replication tokens create` makes one',
    );
    return null;
  }
  if (!/^[\x21-\x7e]+$/.test(token)) {
    problems.push(
      `${path === '' ? 'API_TOKEN' : 'API_TOKEN_FILE'}: isn't a token; allowed is one line as api:…`,
    );
    return null;
  }
  return token;
}
