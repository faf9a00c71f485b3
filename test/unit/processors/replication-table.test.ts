import { describe, expect, test } from '@jest/globals';
import {
  judgementKey,
  judgementName,
  writeJudgement,
  type StoredJudgement,
} from '../../../processors/config-judgement.ts';
import { ReplicationTable } from '../../../processors/replication-table.ts';
import { StatusTable } from '../../../processors/status-table.ts';
import { ScriptedSinks } from '../../support/scripted-sink.ts';

function aTable(): ReplicationTable {
  const { adapter } = new ScriptedSinks();
  return new ReplicationTable({ types: new Map([[adapter.type, adapter]]), checkCredentialsUri: () => null });
}

let nextOffset = 0;

function apply(
  table: ReplicationTable,
  id: string,
  fields: Record<string, unknown> | null,
  offset = nextOffset,
) {
  nextOffset = Math.max(nextOffset, offset) + 1;
  const record = fields && {
    id,
    datamart_id: '1',
    type: 'SCRIPTED',
    target: id,
    status: 'ACTIVE',
    version: 1,
    ...fields,
  };
  return table.apply(id, record && Buffer.from(JSON.stringify(record)), offset, 1_000 + offset);
}

/** What the coordinator has stored of a table's judgements, as another instance reads it. */
function stored(table: ReplicationTable): ReadonlyMap<string, StoredJudgement> {
  const status = new StatusTable();
  for (const name of table.judged()) {
    const judgement = table.judgement(name);
    if (judgement) status.apply(judgementKey(name), writeJudgement(name, judgement));
  }
  return status.judgements;
}

test('replications that want the same in the same encoding share a route', () => {
  const table = aTable();
  apply(table, 'a', {});
  apply(table, 'b', {});
  apply(table, 'c', { version: 2 });
  apply(table, 'd', { replication_filters: [{ document: 'USER_EMAIL' }] });
  const { routes, routesOf } = table.plan(1);
  expect(routes.map(({ replications }) => replications.map(({ id }) => id))).toEqual([
    ['a', 'b'],
    ['c'],
    ['d'],
  ]);
  expect(routesOf[8]).toHaveLength(3);
  expect(routesOf[1]).toHaveLength(2);
});

test('only a changed datamart is compiled anew', () => {
  const table = aTable();
  apply(table, 'a', {});
  apply(table, 'b', { datamart_id: '2' });
  const before = table.plan(1);
  apply(table, 'b', { datamart_id: '2', status: 'PAUSED' });
  expect(table.plan(1)).toBe(before);
  expect(table.plan(2).routes).toEqual([]);
});

test('a datamart is known while it has a replication, whatever its status', () => {
  const table = aTable();
  apply(table, 'a', { status: 'PAUSED' });
  expect(table.has(1)).toBe(true);
  apply(table, 'a', null);
  expect(table.has(1)).toBe(false);
  expect(table.size).toBe(0);
});

test('a refused record leaves the last good one in force', () => {
  const table = aTable();
  apply(table, 'a', {});
  expect(table.apply('a', Buffer.from('nonsense'), nextOffset, 5)).toMatchObject({
    kind: 'refused',
    id: 'a',
  });
  expect(table.get('a')?.status).toBe('ACTIVE');
});

test('a deletion of what is not there changes nothing', () => {
  expect(apply(aTable(), 'a', null)).toEqual({ kind: 'unchanged' });
});

test('what was refused is told with its time, until a record is accepted', () => {
  const table = aTable();
  apply(table, 'a', {}, 40);
  apply(table, 'a', { version: 7 }, 41);
  expect(table.judgement('a')).toMatchObject({
    judgedOffset: 41,
    accepted: { offset: 40 },
    refused: { offset: 41, code: 'invalid_version', field: 'version', time: 1_041 },
  });
  apply(table, 'a', { name: 'good again' }, 42);
  expect(table.judgement('a')).toMatchObject({ judgedOffset: 42, refused: null });
});

test('a key that is no id has a judgement under a name that can be a key of the status topic', () => {
  const table = aTable();
  const key = `a/b ${'ü'.repeat(300)}`;
  table.apply(key, Buffer.from('{}'), 0, 0);
  expect(judgementName(key)).toMatch(/^a%2Fb%20%C3%BC/);
  expect(judgementName(key)).toHaveLength(200);
  expect(table.judgement(judgementName(key))?.refused?.code).toBe('missing_field');
});

