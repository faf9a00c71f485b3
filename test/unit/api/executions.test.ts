import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { executionKey, resultKey, taskKey } from '../../../processors/initial-sync/execution-keys.ts';
import { writeExecution } from '../../../processors/initial-sync/execution-record.ts';
import { writeTask } from '../../../processors/initial-sync/task-record.ts';
import { ApiUnderTest, EVENT_HUBS, EXECUTIONS, PUBSUB, REPLICATIONS } from '../../support/api-under-test.ts';
import { undocumentedRefusals } from '../../support/documented-codes.ts';
import { anExecution, aPart, aTask } from '../../support/executions.ts';
import { MALFORMED_SYNCS, REFUSED_SYNCS, SITUATION } from '../../support/sync-cases.ts';

const HOUR_MS = 3_600_000;

let api: ApiUnderTest;

/** 80 and 81 are ACTIVE. */
beforeEach(() => {
  api = new ApiUnderTest();
  active('80');
  active('81');
});

afterEach(async () => {
  expect(await undocumentedRefusals(api)).toEqual([]);
  await api.close();
});

function active(id: string, datamart_id: string = SITUATION.datamartId): void {
  api.plane.given({ id, datamart_id, ...PUBSUB, status: 'ACTIVE', credentials_uri: `sealed:${id}` });
  api.plane.observe(id, 'ACTIVE');
}

/** An execution that has ended. */
function given(id: string, fields: Parameters<typeof anExecution>[0] = {}): void {
  const execution = anExecution({ id, status: 'SUCCEEDED', numTasks: 4, completedTasks: 4, ...fields });
  api.plane.applyExecution(executionKey(id), writeExecution(execution));
  api.plane.applyExecution(resultKey(id), writeExecution(execution));
}

const launch = (body?: unknown, token?: 'other' | 'ops') =>
  api.call('POST', EXECUTIONS, { body, ...(token ? { token } : {}) });
const cancel = (id: string) => api.call('DELETE', `${EXECUTIONS}/${id}`);
const get = (id: string) => api.call('GET', `${EXECUTIONS}/${id}`);

describe('a launch', () => {
  test('is answered with the execution, PENDING, and runs then', async () => {
    const { status, data } = await launch({ replication_ids: ['80', 81] });

    expect(status).toBe(201);
    expect(data).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown,
      datamart_id: '1649',
      status: 'PENDING',
      creation_date: expect.any(Number) as unknown,
      num_tasks: 4,
      completed_tasks: 0,
      erroneous_tasks: 0,
      user_id: 'acme',
      external_model_name: 'PUBLIC_DATAMART',
      parameters: { replication_ids: ['80', '81'], max_operations: null },
      held: null,
      result: {
        total_failure: 0,
        replications: {
          80: { outcome: null, documents: {}, skipped_newer: 0, rejected: 0 },
          81: { outcome: null, documents: {}, skipped_newer: 0, rejected: 0 },
        },
      },
      error: null,
      progress: 0,
      tasks: [],
    });
    expect((await get(String(data.id))).data).toMatchObject({
      status: 'RUNNING',
      duration: expect.any(Number) as unknown,
    });
  });

  test.each([undefined, {}, { replication_ids: null }])('of %j is for every ACTIVE one', async (body) => {
    const { status, data } = await launch(body);

    expect(status).toBe(201);
    expect(data).toMatchObject({ parameters: { replication_ids: ['80', '81'] } });
  });

  test('is answered when no processor is there: the request waits for one', async () => {
    api.plane.hasCoordinator = false;
    const { status, data } = await launch({ id: 'sync-1', replication_ids: ['80'] });

    expect(status).toBe(201);
    expect(data).toMatchObject({ id: 'sync-1', status: 'PENDING', num_tasks: 0 });
    expect((await get('sync-1')).data).toMatchObject({ status: 'PENDING' });
    expect((await api.call('GET', EXECUTIONS)).body).toMatchObject({ total: 1 });
    expect(await launch({ replication_ids: ['81'] })).toMatchObject({
      status: 409,
      code: 'sync_already_running',
    });
  });

  test('with the same id again launches nothing twice', async () => {
    const first = await launch({ id: 'sync-1', replication_ids: ['80'] });
    const second = await launch({ id: 'sync-1', replication_ids: ['80'] });
    given('sync-1', { datamartId: '1649', status: 'SUCCEEDED', revision: 9 });
    const third = await launch({ id: 'sync-1' });

    expect([first.status, second.status, third.status]).toEqual([201, 201, 201]);
    expect(second.data).toMatchObject({ id: 'sync-1', status: 'RUNNING' });
    expect(third.data).toMatchObject({ id: 'sync-1', status: 'SUCCEEDED' });
    expect((await api.call('GET', EXECUTIONS)).body).toMatchObject({ total: 1 });
  });

  test('with the same id and a higher budget raises it', async () => {
    await launch({ id: 'sync-1', max_operations: 10 });
    const { data } = await launch({ id: 'sync-1', max_operations: 20 });
    const lower = await launch({ id: 'sync-1', max_operations: 5 });

    expect(data).toMatchObject({ parameters: { replication_ids: ['80', '81'], max_operations: 20 } });
    expect(lower.data).toMatchObject({ parameters: { max_operations: 20 } });
  });

  test('can’t take the id of another datamart’s, and is told nothing of that', async () => {
    given('sync-1', { datamartId: '1700' });

    expect(await launch({ id: 'sync-1' })).toMatchObject({ status: 400, code: 'invalid_id' });
    expect(await get('sync-1')).toMatchObject({ status: 404, code: 'not_found' });
    expect(await cancel('sync-1')).toMatchObject({ status: 404, code: 'not_found' });
  });
});

