import { expect, test } from '@jest/globals';
import { ReplicationTable } from '../../../processors/replication-table.ts';
import { ScriptedSinks } from '../../support/scripted-sink.ts';

function aTable(): ReplicationTable {
  const { adapter } = new ScriptedSinks();
  return new ReplicationTable({ types: new Map([[adapter.type, adapter]]), checkCredentialsUri: () => null });
}

function apply(table: ReplicationTable, id: string, fields: Record<string, unknown> | null) {
  const record = fields && {
    id,
    datamart_id: '1',
    type: 'SCRIPTED',
    target: id,
    status: 'ACTIVE',
    version: 1,
    ...fields,
  };
  return table.apply(id, record && Buffer.from(JSON.stringify(record)), 0);
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
  expect(table.apply('a', Buffer.from('nonsense'), 1)).toMatchObject({ kind: 'refused', id: 'a' });
  expect(table.get('a')?.status).toBe('ACTIVE');
});

test('a deletion of what is not there changes nothing', () => {
  expect(apply(aTable(), 'a', null)).toEqual({ kind: 'unchanged' });
});