describe('a restart', () => {
  test('keeps the record in force that compaction has erased from the control topic', () => {
    const before = aTable();
    apply(before, 'a', { name: 'good' }, 40);
    apply(before, 'a', { version: 7 }, 41);

    const after = aTable();
    const { changes, isMadeAnew } = after.beginRestore(stored(before), 42);
    expect(isMadeAnew).toBe(false);
    expect(changes).toMatchObject([{ kind: 'changed', previous: null, next: { id: 'a', offset: 40 } }]);
    expect(apply(after, 'a', { version: 7 }, 41)).toEqual({ kind: 'unchanged' });
    expect(after.completeRestore()).toEqual([]);
    expect(after.get('a')?.name).toBe('good');
    expect(after.judgement('a')?.refused?.offset).toBe(41);
  });

  test('judges a newer record against the one in force', () => {
    const before = aTable();
    apply(before, 'a', {}, 40);
    const after = aTable();
    after.beginRestore(stored(before), 42);
    expect(apply(after, 'a', { datamart_id: '2' }, 41)).toMatchObject({
      kind: 'refused',
      problem: { code: 'immutable_field', field: 'datamart_id' },
    });
    after.completeRestore();
    expect(after.get('a')?.datamartId).toBe('1');
  });

  test('takes a replication for deleted that the control topic has no record of', () => {
    const before = aTable();
    apply(before, 'a', {}, 40);
    apply(before, 'b', {}, 41);
    const after = aTable();
    after.beginRestore(stored(before), 42);
    apply(after, 'b', {}, 41);
    expect(after.completeRestore()).toMatchObject([{ previous: { id: 'a' }, next: null }]);
    expect([...after.all()].map(({ id }) => id)).toEqual(['b']);
    expect(after.judgement('a')).toBeNull();
  });

  test('judges everything on a control topic that was made anew', () => {
    const before = aTable();
    apply(before, 'a', {}, 40);
    apply(before, 'b', {}, 41);
    const after = aTable();
    expect(after.beginRestore(stored(before), 1).isMadeAnew).toBe(true);
    expect(apply(after, 'a', { name: 'new' }, 0)).toMatchObject({ kind: 'changed', next: { name: 'new' } });
    after.completeRestore();
    expect([...after.all()].map(({ id, offset }) => [id, offset])).toEqual([['a', 0]]);
  });

  test('keeps the status that an echo of ERROR stands for', () => {
    const before = aTable();
    apply(before, 'a', { status: 'ACTIVE' }, 40);
    apply(before, 'a', { status: 'ERROR', name: 'renamed' }, 41);
    const after = aTable();
    after.beginRestore(stored(before), 42);
    expect(after.get('a')).toMatchObject({ status: 'ACTIVE', name: 'renamed' });
  });

  test('judges anew what its rules no longer take', () => {
    const before = aTable();
    apply(before, 'a', {}, 40);
    const after = new ReplicationTable({ types: new Map(), checkCredentialsUri: () => null });
    after.beginRestore(stored(before), 41);
    expect(after.get('a')).toBeUndefined();
    expect(apply(after, 'a', {}, 40)).toMatchObject({
      kind: 'refused',
      problem: { code: 'unsupported_type' },
    });
  });
});

test('a topic that is made anew beside a running instance deletes what it lacks', () => {
  const table = aTable();
  apply(table, 'a', {}, 40);
  apply(table, 'b', {}, 41);
  table.beginRestore(new Map(), 1);
  apply(table, 'b', { name: 'new' }, 0);
  expect(table.completeRestore()).toMatchObject([{ previous: { id: 'a' }, next: null }]);
  expect(table.get('b')?.name).toBe('new');
});

test('a datamart has no more replications than it may; who is in force stays', () => {
  const { adapter } = new ScriptedSinks();
  const rules = { types: new Map([[adapter.type, adapter]]), checkCredentialsUri: () => null };
  const table = new ReplicationTable(rules, { maxPerDatamart: 1 });
  apply(table, 'a', {});
  expect(apply(table, 'b', {})).toMatchObject({
    kind: 'refused',
    problem: { code: 'too_many_replications', field: 'datamart_id' },
  });
  expect(apply(table, 'a', { name: 'changed' })).toMatchObject({ kind: 'changed' });
  expect(apply(table, 'c', { datamart_id: '2' })).toMatchObject({ kind: 'changed' });
});