describe('a launch is refused, and nothing is written', () => {
  test.each(MALFORMED_SYNCS.map((row) => [row.what, row] as const))(
    '%s',
    async (_, { request, code, field }) => {
      const { status, body } = await launch(request);

      expect({ status, code: body.error_code, field: body.field }).toEqual({ status: 400, code, field });
      expect((await api.call('GET', EXECUTIONS)).body).toMatchObject({ total: 0 });
    },
  );

  test.each(REFUSED_SYNCS.map((row) => [row.what, row] as const))('%s', async (_, row) => {
    api.plane.given({ id: '82', datamart_id: '1649', ...PUBSUB, status: 'PAUSED' });
    for (const id of ['83', '85']) api.plane.given({ id, datamart_id: '1649', ...PUBSUB, status: 'ACTIVE' });
    const failure = {
      reason: 'destination_failed',
      code: 'not_found',
      message: 'gone',
      remedy: null,
    } as const;
    api.plane.observe('83', 'ERROR', failure);
    active('90', SITUATION.otherDatamartId);
    const results = new Map([['81', aPart({ outcome: 'succeeded' as const })]]);
    given('lately', { replicationIds: ['81'], results, requestedAt: api.nowMs - HOUR_MS });

    const { status, body, headers } = await launch(row.request);

    expect({ status, code: body.error_code }).toEqual({ status: STATUS_OF[row.code], code: row.code });
    expect(body).toMatchObject({ field: row.field, details: { replication_ids: row.offenders } });
    if (row.code === 'sync_too_soon') {
      expect(body.details).toMatchObject({ next_date: expect.any(Number) as unknown });
      expect(Number(headers['retry-after'])).toBeGreaterThan(166 * 3_600);
    }
    if (row.code === 'not_found') expect(body.error).toBe('Resource Not Found');
    expect([...api.plane.requests.ids()]).toEqual([]);
  });

  test('without an ACTIVE replication', async () => {
    for (const id of ['80', '81']) api.plane.apply(id, null);

    expect(await launch({})).toMatchObject({ status: 409, code: 'no_active_replication' });
  });

  test('while one runs', async () => {
    await launch({ id: 'sync-1', replication_ids: ['80'] });

    const { status, body } = await launch({ replication_ids: ['81'] });
    expect({ status, code: body.error_code }).toEqual({ status: 409, code: 'sync_already_running' });
    expect(body.error).toContain('sync-1');
  });

  test('without a whole snapshot, as the processors say', async () => {
    api.plane.snapshotPartitions = null;

    expect(await launch({ id: 'sync-1' })).toMatchObject({ status: 409, code: 'snapshot_stale' });
    expect((await get('sync-1')).data).toMatchObject({ status: 'FAILED', error: { code: 'snapshot_stale' } });
    // The same again is refused again: the id is used up.
    expect(await launch({ id: 'sync-1' })).toMatchObject({ status: 409, code: 'snapshot_stale' });
  });

  test.each([
    [{ replication_id: ['80'] }, 'unknown_field', 'replication_id'],
    [{ cancel: true }, 'unknown_field', 'cancel'],
    [{ user_id: 'somebody' }, 'unknown_field', 'user_id'],
    [{ datamart_id: '1700' }, 'datamart_mismatch', 'datamart_id'],
    [{ id: 'a/b' }, 'invalid_id', 'id'],
    [{ id: 7 }, 'invalid_id', 'id'],
    [['80'], 'invalid_json', undefined],
  ])('%j', async (body, code, field) => {
    const answer = await launch(body);

    expect(answer).toMatchObject({ status: 400, code });
    expect(answer.body.field).toBe(field);
  });
});

