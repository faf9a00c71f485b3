import { describe, expect, test } from '@jest/globals';
import type { Execution } from '../../../../processors/initial-sync/execution.ts';
import { judgeLaunch, type LaunchSituation } from '../../../../processors/initial-sync/launch-rules.ts';
import {
  snapshotProblem,
  type SnapshotTopic,
} from '../../../../processors/initial-sync/snapshot-readiness.ts';
import { parseSyncRecord, parseSyncRequest } from '../../../../processors/initial-sync/sync-request.ts';
import type { ReplicationState } from '../../../../processors/replication-state.ts';
import { ReplicationTable } from '../../../../processors/replication-table.ts';
import { configRules } from '../../../support/config-rules.ts';
import { anExecution, aPart, NOW } from '../../../support/executions.ts';
import { MALFORMED_SYNCS, REFUSED_SYNCS, SITUATION } from '../../../support/sync-cases.ts';

const HOUR_MS = 3_600_000;
const WINDOW_MS = 168 * HOUR_MS;

const STATES: Readonly<Record<string, ReplicationState>> = {
  80: 'ACTIVE',
  81: 'ACTIVE',
  82: 'PAUSED',
  83: 'ERROR',
  84: 'DETACHED',
  85: 'ACTIVATING',
  90: 'ACTIVE',
};

function aTable(created: number | null = null): ReplicationTable {
  const table = new ReplicationTable(configRules());
  Object.entries(STATES).forEach(([id, state], offset) => {
    const record = {
      id,
      datamart_id: id === '90' ? SITUATION.otherDatamartId : SITUATION.datamartId,
      type: 'GOOGLE_PUBSUB',
      project_id: 'acme',
      topic_id: 'users',
      status: state === 'PAUSED' ? 'PAUSED' : 'ACTIVE',
      ...(created === null ? {} : { created }),
    };
    table.apply(id, Buffer.from(JSON.stringify(record)), offset, NOW);
  });
  return table;
}

const recent = ended('81', HOUR_MS);

/** One that SUCCEEDED for a replication, requested so long ago. */
function ended(id: string, agoMs: number, fields: Partial<Execution> = {}): Execution {
  return anExecution({
    id: `of-${id}`,
    status: 'SUCCEEDED',
    replicationIds: [id],
    results: new Map([[id, aPart({ outcome: 'succeeded' })]]),
    requestedAt: NOW - agoMs,
    ...fields,
  });
}

function judged(
  request: Readonly<Record<string, unknown>>,
  situation: Partial<LaunchSituation> & { readonly table?: ReplicationTable } = {},
): object {
  const { table = aTable(), ...rest } = situation;
  const record = { id: 'sync-1', datamart_id: SITUATION.datamartId, ...request };
  const parsed = parseSyncRecord('sync-1', record);
  if (parsed.kind === 'refused') return parsed;
  if (parsed.kind === 'cancel') throw new Error('a launch is wanted');
  const judgement = judgeLaunch(parsed.launch, {
    replications: table,
    stateOf: ({ id }) => STATES[id] ?? 'DELETED',
    executions: [],
    requestedAt: NOW,
    windowMs: WINDOW_MS,
    ...rest,
  });
  if (judgement.kind === 'refused') return judgement;
  return { kind: 'accepted', ids: judgement.replications.map(({ id }) => id) };
}

test.each(MALFORMED_SYNCS.map((row) => [row.what, row] as const))(
  'refuses %s',
  (_, { request, code, field }) => {
    expect(judged(request)).toMatchObject({ kind: 'refused', problem: { code, field } });
  },
);

test.each(REFUSED_SYNCS.map((row) => [row.what, row] as const))(
  'refuses %s',
  (_, { request, code, field, offenders }) => {
    expect(judged(request, { executions: [recent] })).toMatchObject({
      kind: 'refused',
      problem: { code, field, replicationIds: offenders },
    });
  },
);

describe('what is chosen', () => {
  test('every ACTIVE one when none is named; DETACHED counts as ACTIVE', () => {
    expect(judged({})).toEqual({ kind: 'accepted', ids: ['80', '81', '84'] });
    expect(judged({ replication_ids: null })).toEqual({ kind: 'accepted', ids: ['80', '81', '84'] });
  });

  test('those that are named, in their order; integers are taken for ids', () => {
    expect(judged({ replication_ids: ['84', 80] })).toEqual({ kind: 'accepted', ids: ['84', '80'] });
  });

  test('nobody in a datamart without ACTIVE ones', () => {
    expect(judged({}, { table: new ReplicationTable(configRules()) })).toMatchObject({
      problem: { code: 'no_active_replication', replicationIds: [] },
    });
  });
});

describe('one at a time', () => {
  test.each(['PENDING', 'RUNNING'] as const)('is refused while one is %s', (status) => {
    const executions = [anExecution({ id: 'other', status, replicationIds: ['84'] })];

    expect(judged({ replication_ids: ['80'] }, { executions })).toMatchObject({
      problem: { code: 'sync_already_running', replicationIds: ['80'] },
    });
  });

  test.each(['SUCCEEDED', 'FAILED', 'CANCELED'] as const)('isn’t by one that is %s', (status) => {
    const executions = [anExecution({ id: 'other', status, replicationIds: ['84'] })];

    expect(judged({ replication_ids: ['80'] }, { executions })).toMatchObject({ kind: 'accepted' });
  });

  test('comes before the window', () => {
    const executions = [recent, anExecution({ id: 'other' })];

    expect(judged({ replication_ids: ['81'] }, { executions })).toMatchObject({
      problem: { code: 'sync_already_running' },
    });
  });
});

