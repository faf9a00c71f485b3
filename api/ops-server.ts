import fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from '../streams/logger.ts';

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

export interface OpsServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly logger: Logger;
  /** The settings that say where to listen; part of the error when that fails. */
  readonly namedBy?: string;
}

/** A server that listens. */
export interface OpsServer {
  readonly port: number;
  /** Ends it with all its connections. Idempotent. */
  close(): Promise<void>;
}

/** The address can't be listened on; the message says which settings to change. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
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

async function listen(server: FastifyInstance, options: OpsServerOptions): Promise<number> {
  const { host, port, namedBy = 'HTTP_HOST and HTTP_PORT' } = options;
  try {
    await server.listen({ host, port });
  } catch (error) {
    await server.close();
    const reason = LISTEN_REASONS[errorCode(error)] ?? String(error);
    throw new ListenError(`listening on ${host}:${port}: ${reason}; change ${namedBy}`, { cause: error });
  }
  const address = server.server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

function errorCode(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

const LISTEN_REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken by another program',
  EACCES: 'the port needs more rights than this program has',
  EADDRNOTAVAIL: 'no interface of this machine has that address',
  ENOTFOUND: 'the host name is not known',
};