const STATUS_OF: Readonly<Record<string, number>> = {
  not_found: 404,
  replication_not_active: 409,
  sync_too_soon: 429,
};

describe('reading', () => {
  test('one tells how far each task is, without who runs it', async () => {
    await launch({ id: 'sync-1' });
    for (const task of [aTask(1, { offset: 50 }), aTask(0, { status: 'SUCCEEDED', offset: 100 })])
      api.plane.applyExecution(taskKey('sync-1', task.at), writeTask(task));

    const { data } = await get('sync-1');

    expect(data).toMatchObject({ completed_tasks: 1, progress: 0.375 });
    expect(data.tasks).toEqual([
      expect.objectContaining({ partition: 0, status: 'SUCCEEDED' }),
      {
        topic: 'datamart-snapshot',
        partition: 1,
        status: 'RUNNING',
        offset: '50',
        end_offset: '100',
        operations: 0,
        held: null,
        error: null,
        updated_at: aTask(1).updatedAt,
      },
    ]);
  });

  test('a list is of the datamart, the newest first, without tasks', async () => {
    given('old', { creationDate: 1 });
    given('new', { creationDate: 3 });
    given('mid', { creationDate: 2, status: 'FAILED' });
    given('foreign', { datamartId: '1700' });

    const { body } = await api.call('GET', EXECUTIONS);
    expect((body.data as { id: string }[]).map(({ id }) => id)).toEqual(['new', 'mid', 'old']);
    expect(body).toMatchObject({ count: 3, total: 3, first_result: 0, max_results: 50 });
    expect((body.data as object[])[0]).not.toHaveProperty('tasks');
  });

  test.each([
    ['?first_result=1&max_results=1', ['mid'], 3],
    ['?keywords=NEW', ['new'], 1],
    ['?keywords=n%20ew', ['new'], 1],
    ['?status=FAILED', ['mid'], 1],
    ['?status=RUNNING', [], 0],
  ])('a list can be narrowed: %s', async (query, ids, total) => {
    given('old', { creationDate: 1 });
    given('new', { creationDate: 3 });
    given('mid', { creationDate: 2, status: 'FAILED' });

    const { body } = await api.call('GET', `${EXECUTIONS}${query}`);

    expect((body.data as { id: string }[]).map(({ id }) => id)).toEqual(ids);
    expect(body.total).toBe(total);
  });

  test.each(['?status=running', '?status=', '?max_results=0', '?state=RUNNING'])(
    '%s is refused',
    async (query) => {
      expect(await api.call('GET', `${EXECUTIONS}${query}`)).toMatchObject({
        status: 400,
        code: 'invalid_parameter',
      });
    },
  );

  test('waits for the tables', async () => {
    api.plane.isCaughtUp = false;

    expect(await api.call('GET', EXECUTIONS)).toMatchObject({ status: 503, code: 'not_ready' });
    expect(await get('sync-1')).toMatchObject({ status: 503, code: 'not_ready' });
    expect(await launch({})).toMatchObject({ status: 503, code: 'not_ready' });
    expect(await cancel('sync-1')).toMatchObject({ status: 503, code: 'not_ready' });
  });
});

