import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { randomUUID } from 'node:crypto';
import type { Logger } from '../streams/logger.ts';
import { allowedMethods } from './allowed-methods.ts';
import { urlOf, type ApiCall } from './api-call.ts';
import { ApiError, notFound } from './api-error.ts';
import { addCallRoutes } from './call-routes.ts';
import { CallSlots } from './call-slots.ts';
import { answerOnSocket, clientError } from './client-errors.ts';
import type { DeadLetterOperations } from './dead-letter-operations.ts';
import { apiErrorOf } from './error-answer.ts';
import type { ExecutionOperations } from './execution-operations.ts';
import { listen, type ListenOptions } from './listen.ts';
import { openApiDocument } from './openapi.ts';
import { addOpsRoutes, type OpsServer, type OpsSource } from './ops-server.ts';
import { RateLimiter } from './rate-limiter.ts';
import { sendError } from './refusal.ts';
import type { ReplicationOperations } from './replication-operations.ts';
import { credentialsCalls } from './routes/credentials-calls.ts';
import { deadLetterCalls } from './routes/dead-letter-calls.ts';
import { explainCalls } from './routes/explain-calls.ts';
import { initialSyncCalls } from './routes/initial-sync-calls.ts';
import { replicationCalls } from './routes/replication-calls.ts';
import type { SyncPlanOperations } from './sync-plan-operations.ts';
import type { Principal, Tokens } from './tokens.ts';

export interface ApiOptions {
  readonly replications: ReplicationOperations;
  readonly deadLetters: DeadLetterOperations;
  readonly executions: ExecutionOperations;
  readonly plans: SyncPlanOperations;
  readonly tokens: Tokens;
  /** Requests per second and token. */
  readonly rateLimit: number;
  readonly logger: Logger;
  /** ms of a clock that only goes forward. */
  readonly now: () => number;
  /** Health and metrics, when they are served here too. */
  readonly ops: OpsSource | null;
  /** How long a request may take to arrive; default 10 s. */
  readonly requestTimeoutMs?: number;
}

const MAX_BODY_BYTES = 64 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;
/** A connection on which nothing moves. Longer than any call takes, so that none is cut off. */
const IDLE_TIMEOUT_MS = 75_000;
/** Load balancers keep theirs for 60 s. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
const MAX_CONNECTIONS = 1_024;
/** What is being answered may end that long after the server was told to close. */
const CLOSE_DEADLINE_MS = 5_000;

/** Serves the REST API. Rejects with `ListenError` when it can't listen. */
export async function openApiServer(options: ApiOptions & ListenOptions): Promise<OpsServer> {
  const server = await buildApiServer(options);
  const port = await listen(server, options);
  let closing: Promise<void> | null = null;
  return {
    port,
    close: () => {
      closing ??= closeServer(server);
      return closing;
    },
  };
}

/** The server before it listens. */
export async function buildApiServer(options: ApiOptions): Promise<FastifyInstance> {
  const { logger, requestTimeoutMs = REQUEST_TIMEOUT_MS } = options;
  const callers = new WeakMap<FastifyRequest, Principal>();
  const calls: readonly ApiCall[] = [
    ...replicationCalls(options.replications),
    ...credentialsCalls(options.replications),
    ...deadLetterCalls(options.replications, options.deadLetters),
    ...explainCalls(options.replications),
    ...initialSyncCalls(options.executions, options.plans),
  ];
  const paths = ['/openapi.json', ...(options.ops ? ['/healthz', '/readyz', '/metrics'] : [])];
  const served = [
    ...calls.map((call) => ({ method: call.method, path: urlOf(call) })),
    ...paths.map((path) => ({ method: 'GET', path })),
  ];
  const refuse = (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    void sendError(reply, apiErrorOf(error), { request, principal: callers.get(request) ?? null, logger });
  };
  const server = fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: requestTimeoutMs,
    connectionTimeout: IDLE_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: requestTimeoutMs,
      requestTimeout: requestTimeoutMs,
      // Node looks every 30 s by default.
      connectionsCheckingInterval: Math.min(1_000, requestTimeoutMs),
    },
    clientErrorHandler: (error, socket) => {
      if (error.code === 'ECONNRESET') return;
      const errorId = randomUUID();
      const answer = clientError(error.code);
      logger.debug({ error_id: errorId, code: answer.code }, answer.message);
      answerOnSocket(socket, answer, errorId);
    },
    frameworkErrors: refuse,
  });
  server.server.maxConnections = MAX_CONNECTIONS;
  server.setErrorHandler(refuse);
  // Settled before the body is looked at, whatever its type.
  server.addHook('onRequest', async (request, reply) => {
    if (!request.is404) return;
    const allowed = allowedMethods(request.url, served);
    if (allowed.length === 0) throw notFound();
    void reply.header('Allow', allowed.join(', '));
    throw new ApiError('method_not_allowed', `the path takes ${allowed.join(', ')}`);
  });
  const document = openApiDocument(calls);
  server.get('/openapi.json', (_request, reply) => reply.send(document));
  if (options.ops) addOpsRoutes(server, options.ops, logger);
  const limiter = new RateLimiter({ perSecond: options.rateLimit, now: options.now });
  const { tokens } = options;
  await addCallRoutes(server, { calls, tokens, limiter, slots: new CallSlots(), logger, callers });
  return server;
}

/** Lets what is being answered end, for a while. */
async function closeServer(server: FastifyInstance): Promise<void> {
  const deadline = setTimeout(() => server.server.closeAllConnections(), CLOSE_DEADLINE_MS);
  try {
    await server.close();
  } finally {
    clearTimeout(deadline);
  }
}
