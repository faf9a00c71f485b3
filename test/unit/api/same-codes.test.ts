import { afterAll, describe, expect, test } from '@jest/globals';
import { ApiUnderTest, type Answer } from '../../support/api-under-test.ts';
import {
  CHANGE_CASES,
  keyOf,
  REFUSED_CASES,
  UNREADABLE_CASES,
  type JsonRecord,
  type RefusedCase,
} from '../../support/config-cases.ts';
import { configRules } from '../../support/config-rules.ts';

/* Every record that the control topic refuses, sent as the body of a call: the same mistake has the same code. */

const api = new ApiUnderTest({ rules: configRules() });
const COLLECTION = '/v1/datamarts/1649/replications';

afterAll(() => api.close());

/** What HTTP decides otherwise, and why. */
const OTHERWISE: Readonly<Record<string, string>> = {
  // The path has the ids; a body that says others is refused for that.
  id: 'the path has the id',
  datamart_id: 'the path has the datamart',
  // Who creates a replication doesn't date it.
  created: 'no field of the API',
};
const comesByHttp = ({ field }: RefusedCase): boolean => field === null || !Object.hasOwn(OTHERWISE, field);

/** A record as the API knows it: when it was created isn't told. */
function resourceOf(record: JsonRecord): JsonRecord {
  return { ...record, created: undefined };
}

function create(record: JsonRecord): Promise<Answer> {
  return api.call('POST', COLLECTION, {
    token: 'ops',
    body: { name: 'x', ...resourceOf(record), id: undefined },
  });
}

async function change(record: JsonRecord, previous: JsonRecord): Promise<Answer> {
  const id = keyOf(previous);
  api.plane.apply(id, previous);
  const answer = await api.call('PUT', `${COLLECTION}/${id}`, { token: 'ops', body: resourceOf(record) });
  api.plane.apply(id, null);
  return answer;
}

describe('creating with', () => {
  test.each(REFUSED_CASES.filter(comesByHttp))('$what: $code', async ({ record, code, field }) => {
    const answer = await create(record);

    expect({ status: answer.status, code: answer.code, field: answer.body.field ?? null }).toEqual({
      status: 400,
      code,
      field,
    });
  });
});

describe('changing to', () => {
  test.each(CHANGE_CASES.filter(comesByHttp))(
    '$what: $code',
    async ({ record, previous = {}, code, field }) => {
      const answer = await change(record, previous);

      expect({ status: answer.status, code: answer.code, field: answer.body.field }).toEqual({
        status: 409,
        code,
        field,
      });
    },
  );
});

test.each(UNREADABLE_CASES)('a body that is $what: $code', async ({ value, code, field }) => {
  const answer = await api.call('POST', COLLECTION, { token: 'ops', body: value });

  // `v` is of records alone.
  const expected = field === 'v' ? 'unknown_field' : code === 'config_unparseable' ? 'invalid_json' : code;
  expect(answer.code).toBe(expected);
});