describe('a cancel', () => {
  test('ends what runs, and answers it', async () => {
    await launch({ id: 'sync-1' });

    const { status, data } = await cancel('sync-1');

    expect(status).toBe(200);
    expect(data).toMatchObject({ id: 'sync-1', status: 'CANCELED' });
  });

  test('is written when no processor is there, and the execution answered as it is', async () => {
    await launch({ id: 'sync-1' });
    api.plane.hasCoordinator = false;

    expect((await cancel('sync-1')).data).toMatchObject({ status: 'RUNNING' });
    expect(api.plane.requests.get('sync-1')?.canceledFor).toBe('1649');
  });

  test.each(['SUCCEEDED', 'FAILED', 'CANCELED'] as const)('of one that is %s is refused', async (status) => {
    given('sync-1', { status });

    expect(await cancel('sync-1')).toMatchObject({ status: 409, code: 'execution_ended' });
  });

  test('of one that isn’t there is refused', async () => {
    expect(await cancel('sync-1')).toMatchObject({ status: 404, code: 'not_found' });
  });

  test('that isn’t seen in time is told', async () => {
    await launch({ id: 'sync-1' });
    api.plane.isUnconfirmed = true;

    expect(await cancel('sync-1')).toMatchObject({ status: 504, code: 'write_not_confirmed' });
  });
});

describe('while one runs', () => {
  const change = (id: string, body: object) => api.call('PUT', `${REPLICATIONS}/${id}`, { body });

  beforeEach(async () => {
    api.plane.given({ id: '82', datamart_id: '1649', ...EVENT_HUBS, credentials_uri: 'sealed:82' });
    await launch({ id: 'sync-1', replication_ids: ['80'] });
  });

  test.each([
    ['80', 'PAUSED'],
    ['81', 'PAUSED'],
    ['82', 'ACTIVE'],
  ])('35: the status of %s can’t become %s', async (id, status) => {
    const { status: code, body } = await change(id, { status });

    expect({ code, error: body.error_code }).toEqual({ code: 409, error: 'sync_in_progress' });
    expect(body).toMatchObject({ field: 'status', details: { execution_id: 'sync-1' } });
  });

  test('everything else can change, and the status be repeated', async () => {
    expect(await change('80', { name: 'another', status: 'ACTIVE' })).toMatchObject({ status: 200 });
    expect(await api.call('POST', REPLICATIONS, { body: PUBSUB })).toMatchObject({ status: 201 });
    expect(await api.call('DELETE', `${REPLICATIONS}/81`)).toMatchObject({ status: 200 });
  });

  test('a status that the topic brought waits, is told, and isn’t undone by another change', async () => {
    api.plane.apply('80', { id: '80', datamart_id: '1649', ...PUBSUB, status: 'PAUSED', resume: 'NOW' });

    const before = await api.call('GET', `${REPLICATIONS}/80`);
    expect(before.data).toMatchObject({
      status: 'PAUSED',
      resume: 'NOW',
      observed: { state: 'ACTIVE', deferred_status: 'PAUSED' },
    });

    expect(await change('80', { ...before.data, name: 'another' })).toMatchObject({ status: 200 });
    await cancel('sync-1');
    const after = await api.call('GET', `${REPLICATIONS}/80`);
    expect(after.data).toMatchObject({
      name: 'another',
      status: 'PAUSED',
      resume: 'NOW',
      observed: { state: 'PAUSED', deferred_status: null },
    });
  });

  test('other datamarts are free', async () => {
    active('90', '1700');
    const answer = await api.call('PUT', '/v1/datamarts/1700/replications/90', {
      token: 'other',
      body: { status: 'PAUSED' },
    });

    expect(answer.status).toBe(200);
  });
});
