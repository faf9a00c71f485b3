import { describe, expect, test } from '@jest/globals';
import { executionKey, resultKey, taskKey } from '../../../../processors/initial-sync/execution-keys.ts';
import { writeExecution } from '../../../../processors/initial-sync/execution-record.ts';
import { ExecutionTable } from '../../../../processors/initial-sync/execution-table.ts';
import { RequestTable } from '../../../../processors/initial-sync/request-table.ts';
import { writeTask } from '../../../../processors/initial-sync/task-record.ts';
import { anExecution, aTask, NOW } from '../../../support/executions.ts';

describe('executions', () => {
  const pending = anExecution({ status: 'PENDING', startDate: null, duration: null, revision: 1 });
  const running = anExecution({ revision: 2 });
  const succeeded = anExecution({ status: 'SUCCEEDED', revision: 3 });

  function aTable(...records: readonly [key: string, value: Buffer | null][]): ExecutionTable {
    const table = new ExecutionTable();
    for (const [key, value] of records) table.apply(key, value);
    return table;
  }

  test('a status never goes back', () => {
    const table = aTable(['sync-1', writeExecution(running)]);

    expect(table.apply('sync-1', writeExecution(pending))).toMatchObject({
      kind: 'execution',
      isStale: true,
    });
    expect(table.get('sync-1')).toEqual(running);
  });

  test('of one status the newer record counts', () => {
    const newer = { ...running, completedTasks: 1, revision: 5 };
    const table = aTable(['sync-1', writeExecution(newer)]);
    table.apply('sync-1', writeExecution(running));

    expect(table.get('sync-1')).toEqual(newer);
  });

  test('the outcome stays, whatever is written later, also in a topic that was compacted', () => {
    const table = aTable(
      [resultKey('sync-1'), writeExecution(succeeded)],
      [executionKey('sync-1'), writeExecution({ ...running, revision: 9 })],
    );

    expect(table.get('sync-1')).toEqual(succeeded);
    expect([...table.unended()]).toEqual([]);
  });

  test('the first outcome stays', () => {
    const table = aTable([resultKey('sync-1'), writeExecution(succeeded)]);
    const canceled = anExecution({ status: 'CANCELED', revision: 9 });

    expect(table.apply(resultKey('sync-1'), writeExecution(canceled))).toMatchObject({ isStale: true });
    expect(table.get('sync-1')).toEqual(succeeded);
  });

  test('knows those that go on', () => {
    const table = aTable(['sync-1', writeExecution(running)]);
    expect([...table.unended()]).toEqual([running]);

    table.apply(resultKey('sync-1'), writeExecution(succeeded));
    expect([...table.unended()]).toEqual([]);
    expect([...table.all()]).toEqual([succeeded]);
  });

  test('a task that has ended doesn’t run again', () => {
    const ended = aTask(0, { status: 'SUCCEEDED', offset: 100 });
    const key = taskKey('sync-1', ended.at);
    const table = aTable([key, writeTask(ended)]);

    expect(table.apply(key, writeTask(aTask(0)))).toMatchObject({ kind: 'task', isStale: true });
    expect(table.task('sync-1', ended.at)).toEqual(ended);
  });

  test('forgets what is removed, key by key', () => {
    const task = aTask(0);
    const table = aTable(
      ['sync-1', writeExecution(succeeded)],
      [resultKey('sync-1'), writeExecution(succeeded)],
      [taskKey('sync-1', task.at), writeTask(task)],
    );
    expect(table.keys('sync-1')).toEqual(['sync-1', 'sync-1/result', 'sync-1/datamart-snapshot/0']);

    for (const key of table.keys('sync-1')) table.apply(key, null);
    expect(table.ids()).toEqual(new Set());
    expect(table.apply('sync-1', null)).toEqual({ kind: 'none' });
  });

  test('what statuses wait for is the first execution of the datamart that goes on', () => {
    const table = aTable(
      ['late', writeExecution(anExecution({ id: 'late', configOffset: 9 }))],
      ['sync-1', writeExecution(running)],
      ['other', writeExecution(anExecution({ id: 'other', datamartId: '1700', configOffset: 1 }))],
    );
    expect(table.deferral('1649')).toMatchObject({ executionId: 'sync-1', configOffset: 5 });

    table.apply(resultKey('sync-1'), writeExecution(succeeded));
    expect(table.deferral('1649')).toMatchObject({ executionId: 'late' });
    expect(table.deferral('1')).toBeNull();
  });
});

