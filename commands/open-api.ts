import { readFileSync } from 'node:fs';
import { apiAccess } from './api-access.ts';
import { ApiConnection } from './api-connection.ts';
import type { CliProcess } from './cli-process.ts';

/** The API at `url`, asked with the token of the environment. Throws a ConfigError. `signal` ends what is in flight. */
export function openApi(url: string, { env, stderr }: CliProcess, signal: AbortSignal): ApiConnection {
  const { baseUrl, token, warning } = apiAccess(url, { env, readFile: (path) => readFileSync(path, 'utf8') });
  if (warning !== null) stderr.write(`warning: ${warning}\n`);
  return new ApiConnection({ baseUrl, token, signal });
}
