import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { API_ERROR_CODES, API_ERRORS, type ApiErrorCode } from '../../../api/api-error.ts';
import { taskKey } from '../../../processors/initial-sync/execution-keys.ts';
import { writeTask } from '../../../processors/initial-sync/task-record.ts';
import { ApiUnderTest, EXECUTIONS, PUBSUB } from '../../support/api-under-test.ts';
import { aTask } from '../../support/executions.ts';
import { aServiceAccountFile } from '../../support/service-account.ts';

interface Operation {
  readonly operationId: string;
  readonly security?: readonly unknown[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly example?: object }>> };
  readonly responses: Readonly<Record<string, ResponseDescription>>;
}

interface ResponseDescription {
  readonly content: Readonly<Record<string, { readonly schema: ResponseSchema }>>;
}

interface ResponseSchema {
  readonly allOf?: readonly {
    readonly properties?: { readonly error_code: { readonly enum: readonly string[] } };
  }[];
}

interface Schema {
  readonly properties: Readonly<Record<string, unknown>>;
  readonly required?: readonly string[];
}

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const api = new ApiUnderTest();
let document: Document;

beforeAll(async () => {
  const { body } = await api.call('GET', '/openapi.json', { token: null });
  document = body as unknown as Document;
});

afterAll(() => api.close());

/** Codes of operations that HTTP never asks for: the path decides these fields. */
const NOT_OVER_HTTP: readonly ApiErrorCode[] = ['invalid_datamart_id', 'invalid_created'];

/** Answered without being documented for a call: there is none. */
const WITHOUT_CALL: readonly ApiErrorCode[] = ['method_not_allowed'];

function operations(): readonly (readonly [path: string, method: string, operation: Operation])[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => [path, method, operation] as const),
  );
}

function codesOf({ responses }: Operation): readonly string[] {
  return Object.values(responses).flatMap(({ content }) =>
    Object.values(content).flatMap(({ schema }) =>
      (schema.allOf ?? []).flatMap(({ properties }) => properties?.error_code.enum ?? []),
    ),
  );
}

test('is OpenAPI 3.1, whose references lead somewhere and whose operations have names of their own', () => {
  const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(
    ([, name]) => name,
  );
  const names = operations().map(([, , { operationId }]) => operationId);

  expect(document.openapi).toBe('3.1.0');
  expect(references.filter((name) => !Object.hasOwn(document.components.schemas, String(name)))).toEqual([]);
  expect(new Set(names).size).toBe(names.length);
});

test('documents every route, and nothing else', async () => {
  const documented = operations().map(
    ([path, method]) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
  );
  const routes = (await api.server).printRoutes({ commonPrefix: false, includeHooks: false });
  const served = routesIn(routes);

  expect([...documented].sort()).toEqual(served);
});

test.each(['Replication', 'Observed', 'Position'])('%s has the fields that are answered', async (name) => {
  const id = api.plane.given({
    id: '70',
    datamart_id: '1649',
    ...PUBSUB,
    endpoint: 'eu-pubsub.googleapis.com',
  });
  api.plane.offsets = [{ topic: 't', partition: 0, committed: 1, end: 2, lagMs: 0 }];
  const { data } = await api.call('GET', `/v1/datamarts/1649/replications/${id}`);
  const observed = data.observed as Record<string, unknown>;
  const answered: Record<string, object> = {
    Replication: data,
    Observed: observed,
    Position: (observed.positions as readonly object[])[0]!,
  };
  const schema = document.components.schemas[name]!;

  const fields = Object.keys(answered[name]!);

  expect(fields.filter((field) => !Object.hasOwn(schema.properties, field))).toEqual([]);
  expect((schema.required ?? []).filter((field) => !fields.includes(field))).toEqual([]);
});

test('executions have the fields that are answered', async () => {
  const started = new ApiUnderTest();
  started.plane.given({ id: '80', datamart_id: '1649', ...PUBSUB, status: 'ACTIVE' });
  started.plane.observe('80', 'ACTIVE');
  await started.call('POST', EXECUTIONS, { body: { id: 'sync-1' } });
  const task = aTask(0);
  started.plane.applyExecution(taskKey('sync-1', task.at), writeTask(task));
  const { data } = await started.call('GET', `${EXECUTIONS}/sync-1`);
  await started.close();
  const { replications } = data.result as { readonly replications: Readonly<Record<string, object>> };
  const answered: Record<string, object> = {
    Execution: data,
    ExecutionPart: replications['80']!,
    ExecutionTask: (data.tasks as readonly object[])[0]!,
  };

  for (const [name, resource] of Object.entries(answered)) {
    const { properties, required = [] } = document.components.schemas[name]!;
    expect(Object.keys(resource).filter((field) => !Object.hasOwn(properties, field))).toEqual([]);
    expect(required.filter((field) => !Object.hasOwn(resource, field))).toEqual([]);
  }
});

