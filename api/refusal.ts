import type { FastifyReply, FastifyRequest } from 'fastify';
import { randomUUID } from 'node:crypto';
import type { Logger } from '../streams/logger.ts';
import type { ApiError } from './api-error.ts';
import { errorEnvelope } from './error-answer.ts';
import type { Principal } from './tokens.ts';

/** Whose request is refused, as far as that is known, and where that is told. */
export interface RefusedRequest {
  readonly request: FastifyRequest;
  readonly principal: Principal | null;
  readonly logger: Logger;
}

/** Answers the envelope of a refused call, and logs it under the same `error_id`. */
export function sendError(reply: FastifyReply, error: ApiError, refused: RefusedRequest): FastifyReply {
  const errorId = randomUUID();
  logError(error, errorId, refused);
  void reply.code(error.status).header('Cache-Control', 'no-store');
  if (error.code === 'unauthorized') void reply.header('WWW-Authenticate', 'api');
  if (error.retryAfterSeconds !== null) void reply.header('Retry-After', String(error.retryAfterSeconds));
  // What is left of a body that wasn't read to its end must not be taken for the next request.
  if (error.status === 413) void reply.header('Connection', 'close');
  return reply.send(errorEnvelope(error, errorId));
}

function logError(error: ApiError, errorId: string, { request, principal, logger }: RefusedRequest): void {
  const fields = {
    error_id: errorId,
    code: error.code,
    method: request.method,
    // The pattern: what was asked for may hold anything.
    route: request.routeOptions.url ?? null,
    ...(principal ? { caller: principal.name } : {}),
    address: request.ip,
  };
  const isDefect = error.code === 'internal_error';
  if (error.status >= 500)
    logger[isDefect ? 'error' : 'warn'](
      { ...fields, error: isDefect ? (error.cause ?? error) : error },
      error.message,
    );
  else if (principal) logger.info(fields, `refused: ${error.message}`);
  // Anybody can cause these, as often as they like.
  else logger.debug(fields, `refused: ${error.message}`);
}
