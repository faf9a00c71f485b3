import { constants } from 'node:fs';
import { access, open, stat } from 'node:fs/promises';
import type { Settings } from '../../config/settings.ts';
import { failed, ok, skipped, warning, type Check, type CheckGroup, type Finding } from './check.ts';

const TIMEOUT_MS = 5_000;
const MAX_TOKENS_FILE_BYTES = 1024 * 1024;

/** Says what is wrong with the text of a tokens file; null when nothing is. */
export type TokensCheck = (text: string) => string | null;

/**
 * What the settings name on this machine: directories, files and modules that no rule on values can know of. `openSinks`
 * loads the kinds of destinations and names them.
 */
export function settingsChecks(
  settings: Pick<Settings, 'credentials' | 'sinks' | 'http' | 'roles'>,
  checkTokens: TokensCheck,
  openSinks: () => Promise<readonly string[]>,
): CheckGroup {
  const { credentials, sinks, http, roles } = settings;
  return {
    name: 'settings',
    concurrency: 1,
    checks: [
      check('CREDENTIALS_DIRECTORY', (name) =>
        directory(
          name,
          credentials.directory,
          'read',
          'credentials_uri file:… can be used by no replication',
        ),
      ),
      check('SINKS_FILE_DIRECTORY', (name) =>
        directory(name, sinks.fileDirectory, 'write', 'FILE replications can’t be used'),
      ),
      check('HTTP_TOKENS_FILE', (name) =>
        roles.includes('api')
          ? tokensFile(name, http.tokensFile, checkTokens)
          : Promise.resolve(skipped(name, 'this instance has not the role api')),
      ),
      check('SINKS_ENABLED', async (name) => ok(name, (await openSinks()).join(', '))),
      check('SINKS_ALLOW_EMULATORS', (name) =>
        Promise.resolve(
          sinks.allowEmulators
            ? warning(
                name,
                'emulators and custom endpoints are allowed',
                'leave it out in production: customers’ credentials could go to any host',
              )
            : ok(name, 'no emulators, no custom endpoints'),
        ),
      ),
    ],
  };
}

function check(name: string, find: (name: string) => Promise<Finding>): Check {
  return { name, timeoutMs: TIMEOUT_MS, run: async () => [await find(name)] };
}

async function directory(
  name: string,
  path: string | null,
  need: 'read' | 'write',
  without: string,
): Promise<Finding> {
  if (path === null) return skipped(name, `not set: ${without}`);
  const mode = need === 'read' ? constants.R_OK | constants.X_OK : constants.W_OK | constants.X_OK;
  try {
    if (!(await stat(path)).isDirectory())
      return failed(name, `${path} is no directory`, `set ${name} to a directory`);
    await access(path, mode);
    return ok(name, `${path} can be ${need === 'read' ? 'read' : 'written to'}`);
  } catch (error) {
    const code = codeOf(error);
    return failed(
      name,
      `${path} ${code === 'ENOENT' ? "isn't there" : `can't be ${need === 'read' ? 'read' : 'written to'} (${code})`}`,
      code === 'ENOENT'
        ? `make the directory, or mount it, or set ${name} to another`
        : `give the user that runs this program the right to ${need} it`,
    );
  }
}

async function tokensFile(name: string, path: string | null, checkTokens: TokensCheck): Promise<Finding> {
  if (path === null)
    return warning(
      name,
      'not set: the API answers 401 to everyone',
      '`tokens create` makes a token and its entry; or leave api out of ROLES',
    );
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { size } = await file.stat();
    if (size > MAX_TOKENS_FILE_BYTES)
      return failed(name, `${path} is longer than ${MAX_TOKENS_FILE_BYTES} bytes`, 'is it the right file?');
    const problem = checkTokens(await file.readFile('utf8'));
    return problem === null
      ? ok(name, `${path} can be read`)
      : failed(name, `${path}: ${problem}`, 'correct the entry; `tokens create` prints one as it should be');
  } catch (error) {
    const code = codeOf(error);
    return failed(
      name,
      `${path} ${code === 'ENOENT' ? "isn't there" : `can't be read (${code})`}`,
      'make it readable for the user that runs this program; `tokens create --write` makes one',
    );
  }
}

/** Null for a JSON list of objects: what each entry holds isn't looked at. */
export function tokensListProblem(text: string): string | null {
  try {
    const entries: unknown = JSON.parse(text);
    return Array.isArray(entries) && entries.every((entry) => typeof entry === 'object' && entry !== null)
      ? null
      : 'it must be a JSON list of objects';
  } catch {
    return 'it is not valid JSON';
  }
}

function codeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'unknown error';
}
