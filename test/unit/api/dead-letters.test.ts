import { afterEach, expect, test } from '@jest/globals';
import { ApiUnderTest, PUBSUB, REPLICATIONS } from '../../support/api-under-test.ts';

const opened: ApiUnderTest[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((api) => api.close()));
});

function anApi(): ApiUnderTest {
  const api = new ApiUnderTest();
  opened.push(api);
  api.plane.given({ id: '80', datamart_id: '1649', ...PUBSUB });
  return api;
}

const LETTERS = `${REPLICATIONS}/80/dead_letters`;

test('lists those of the replication, by reason and time', async () => {
  const api = anApi();

  const { status, body } = await api.call(
    'GET',
    `${LETTERS}?reason=rejected&since=2026-11-24T08:00:00Z&until=1790000000000&first_result=5&max_results=10`,
  );

  expect({ status, body }).toEqual({
    status: 200,
    body: { status: 'ok', data: [], count: 0, total: 7, first_result: 5, max_results: 10 },
  });
  expect(api.deadLetters.listed).toEqual([
    {
      datamartId: '1649',
      replicationId: '80',
      reason: 'rejected',
      since: Date.parse('2026-11-24T08:00:00Z'),
      until: 1_790_000_000_000,
      firstResult: 5,
      maxResults: 10,
    },
  ]);
});

test('redrives all of them when nothing is said, 1,000 at most, and counts the results', async () => {
  const api = anApi();

  const { status, data } = await api.call('POST', `${LETTERS}/redrive`);

  expect({ status, data }).toEqual({
    status: 200,
    data: { dry_run: false, complete: true, results: { sent: 3, superseded: 1 } },
  });
  expect(api.deadLetters.redriven).toEqual([
    {
      datamartId: '1649',
      replicationId: '80',
      reason: null,
      since: null,
      until: null,
      isForced: false,
      isDryRun: false,
      limit: 1_000,
    },
  ]);
});

test('redrives those that are meant, as it is asked to', async () => {
  const api = anApi();
  api.deadLetters.isComplete = false;

  const { data } = await api.call('POST', `${LETTERS}/redrive`, {
    body: {
      reason: 'rejected',
      since: 1_700_000_000_000,
      until: null,
      force: true,
      dry_run: true,
      limit: 10_000,
    },
  });

  expect(data).toMatchObject({ dry_run: true, complete: false });
  expect(api.deadLetters.redriven).toMatchObject([
    {
      reason: 'rejected',
      since: 1_700_000_000_000,
      until: null,
      isForced: true,
      isDryRun: true,
      limit: 10_000,
    },
  ]);
});

test.each([
  ['an unknown reason', { reason: 'whatever' }, 'reason'],
  ['a time that is none', { since: 'yesterday' }, 'since'],
  ['a flag that is a text', { force: 'yes' }, 'force'],
  ['too many', { limit: 10_001 }, 'limit'],
  ['none', { limit: 0 }, 'limit'],
  ['an unknown field', { dryrun: true }, 'dryrun'],
])('refuses to redrive with %s', async (_what, body, field) => {
  const api = anApi();

  const answer = await api.call('POST', `${LETTERS}/redrive`, { body });

  expect(answer).toMatchObject({ status: 400, code: 'invalid_parameter', body: { field } });
  expect(api.deadLetters.redriven).toEqual([]);
});

test.each(['reason=whatever', 'since=yesterday', 'max_results=1001'])(
  'refuses to list ?%s',
  async (query) => {
    const { status, code } = await anApi().call('GET', `${LETTERS}?${query}`);

    expect({ status, code }).toEqual({ status: 400, code: 'invalid_parameter' });
  },
);

test('knows no dead letters of a replication that isn’t there', async () => {
  const api = anApi();

  const list = await api.call('GET', `${REPLICATIONS}/81/dead_letters`);
  const redrive = await api.call('POST', `${REPLICATIONS}/81/dead_letters/redrive`);

  expect([list.status, redrive.status]).toEqual([404, 404]);
  expect(api.deadLetters.redriven).toEqual([]);
});

test('tells the audit log of a redrive', async () => {
  const api = anApi();

  await api.call('POST', `${LETTERS}/redrive`, { body: { dry_run: true } });

  expect(api.log.lines.filter(({ fields }) => 'audit' in fields)).toMatchObject([
    { fields: { audit: 'redrove dead letters', replication_id: '80', fields: ['dry_run'] } },
  ]);
});
