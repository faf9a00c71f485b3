import { COMMON_ERRORS, errorsOf, urlOf, type ApiCall } from './api-call.ts';
import { API_ERRORS, type ApiErrorCode } from './api-error.ts';
import { API_SCHEMAS, type SchemaName } from './api-schemas.ts';

type Json = Readonly<Record<string, unknown>>;

/** The OpenAPI 3.1 document of the calls, made from what they are served from. */
export function openApiDocument(calls: readonly ApiCall[]): Json {
  const paths = new Map<string, Record<string, Json>>();
  for (const call of calls) {
    const path = urlOf(call).replaceAll(/:(\w+)/g, '{$1}');
    const item = paths.get(path) ?? {};
    item[call.method.toLowerCase()] = operationOf(call);
    paths.set(path, item);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'datamart-replication',
      version: '1',
      description: "Replications of datamarts into their owners' own clouds",
    },
    security: [{ token: [] }],
    paths: { ...Object.fromEntries(paths), '/openapi.json': { get: documentOperation() } },
    components: {
      securitySchemes: {
        token: { type: 'apiKey', in: 'header', name: 'Authorization', description: 'api:TOKEN' },
      },
      schemas: API_SCHEMAS,
    },
  };
}

function operationOf(call: ApiCall): Json {
  return {
    operationId: call.name,
    summary: call.summary,
    parameters: [
      ...[...urlOf(call).matchAll(/:(\w+)/g)].map(([, name]) => ({
        name,
        in: 'path',
        required: true,
        schema: { type: 'string' },
      })),
      ...call.parameters.map(({ name, description, schema }) => ({ name, in: 'query', description, schema })),
      ...(call.takesIfMatch ? [IF_MATCH] : []),
    ],
    ...requestBodyOf(call),
    responses: { ...successOf(call), ...refusalsOf(errorsOf(call)) },
  };
}

const IF_MATCH = {
  name: 'If-Match',
  in: 'header',
  description:
    'the ETag of an answer: 412 when another write came between. Exact among the writes of one instance',
  schema: { type: 'string' },
};

function requestBodyOf({ body }: ApiCall): Json {
  switch (body.kind) {
    case 'none':
      return {};
    case 'json':
      return {
        requestBody: {
          required: body.isRequired,
          content: { 'application/json': { schema: refTo(body.schema), example: body.example } },
        },
      };
    case 'file':
      return {
        requestBody: {
          required: true,
          content: {
            'multipart/form-data': {
              schema: {
                type: 'object',
                properties: { file: { type: 'string', format: 'binary', description: '16 KiB at most' } },
                required: ['file'],
              },
            },
          },
        },
      };
  }
}

function successOf({ answer, takesIfMatch, method }: ApiCall): Json {
  if (!answer) return {};
  const { status, schema, isList } = answer;
  const count = { type: 'integer' };
  const properties = isList
    ? {
        data: { type: 'array', items: refTo(schema) },
        count,
        total: count,
        first_result: count,
        max_results: count,
      }
    : { data: refTo(schema) };
  const hasEtag = !isList && method !== 'DELETE' && (takesIfMatch || schema === 'Replication');
  return {
    [status]: {
      description: 'done',
      ...(hasEtag ? { headers: { ETag: { description: 'the version', schema: { type: 'string' } } } } : {}),
      content: {
        'application/json': {
          schema: {
            type: 'object',
            properties: { status: { type: 'string', const: 'ok' }, ...properties },
            required: ['status', ...Object.keys(properties)],
          },
        },
      },
    },
  };
}

/** By status, with the codes that come with it. */
function refusalsOf(codes: readonly ApiErrorCode[]): Json {
  const byStatus = Map.groupBy(codes, (code) => API_ERRORS[code].status);
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, ofStatus]) => [
        status,
        {
          description: ofStatus.map((code) => `\`${code}\`: ${API_ERRORS[code].meaning}`).join('\n\n'),
          ...(status === 429 ? { headers: RETRY_AFTER } : {}),
          content: {
            'application/json': {
              schema: {
                allOf: [refTo('Error'), { properties: { error_code: { type: 'string', enum: ofStatus } } }],
              },
            },
          },
        },
      ]),
  );
}

const RETRY_AFTER = { 'Retry-After': { description: 'seconds', schema: { type: 'integer' } } };

function documentOperation(): Json {
  return {
    operationId: 'getDocument',
    summary: 'This document',
    security: [],
    responses: {
      200: { description: 'OpenAPI 3.1', content: { 'application/json': { schema: { type: 'object' } } } },
      ...refusalsOf(COMMON_ERRORS.filter((code) => DOCUMENT_ERRORS.includes(code))),
    },
  };
}

const DOCUMENT_ERRORS: readonly ApiErrorCode[] = [
  'invalid_request',
  'request_timeout',
  'headers_too_large',
  'internal_error',
];

function refTo(schema: SchemaName): Json {
  return { $ref: `#/components/schemas/${schema}` };
}
