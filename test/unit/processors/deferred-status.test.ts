import { describe, expect, test } from '@jest/globals';
import type { StatusDeferral } from '../../../processors/initial-sync/execution.ts';
import { identityHash } from '../../../processors/replication-identity.ts';
import { replicationState, type Verdict } from '../../../processors/replication-state.ts';
import { ReplicationTable, type TableChange } from '../../../processors/replication-table.ts';
import { configRules } from '../../support/config-rules.ts';

/** Each case lasts from offset 10 of the control topic on. */
const CONFIG_OFFSET = 10;

type Fields = Readonly<Record<string, unknown>>;

function apply(table: ReplicationTable, id: string, fields: Fields | null, offset: number): TableChange {
  const record = fields && {
    id,
    datamart_id: '1649',
    type: 'GOOGLE_PUBSUB',
    project_id: 'acme',
    topic_id: 'users',
    ...fields,
  };
  return table.apply(id, record && Buffer.from(JSON.stringify(record)), offset, 0);
}

/** 80 is ACTIVE since offset 1, 81 PAUSED, 90 of another datamart. */
function aTable(): ReplicationTable {
  const table = new ReplicationTable(configRules());
  apply(table, '80', { status: 'ACTIVE' }, 1);
  apply(table, '81', { status: 'PAUSED' }, 2);
  apply(table, '90', { status: 'ACTIVE', datamart_id: '1700' }, 3);
  return table;
}

function aDeferral(table: ReplicationTable): StatusDeferral {
  const active = table.ofDatamart('1649').filter(({ status }) => status === 'ACTIVE');
  return {
    executionId: 'sync-1',
    configOffset: CONFIG_OFFSET,
    active: new Map(
      active.map((config) => [config.id, { since: config.activeSince, identity: identityHash(config) }]),
    ),
  };
}

const changes: readonly (readonly [
  what: string,
  id: string,
  fields: Fields | null,
  holds: object | undefined,
])[] = [
  [
    'a pause waits',
    '80',
    { status: 'PAUSED' },
    { status: 'ACTIVE', deferredStatus: 'PAUSED', activeSince: 1 },
  ],
  ['an activation waits', '81', { status: 'ACTIVE' }, { status: 'PAUSED', deferredStatus: 'ACTIVE' }],
  [
    'another name holds at once',
    '80',
    { status: 'ACTIVE', name: 'n' },
    { name: 'n', deferredStatus: null, activeSince: 1 },
  ],
  [
    'a name beside a pause holds at once',
    '80',
    { status: 'PAUSED', name: 'n' },
    { name: 'n', deferredStatus: 'PAUSED' },
  ],
  ['a deletion acts at once', '80', null, undefined],
  [
    'a new replication is made at once',
    '82',
    { status: 'PAUSED' },
    { status: 'PAUSED', deferredStatus: null },
  ],
  [
    'a new one is activated at the end',
    '82',
    { status: 'ACTIVE' },
    { status: 'PAUSED', deferredStatus: 'ACTIVE' },
  ],
  [
    'other datamarts are free',
    '90',
    { status: 'PAUSED', datamart_id: '1700' },
    { status: 'PAUSED', deferredStatus: null },
  ],
];

test.each(changes)('%s, whichever of execution and record is read first', (_, id, fields, holds) => {
  const [before, after] = [aTable(), aTable()];
  const deferral = aDeferral(before);

  before.deferStatuses('1649', deferral);
  apply(before, id, fields, CONFIG_OFFSET);
  apply(after, id, fields, CONFIG_OFFSET);
  after.deferStatuses('1649', deferral);

  expect(before.get(id)).toEqual(after.get(id));
  if (holds) expect(before.get(id)).toMatchObject(holds);
  else expect(before.get(id)).toBeUndefined();
});

test('a status that was judged with the execution holds', () => {
  const table = aTable();
  const deferral = aDeferral(table);
  apply(table, '80', { status: 'PAUSED' }, CONFIG_OFFSET - 1);
  table.deferStatuses('1649', deferral);

  expect(table.get('80')).toMatchObject({ status: 'PAUSED', deferredStatus: null });
});

