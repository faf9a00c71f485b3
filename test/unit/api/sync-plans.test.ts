import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { ApiError } from '../../../api/api-error.ts';
import { ApiUnderTest, EXECUTIONS, PUBSUB } from '../../support/api-under-test.ts';
import { undocumentedRefusals } from '../../support/documented-codes.ts';
import { MALFORMED_SYNCS, SITUATION } from '../../support/sync-cases.ts';

let api: ApiUnderTest;

/** 80 and 81 are ACTIVE. */
beforeEach(() => {
  api = new ApiUnderTest();
  for (const id of ['80', '81']) {
    api.plane.given({
      id,
      datamart_id: SITUATION.datamartId,
      ...PUBSUB,
      status: 'ACTIVE',
      credentials_uri: `sealed:${id}`,
    });
    api.plane.observe(id, 'ACTIVE');
  }
});

afterEach(async () => {
  expect(await undocumentedRefusals(api)).toEqual([]);
  await api.close();
});

const plan = (body?: unknown) => api.call('POST', `${EXECUTIONS}/plan`, { body });

const PART = {
  documents: { UserSegment: 700 },
  messages: 700,
  bytes: 70_000,
  requests: 1,
  billed_bytes: 110_000,
  throughput_unit_seconds: null,
  seconds: 7,
  billed_events: null,
  billing_source: 'https://cloud.google.com/pubsub/pricing',
  deletions: {},
  not_in_schema: 0,
  gap: { offsets: '40', since: expect.any(Number) as unknown, older_than_tombstones: false },
};

test('answers what each replication would get, and writes nothing', async () => {
  const before = api.plane.written.length;
  const { status, data } = await plan();

  expect(status).toBe(200);
  expect(data).toEqual({
    replications: { '80': PART, '81': PART },
    rate: 100,
    superseded_rows: 3,
    unreadable_rows: 0,
  });
  expect(api.plane.written).toHaveLength(before);
});

test('plans for those that are asked for', async () => {
  await plan({ replication_ids: [81] });

  expect(api.snapshot.planned).toEqual([['81']]);
});

test('is documented as it is answered', async () => {
  const { body } = await api.call('GET', '/openapi.json', { token: null });
  const { components } = body as unknown as {
    readonly components: {
      readonly schemas: Readonly<
        Record<'Plan' | 'PlanPart', { readonly properties: object; readonly required: readonly string[] }>
      >;
    };
  };
  const { Plan, PlanPart } = components.schemas;
  const { data } = await plan();

  expect(Object.keys(Plan.properties)).toEqual(Object.keys(data));
  expect(Plan.required).toEqual(Object.keys(data));
  expect(Object.keys(PlanPart.properties)).toEqual(Object.keys(PART));
  expect(PlanPart.required).toEqual(Object.keys(PART));
});

test.each(MALFORMED_SYNCS.map((row) => [row.what, row] as const))(
  'is refused as a launch is: %s',
  async (_, { request, code, field }) => {
    const { status, body } = await plan(request);

    expect({ status, code: body.error_code, field: body.field }).toEqual({ status: 400, code, field });
    expect(api.snapshot.planned).toEqual([]);
  },
);

test('is refused for what isn’t there or isn’t ACTIVE', async () => {
  api.plane.given({ id: '82', datamart_id: SITUATION.datamartId, ...PUBSUB, status: 'PAUSED' });

  expect(await plan({ replication_ids: ['80', '99'] })).toMatchObject({ status: 404, code: 'not_found' });
  expect(await plan({ replication_ids: ['80', '82'] })).toMatchObject({
    status: 409,
    code: 'replication_not_active',
  });
});

test('is refused while another one runs, as a launch is', async () => {
  expect((await api.call('POST', EXECUTIONS)).status).toBe(201);
  const { status, code } = await plan();

  expect({ status, code }).toEqual({ status: 409, code: 'sync_already_running' });
  expect(api.snapshot.planned).toEqual([]);
});

test('a snapshot that can’t be read is said', async () => {
  api.snapshot.failure = new ApiError('not_ready', 'the snapshot can’t be read at the moment');

  expect(await plan()).toMatchObject({ status: 503, code: 'not_ready' });
});

test('is for the replications of the path’s datamart alone', async () => {
  expect(await api.call('POST', '/v1/datamarts/1650/replication_job_executions/plan')).toMatchObject({
    status: 404,
    code: 'not_found',
  });
});
