import fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from '../streams/logger.ts';
import { listen, type ListenOptions } from './listen.ts';

/** Whether the instance takes part in the work, and what it waits for while it doesn't. */
export interface Readiness {
  readonly ready: boolean;
  /** The application's state, as `/readyz` shows it. */
  readonly state: string;
  /** In words, what is missing; empty when ready. */
  readonly missing: readonly string[];
}

/** What health and metrics ask the instance. */
export interface OpsSource {
  /** False when the process is ending, or can't work any more. */
  isHealthy(): boolean;
  readiness(): Readiness;
  /** All metrics in Prometheus' text format. */
  metrics(): Promise<string>;
  /** Of `metrics`. */
  readonly contentType: string;
}

export interface OpsServerOptions extends ListenOptions {
  readonly logger: Logger;
}

/** A server that listens. */
export interface OpsServer {
  readonly port: number;
  /** Ends it with all its connections. Idempotent. */
  close(): Promise<void>;
}

/** A connection on which nothing moves, a scraper that stopped reading for example, is closed after this. */
const IDLE_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 256;

/** Serves `/healthz`, `/readyz` and `/metrics`. Rejects with `ListenError` when it can't listen. */
export async function openOpsServer(source: OpsSource, options: OpsServerOptions): Promise<OpsServer> {
  const server = fastify({
    logger: false,
    connectionTimeout: IDLE_TIMEOUT_MS,
    requestTimeout: IDLE_TIMEOUT_MS,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    bodyLimit: 1024,
    forceCloseConnections: true,
  });
  server.server.maxConnections = MAX_CONNECTIONS;
  addOpsRoutes(server, source, options.logger);
  return { port: await listen(server, options), close: () => server.close() };
}

/** Adds the three routes to a server; for one that serves more than them. */
export function addOpsRoutes(server: FastifyInstance, source: OpsSource, logger: Logger): void {
  server.get('/healthz', (_request, reply) => {
    const isHealthy = source.isHealthy();
    return reply.code(isHealthy ? 200 : 503).send({ status: isHealthy ? 'ok' : 'failing' });
  });
  server.get('/readyz', (_request, reply) => {
    const { ready, state, missing } = source.readiness();
    return ready
      ? reply.send({ status: 'ready', state })
      : reply.code(503).send({ status: 'not_ready', state, missing });
  });
  // However many scrape at once, the metrics are gathered once.
  let gathering: Promise<string> | null = null;
  server.get('/metrics', async (_request, reply) => {
    try {
      gathering ??= source.metrics().finally(() => {
        gathering = null;
      });
      return await reply.type(source.contentType).send(await gathering);
    } catch (error) {
      logger.warn({ error }, 'gathering the metrics failed');
      return reply.code(500).type('text/plain').send('gathering the metrics failed\n');
    }
  });
}
