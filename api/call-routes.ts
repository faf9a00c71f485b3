import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestAsyncHookHandler } from 'fastify';
import { isJsonObject } from '../schemas/json-object.ts';
import type { Logger } from '../streams/logger.ts';
import { urlOf, type ApiCall, type CallAnswer } from './api-call.ts';
import { ApiError, notFound } from './api-error.ts';
import { admit, assertDatamartOf } from './call-access.ts';
import type { CallSlots } from './call-slots.ts';
import { parseJsonBody } from './json-body.ts';
import { acceptForms, uploadedFile } from './multipart-file.ts';
import { Query } from './query-parameters.ts';
import type { RateLimiter } from './rate-limiter.ts';
import type { Principal, Tokens } from './tokens.ts';

export interface CallRoutesOptions {
  readonly calls: readonly ApiCall[];
  readonly tokens: Tokens;
  readonly limiter: RateLimiter;
  readonly slots: CallSlots;
  readonly logger: Logger;
  /** Whose request it is, for whoever logs its end. */
  readonly callers: WeakMap<FastifyRequest, Principal>;
}

interface PathIds {
  readonly datamartId?: string;
  readonly replicationId?: string;
  readonly executionId?: string;
}

const ID = /^[A-Za-z0-9_.-]{1,64}$/;

/**
 * Serves the calls. Who may call is settled before a byte of the body is read. Calls with a JSON body and calls with a
 * form live apart, so that each takes only its own kind.
 */
export async function addCallRoutes(server: FastifyInstance, options: CallRoutesOptions): Promise<void> {
  const isForm = ({ body }: ApiCall): boolean => body.kind === 'file';
  server.removeAllContentTypeParsers();
  await server.register(async (scope) => {
    scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, parseBody);
    for (const call of options.calls) if (!isForm(call)) addCall(scope, call, options);
  });
  await server.register(async (scope) => {
    await acceptForms(scope);
    for (const call of options.calls) if (isForm(call)) addCall(scope, call, options);
  });
}

async function parseBody(_request: FastifyRequest, body: string | Buffer): Promise<unknown> {
  return parseJsonBody(Buffer.from(body));
}

function addCall(scope: FastifyInstance, call: ApiCall, options: CallRoutesOptions): void {
  scope.route({
    method: call.method,
    url: urlOf(call),
    onRequest: accessHook(options),
    handler: async (request, reply) => {
      const principal = options.callers.get(request);
      if (!principal) throw new Error(`serving ${call.name}: nobody was let in`);
      const { datamartId, id } = idsOf(request);
      const handle = async (): Promise<CallAnswer> =>
        call.handle({
          datamartId,
          id,
          query: Query.parse(searchOf(request), call.parameters),
          body: request.body,
          file: () => uploadedFile(request),
          caller: { name: principal.name, role: principal.role },
          ifMatch: call.takesIfMatch ? ifMatchOf(request) : null,
        });
      const answer = await (call.readsLog ? options.slots.run(principal.name, handle) : handle());
      if (call.change !== null) audit(options.logger, call.change, request, principal, answer);
      return send(reply, call, answer);
    },
  });
}

function accessHook({ tokens, limiter, callers }: CallRoutesOptions): onRequestAsyncHookHandler {
  return async (request) => {
    const principal = await admit(request.headers.authorization, tokens, limiter);
    callers.set(request, principal);
    assertDatamartOf(principal, idsOf(request).datamartId);
  };
}

function send(
  reply: FastifyReply,
  { answer: kind }: ApiCall,
  { data, etag, page }: CallAnswer,
): FastifyReply {
  void reply.code(kind?.status ?? 200).header('Cache-Control', 'no-store');
  if (etag !== undefined) void reply.header('ETag', `"${etag}"`);
  if (!page) return reply.send({ status: 'ok', data });
  const { total, firstResult, maxResults } = page;
  const count = Array.isArray(data) ? data.length : 0;
  return reply.send({ status: 'ok', data, count, total, first_result: firstResult, max_results: maxResults });
}

/** One line for each change: who, what, which, from where. No payload. */
function audit(
  logger: Logger,
  change: string,
  request: FastifyRequest,
  principal: Principal,
  { createdId }: CallAnswer,
): void {
  const { datamartId, id } = idsOf(request);
  const { body } = request;
  logger.info(
    {
      audit: change,
      caller: principal.name,
      role: principal.role,
      datamart_id: datamartId,
      replication_id: createdId ?? id,
      address: request.ip,
      // The call took them, so they are names that it knows.
      ...(isJsonObject(body) ? { fields: Object.keys(body) } : {}),
    },
    `${principal.name} ${change}`,
  );
}

function idsOf({ params }: FastifyRequest): { readonly datamartId: string; readonly id: string } {
  const { datamartId = '', replicationId, executionId }: PathIds = params ?? {};
  const id = replicationId ?? executionId;
  if (id !== undefined && !ID.test(id)) throw notFound();
  return { datamartId, id: id ?? '' };
}

function searchOf({ url }: FastifyRequest): string {
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at + 1);
}

/** Null when any version will do; a tag that isn't one of ours matches none. */
function ifMatchOf({ headers }: FastifyRequest): string | null {
  const given = headers['if-match'];
  if (given === undefined || given.trim() === '*') return null;
  const offset = /^\s*"?(\d{1,16})"?\s*$/.exec(given)?.[1];
  if (offset !== undefined) return offset;
  throw new ApiError('precondition_failed', 'If-Match names no version of a replication', {
    hint: 'send the ETag of an answer as it came',
  });
}
