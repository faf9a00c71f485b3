import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openApiServer } from '../../../api/api-server.ts';
import type { OpsServer } from '../../../api/ops-server.ts';
import { ApiConnection } from '../../../commands/api-connection.ts';
import { ApiExecutions } from '../../../commands/api-executions.ts';
import { ApiUnderTest, DATAMART, PUBSUB, TOKENS } from '../../support/api-under-test.ts';

const EVERYTHING = { firstResult: 0, maxResults: 50, keywords: null, status: null };

const api = new ApiUnderTest();
let server: OpsServer;
let executions: ApiExecutions;

beforeAll(async () => {
  for (const id of ['80', '81']) {
    api.plane.given({ id, datamart_id: DATAMART, ...PUBSUB, status: 'ACTIVE' });
    api.plane.observe(id, 'ACTIVE');
  }
  server = await openApiServer({ ...(await api.options), host: '127.0.0.1', port: 0 });
  const baseUrl = `http://127.0.0.1:${server.port}`;
  const { signal } = new AbortController();
  executions = new ApiExecutions(new ApiConnection({ baseUrl, token: TOKENS.acme, signal }));
});

afterAll(async () => {
  await server.close();
});

test('launches, shows, lists and cancels over HTTP, as the service itself would', async () => {
  const launched = await executions.launch(DATAMART, { id: 'sync-1', replication_ids: ['80'] });
  expect(launched).toMatchObject({ id: 'sync-1', status: 'PENDING' });

  expect(await executions.get(DATAMART, 'sync-1')).toMatchObject({ status: 'RUNNING', tasks: [] });
  expect(
    await executions.list(DATAMART, { ...EVERYTHING, status: 'RUNNING', keywords: 'sync' }),
  ).toMatchObject({
    items: [{ id: 'sync-1' }],
    total: 1,
  });
  expect(await executions.list(DATAMART, { ...EVERYTHING, firstResult: 1 })).toEqual({ items: [], total: 1 });
  expect(await executions.cancel(DATAMART, 'sync-1')).toMatchObject({ status: 'CANCELED' });
});

test('hands on refusals with all that they say', async () => {
  await expect(executions.launch(DATAMART, { replication_ids: ['80', '99'] })).rejects.toMatchObject({
    code: 'not_found',
    field: 'replication_ids',
    details: { replication_ids: ['99'] },
  });
  await expect(executions.cancel(DATAMART, 'sync-1')).rejects.toMatchObject({ code: 'execution_ended' });
  await expect(executions.get('1700', 'sync-1')).rejects.toMatchObject({ code: 'not_found' });
});

test('asks nobody for a path that would lead elsewhere, nor for all datamarts', async () => {
  await expect(executions.get(DATAMART, '..')).rejects.toMatchObject({ code: 'not_found' });
  await expect(executions.list(null, EVERYTHING)).rejects.toThrow('--datamart-id');
});