test('what waited takes effect at the end, the newest record of each', () => {
  const table = aTable();
  table.deferStatuses('1649', aDeferral(table));
  apply(table, '80', { status: 'PAUSED' }, 10);
  apply(table, '81', { status: 'ACTIVE' }, 11);
  apply(table, '81', { status: 'PAUSED' }, 12);

  const ended = table.deferStatuses('1649', null);

  expect(ended).toMatchObject([
    { previous: { status: 'ACTIVE' }, next: { id: '80', status: 'PAUSED', deferredStatus: null } },
  ]);
  expect(table.get('81')).toMatchObject({ status: 'PAUSED', deferredStatus: null });
  expect(table.activeCount).toBe(1);
});

test('the same execution again changes nothing', () => {
  const table = aTable();
  const deferral = aDeferral(table);
  apply(table, '80', { status: 'PAUSED' }, 10);

  expect(table.deferStatuses('1649', deferral)).toHaveLength(1);
  expect(table.deferStatuses('1649', { ...deferral })).toEqual([]);
});

test('the compiled join and the judgement: one as it holds, the other as it was written', () => {
  const table = aTable();
  table.deferStatuses('1649', aDeferral(table));
  apply(table, '80', { status: 'PAUSED' }, 10);

  expect(table.plan(1649).routes).toHaveLength(1);
  expect(table.judgement('80')?.accepted).toMatchObject({ status: 'PAUSED', deferredStatus: null });
});

test('a record that waits keeps the status that it wants when ERROR is echoed', () => {
  const table = aTable();
  table.deferStatuses('1649', aDeferral(table));
  apply(table, '80', { status: 'PAUSED' }, 10);
  apply(table, '80', { status: 'ERROR' }, 11);

  expect(table.get('80')).toMatchObject({ status: 'ACTIVE', deferredStatus: 'PAUSED' });
});

test('a replication made anew under the id is not taken for the one that was ACTIVE', () => {
  const table = aTable();
  table.deferStatuses('1649', aDeferral(table));
  apply(table, '80', null, 10);
  apply(table, '80', { status: 'PAUSED', topic_id: 'others' }, 11);

  expect(table.get('80')).toMatchObject({ status: 'PAUSED', deferredStatus: null });
});

test('what an instance missed that stopped too early is sent', () => {
  const table = aTable();
  const deferral = aDeferral(table);
  apply(table, '80', { status: 'PAUSED', resume: 'NOW' }, 10);
  table.deferStatuses('1649', deferral);

  expect(table.get('80')).toMatchObject({ status: 'ACTIVE', resume: 'WHERE_STOPPED' });
});

test('is restored with what was accepted before', () => {
  const table = aTable();
  const deferral = aDeferral(table);
  apply(table, '80', { status: 'PAUSED' }, 10);
  const { accepted } = table.judgement('80')!;
  const restored = new ReplicationTable(configRules());
  restored.deferStatuses('1649', deferral);

  restored.beginRestore(
    new Map([
      ['80', { judgedOffset: 10, accepted: { record: accepted!.record, offset: 10 }, refused: null }],
    ]),
    11,
  );

  expect(restored.get('80')).toMatchObject({ status: 'ACTIVE', deferredStatus: 'PAUSED', activeSince: 1 });
});

describe('the state', () => {
  const of = (record: Fields, offset: number, verdict: Verdict) => {
    const table = aTable();
    table.deferStatuses('1649', aDeferral(table));
    apply(table, '80', record, offset);
    return replicationState(table.get('80') ?? null, verdict, null, false);
  };
  const failure = { reason: 'destination_failed', code: 'not_found', message: 'gone', remedy: null } as const;

  test('stays ACTIVE while a pause waits', () => {
    expect(of({ status: 'PAUSED' }, 10, { configOffset: 1, credentialsVersion: null, failure: null })).toBe(
      'ACTIVE',
    );
  });

  test('stays ERROR while a pause waits: the record doesn’t say ACTIVE', () => {
    expect(of({ status: 'PAUSED' }, 10, { configOffset: 1, credentialsVersion: null, failure })).toBe(
      'ERROR',
    );
  });

  test('is checked again when the record says ACTIVE', () => {
    expect(
      of({ status: 'ACTIVE', name: 'n' }, 10, { configOffset: 1, credentialsVersion: null, failure }),
    ).toBe('ACTIVATING');
  });

  test('an older failure says nothing', () => {
    expect(of({ status: 'PAUSED' }, 10, { configOffset: 0, credentialsVersion: null, failure })).toBe(
      'ACTIVATING',
    );
  });
});