describe('the window', () => {
  const ofNamed = { replication_ids: ['80'] };

  test.each([
    ['a ms less than 7 days', WINDOW_MS - 1, 'refused'],
    ['exactly 7 days', WINDOW_MS, 'accepted'],
    ['more than 7 days', WINDOW_MS + 1, 'accepted'],
  ])('%s since the last one that SUCCEEDED', (_, agoMs, kind) => {
    expect(judged(ofNamed, { executions: [ended('80', agoMs)] })).toMatchObject({ kind });
  });

  test('tells when the next one may be', () => {
    expect(judged(ofNamed, { executions: [ended('80', HOUR_MS)] })).toMatchObject({
      problem: { nextDate: NOW - HOUR_MS + WINDOW_MS },
    });
  });

  test.each(['FAILED', 'CANCELED'] as const)('doesn’t count one that is %s', (status) => {
    expect(judged(ofNamed, { executions: [ended('80', HOUR_MS, { status })] })).toMatchObject({
      kind: 'accepted',
    });
  });

  test('doesn’t count a part that ended in ERROR', () => {
    const results = new Map([['80', aPart({ outcome: 'error' })]]);

    expect(judged(ofNamed, { executions: [ended('80', HOUR_MS, { results })] })).toMatchObject({
      kind: 'accepted',
    });
  });

  test('doesn’t count a replication of before under the same id', () => {
    const executions = [ended('80', HOUR_MS)];

    expect(judged(ofNamed, { executions, table: aTable(NOW) })).toMatchObject({ kind: 'accepted' });
    expect(judged(ofNamed, { executions, table: aTable(NOW - 2 * HOUR_MS) })).toMatchObject({
      kind: 'refused',
    });
  });

  test('can be set, and 0 turns it off', () => {
    const executions = [ended('80', HOUR_MS)];

    expect(judged(ofNamed, { executions, windowMs: 2 * HOUR_MS })).toMatchObject({ kind: 'refused' });
    expect(judged(ofNamed, { executions, windowMs: HOUR_MS })).toMatchObject({ kind: 'accepted' });
    expect(judged(ofNamed, { executions, windowMs: 0 })).toMatchObject({ kind: 'accepted' });
  });
});

describe('the snapshot', () => {
  const whole: SnapshotTopic = {
    snapshot: 'datamart-snapshot',
    snapshotPartitions: 8,
    mutations: 'datamart-mutations',
    mutationPartitions: 8,
    pinnedPartitions: 8,
  };

  test.each([
    ['is missing', { snapshotPartitions: null }, '`topics create`'],
    ['lacks partitions that are not adopted', { mutationPartitions: 12 }, '`partitions adopt`'],
    ['has another count than its mutation topic', { snapshotPartitions: 4 }, '`snapshot rebuild`'],
  ])('%s', (_, fields, remedy) => {
    expect(snapshotProblem([whole, { ...whole, ...fields }])).toMatchObject({
      code: 'snapshot_stale',
      message: expect.stringContaining(remedy) as unknown,
    });
  });

  test('is whole', () => {
    expect(snapshotProblem([whole])).toBeNull();
  });
});

describe('a record', () => {
  const bytes = (record: unknown) => Buffer.from(JSON.stringify(record));

  test.each([
    ['no JSON', Buffer.from('{"id":'), 'invalid_json', null],
    ['no object', bytes([]), 'invalid_json', null],
    ['another key', bytes({ id: 'other', datamart_id: '1649' }), 'config_key_mismatch', '1649'],
    ['no id', bytes({ datamart_id: '1649' }), 'missing_field', '1649'],
    ['no datamart', bytes({ id: 'sync-1' }), 'missing_field', null],
    ['a datamart that is none', bytes({ id: 'sync-1', datamart_id: 'x' }), 'invalid_datamart_id', null],
    [
      'a date that is none',
      bytes({ id: 'sync-1', datamart_id: 1649, creation_date: 'now' }),
      'invalid_parameter',
      '1649',
    ],
    [
      'a user that is none',
      bytes({ id: 'sync-1', datamart_id: 1649, user_id: '\u0000' }),
      'invalid_parameter',
      '1649',
    ],
    [
      'cancel that is none',
      bytes({ id: 'sync-1', datamart_id: 1649, cancel: 1 }),
      'invalid_parameter',
      '1649',
    ],
    ['more than 64 KiB', Buffer.alloc(70_000, ' '), 'payload_too_large', null],
  ])('is refused for %s', (_, value, code, datamartId) => {
    expect(parseSyncRequest('sync-1', value)).toMatchObject({
      kind: 'refused',
      problem: { code },
      datamartId,
    });
  });

  test('is a launch, with what it says', () => {
    const record = {
      id: 'sync-1',
      datamart_id: 1649,
      replication_ids: [80],
      creation_date: 5,
      user_id: 'ops',
      max_operations: 9,
    };

    expect(parseSyncRequest('sync-1', bytes(record))).toEqual({
      kind: 'launch',
      launch: {
        id: 'sync-1',
        datamartId: '1649',
        replicationIds: ['80'],
        creationDate: 5,
        userId: 'ops',
        maxOperations: 9,
      },
    });
  });

  test('is a cancel', () => {
    const record = { id: 'sync-1', datamart_id: '1649', cancel: true };

    expect(parseSyncRequest('sync-1', bytes(record))).toEqual({ kind: 'cancel', datamartId: '1649' });
  });
});
