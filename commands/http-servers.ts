import { readFile } from 'node:fs/promises';
import { openApiServer } from '../api/api-server.ts';
import type { DeadLetterOperations } from '../api/dead-letter-operations.ts';
import type { ExecutionOperations } from '../api/execution-operations.ts';
import { openOpsServer, type OpsServer, type OpsSource } from '../api/ops-server.ts';
import type { ReplicationOperations } from '../api/replication-operations.ts';
import type { SyncPlanOperations } from '../api/sync-plan-operations.ts';
import { TokensFileError } from '../api/tokens-file.ts';
import { FileTokens, noTokens, type Tokens } from '../api/tokens.ts';
import { ConfigError } from '../config/config-error.ts';
import type { HttpSettings } from '../config/settings.ts';
import type { Logger } from '../streams/logger.ts';

export interface HttpServersOptions {
  readonly settings: HttpSettings;
  readonly ops: OpsSource;
  /** Null serves health and metrics only. */
  readonly api: {
    readonly replications: ReplicationOperations;
    readonly deadLetters: DeadLetterOperations;
    readonly executions: ExecutionOperations;
    readonly plans: SyncPlanOperations;
    readonly tokens: Tokens;
  } | null;
  readonly logger: Logger;
}

/** Opens what the settings ask for: the API with health and metrics, or each at its own address. */
export async function openHttpServers({
  settings,
  ops,
  api,
  logger,
}: HttpServersOptions): Promise<OpsServer[]> {
  const servers: OpsServer[] = [];
  const { internal, host, port, rateLimit } = settings;
  try {
    if (internal || !api) {
      const named = internal ? { namedBy: 'HTTP_INTERNAL_HOST and HTTP_INTERNAL_PORT' } : {};
      servers.push(await openOpsServer(ops, { ...(internal ?? { host, port }), logger, ...named }));
    }
    if (api) {
      const shared = { ...api, rateLimit, logger, now: () => performance.now() };
      servers.push(await openApiServer({ ...shared, ops: internal ? null : ops, host, port }));
    }
  } catch (error) {
    await Promise.all(servers.map((server) => server.close()));
    throw error;
  }
  return servers;
}

/** The tokens of `HTTP_TOKENS_FILE`; nobody gets in without. Rejects with a `ConfigError` when it can't be used. */
export async function openTokens({ tokensFile: path }: HttpSettings, logger: Logger): Promise<Tokens> {
  if (path === null) return noTokens;
  try {
    return await FileTokens.open({
      path,
      readFile: (file) => readFile(file, 'utf8'),
      logger,
      now: () => performance.now(),
    });
  } catch (error) {
    if (!(error instanceof TokensFileError)) throw error;
    throw new ConfigError([`HTTP_TOKENS_FILE: ${error.message}`]);
  }
}