describe('every documented call', () => {
  test('answers success as documented, with the documented example', async () => {
    const happy = new ApiUnderTest();
    const answers: Record<string, number> = {};
    for (const id of ['123', '456']) {
      happy.plane.given({ id, datamart_id: '1649', ...PUBSUB, status: 'ACTIVE' });
      happy.plane.observe(id, 'ACTIVE');
    }
    let launched = '';
    // A plan is refused while what was launched goes on.
    const isPlan = ([path]: readonly [string, ...unknown[]]): boolean => path.endsWith('/plan');
    const inOrder = operations().toSorted((a, b) => Number(isPlan(b)) - Number(isPlan(a)));
    for (const [path, method, operation] of inOrder) {
      happy.plane.given({ id: '80', datamart_id: '1649', ...PUBSUB, credentials_uri: 'sealed:80' });
      const url = path
        .replace('{datamartId}', '1649')
        .replace('{executionId}', launched)
        .replace(/\{\w+\}/, '80');
      const example = operation.requestBody?.content['application/json']?.example;
      const answer = operation.requestBody?.content['multipart/form-data']
        ? await happy.upload('80', aServiceAccountFile())
        : await happy.call(method.toUpperCase(), url, { body: example });
      answers[operation.operationId] = answer.status;
      if (operation.operationId === 'launchExecution') launched = String(answer.data.id);
      expect(Object.keys(operation.responses)).toContain(String(answer.status));
    }
    await happy.close();

    expect(answers).toEqual({
      listReplications: 200,
      createReplication: 201,
      getReplication: 200,
      updateReplication: 200,
      deleteReplication: 200,
      uploadCredentials: 200,
      listDeadLetters: 200,
      redriveDeadLetters: 200,
      explain: 200,
      listExecutions: 200,
      launchExecution: 201,
      planExecution: 200,
      getExecution: 200,
      cancelExecution: 200,
      getDocument: 200,
    });
  });

  test('needs a token, but for the document', async () => {
    for (const [path, method, { security }] of operations()) {
      const url = path.replaceAll(/\{\w+\}/g, '80');
      const { status } = await api.call(method.toUpperCase(), url, { token: null });
      expect(`${path} ${status}`).toBe(`${path} ${security ? 200 : 401}`);
    }
  });
});

describe('every code', () => {
  test('is documented for a call', () => {
    const documented = new Set(operations().flatMap(([, , operation]) => codesOf(operation)));
    const without = [...NOT_OVER_HTTP, ...WITHOUT_CALL];

    expect(API_ERROR_CODES.filter((code) => !documented.has(code)).sort()).toEqual([...without].sort());
  });

  test('is in docs/rest-api.md with its status, and that has no other', () => {
    const text = readFileSync(new URL('../../../docs/rest-api.md', import.meta.url), 'utf8');
    const section = /\n## Codes\n([^]*)/.exec(text)?.[1] ?? '';
    const documented = [...section.matchAll(/^\| (\d{3}) \| (.*?) \|/gm)].flatMap(([, status, codes]) =>
      [...String(codes).matchAll(/`(\w+)`/g)].map(([, code]) => `${status} ${code}`),
    );

    const existing = API_ERROR_CODES.map((code) => `${API_ERRORS[code].status} ${code}`);

    expect([...documented].sort()).toEqual([...existing].sort());
  });
});

/** The routes in fastify's drawing of its tree, but for HEAD. */
function routesIn(drawing: string): readonly string[] {
  const routes: string[] = [];
  const prefixes: string[] = [];
  for (const line of drawing.split('\n')) {
    const match = /^([│├└─ ]*)(\S+)(?: \(([A-Z, ]+)\))?/.exec(line);
    if (!match) continue;
    const depth = match[1]!.length / 4;
    const path = `${prefixes.slice(0, depth).at(-1) ?? ''}${match[2]}`;
    prefixes[depth] = path;
    for (const method of (match[3] ?? '').split(', '))
      if (method && method !== 'HEAD') routes.push(`${method} ${path}`);
  }
  return routes.sort();
}