describe('requests', () => {
  const launch = { id: 'sync-1', datamart_id: '1649', max_operations: 10 };
  const cancel = { id: 'sync-1', datamart_id: '1649', cancel: true };

  /** Applies the records in order; returns the table and what each did. */
  function applied(...records: readonly (object | null)[]) {
    const table = new RequestTable();
    const kinds = records.map((record, offset) => {
      const value = record && Buffer.from(JSON.stringify(record));
      return table.apply('sync-1', value, offset, NOW + offset).kind;
    });
    return { kinds, request: table.get('sync-1') };
  }

  test('the first record of an id is what is judged, at the time when it was stored', () => {
    const { kinds, request } = applied(launch, { ...launch, replication_ids: ['80'] });

    expect(kinds).toEqual(['launch', 'repeated']);
    expect(request?.launch).toMatchObject({
      offset: 0,
      requestedAt: NOW,
      asked: { launch: { replicationIds: null } },
    });
  });

  test.each([
    ['a higher budget raises it', { ...launch, max_operations: 11 }, 'raise', 11],
    ['the same budget changes nothing', launch, 'repeated', 10],
    ['a lower one changes nothing', { ...launch, max_operations: 9 }, 'repeated', 10],
    ['none changes nothing', { ...launch, max_operations: null }, 'repeated', 10],
    [
      'one for another datamart changes nothing',
      { ...launch, datamart_id: '1', max_operations: 11 },
      'repeated',
      10,
    ],
    ['one that is refused changes nothing', { ...launch, max_operations: -1 }, 'repeated', 10],
  ])('%s', (_, second, kind, maxOperations) => {
    const { kinds, request } = applied(launch, second);

    expect(kinds).toEqual(['launch', kind]);
    expect(request?.maxOperations).toBe(maxOperations);
  });

  test('one without a budget can’t get one', () => {
    expect(applied({ ...launch, max_operations: null }, launch).kinds).toEqual(['launch', 'repeated']);
  });

  test('a cancel counts once, and only for its datamart', () => {
    const { kinds, request } = applied(launch, { ...cancel, datamart_id: '1' }, cancel, cancel);

    expect(kinds).toEqual(['launch', 'repeated', 'cancel', 'repeated']);
    expect(request?.canceledFor).toBe('1649');
  });

  test('what compaction has left says nothing of the launch', () => {
    expect(applied(cancel).request).toMatchObject({ launch: null, canceledFor: '1649' });
  });

  test('an id that is removed may be used again', () => {
    const { kinds, request } = applied(launch, cancel, null, launch);

    expect(kinds).toEqual(['launch', 'cancel', 'removal', 'launch']);
    expect(request).toMatchObject({ canceledFor: null, isRemoved: false });
  });

  test('one that is refused is told as such', () => {
    const { kinds, request } = applied({ id: 'sync-1', datamart_id: '1649', replication_ids: [] });

    expect(kinds).toEqual(['launch']);
    expect(request?.launch?.asked).toMatchObject({
      kind: 'refused',
      datamartId: '1649',
      problem: { code: 'invalid_replication_ids' },
    });
  });

  test.each(['', 'a/b', 'x'.repeat(65), 'a b'])('%j is no id of an execution', (key) => {
    expect(new RequestTable().apply(key, Buffer.from('{}'), 0, NOW).kind).toBe('unusable');
  });
});
