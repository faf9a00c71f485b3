import { describe, expect, test } from '@jest/globals';
import { parseExecutionKey, resultKey, taskKey } from '../../../../processors/initial-sync/execution-keys.ts';
import {
  readExecutionsRecord,
  writeExecution,
} from '../../../../processors/initial-sync/execution-record.ts';
import { writeTask } from '../../../../processors/initial-sync/task-record.ts';
import { StateTooNewError } from '../../../../processors/status-record.ts';
import { anExecution, aPart, aTask, NOW } from '../../../support/executions.ts';

describe('the record of an execution', () => {
  const running = anExecution({
    id: '6f1c',
    startDate: NOW + 1_000,
    duration: 52_000,
    numTasks: 8,
    completedTasks: 3,
    replicationIds: ['80'],
    results: new Map([
      [
        '80',
        aPart({
          documents: new Map([
            ['UserProfile', 1200],
            ['UserSegment', 400],
          ]),
          skippedNewer: 12,
        }),
      ],
    ]),
    active: new Map([['80', { since: 1, identity: 7 }]]),
  });

  test('is the contract’s, byte for byte, with further fields at its end', () => {
    expect(writeExecution(running).toString()).toBe(
      '{"v":1,"id":"6f1c","datamart_id":"1649","status":"RUNNING","creation_date":1763900000000,' +
        '"start_date":1763900001000,"duration":52000,"num_tasks":8,"completed_tasks":3,"erroneous_tasks":0,' +
        '"user_id":"ops","external_model_name":"PUBLIC_DATAMART",' +
        '"parameters":{"replication_ids":["80"],"max_operations":null},"held":null,' +
        '"result":{"total_failure":0,"replications":{"80":{"outcome":null,' +
        '"documents":{"UserProfile":1200,"UserSegment":400},"skipped_newer":12,"rejected":0}}},"error":null,' +
        '"requested_at":1763900000000,"request_offset":"0","config_offset":"5",' +
        '"active_replications":{"80":{"since":"1","identity":7}},"allowances":null,"revision":2}',
    );
  });

  test('has neither start nor duration before it runs', () => {
    const pending = anExecution({ status: 'PENDING', startDate: null, duration: null });
    const fields = JSON.parse(writeExecution(pending).toString()) as object;

    expect(fields).not.toHaveProperty('start_date');
    expect(fields).not.toHaveProperty('duration');
  });

  test.each([
    ['that runs', running],
    ['with a budget', anExecution({ maxOperations: 9, allowances: new Map([['datamart-snapshot/0', 9]]) })],
    ['that waits', anExecution({ status: 'PENDING', startDate: null, duration: null })],
    [
      'that was refused',
      anExecution({
        status: 'FAILED',
        configOffset: null,
        error: { code: 'sync_too_soon', message: 'too soon', replicationIds: ['80'], nextDate: NOW },
      }),
    ],
    [
      'for one that has missed something',
      anExecution({
        results: new Map([['80', aPart({ outcome: null })]]),
        gaps: new Map([['80', { offsets: 40, since: NOW, isOlderThanTombstones: null }]]),
      }),
    ],
    ['without a datamart', anExecution({ status: 'FAILED', datamartId: null })],
  ])('of one %s reads as it was written', (_, execution) => {
    expect(readExecutionsRecord(execution.id, writeExecution(execution))).toEqual({
      kind: 'execution',
      execution,
    });
    expect(readExecutionsRecord(resultKey(execution.id), writeExecution(execution))).toEqual({
      kind: 'result',
      execution,
    });
  });

  test('counts who got not everything', () => {
    const results = new Map([
      ['80', aPart({ outcome: 'error' })],
      ['81', aPart({ outcome: 'succeeded' })],
      ['82', aPart({ outcome: 'deleted' })],
    ]);
    const fields = JSON.parse(writeExecution(anExecution({ results })).toString()) as { result: object };

    expect(fields.result).toMatchObject({ total_failure: 2 });
  });
});

describe('the record of a task', () => {
  const task = aTask(3, {
    executionId: '6f1c',
    offset: 5_000,
    endOffset: 90_000,
    liveOffset: 77_120,
    held: 'live',
    operations: 150,
    parts: new Map([['80', aPart({ documents: new Map([['UserProfile', 150]]), skippedNewer: 2 })]]),
  });

  test('is the contract’s, byte for byte, with further fields at its end', () => {
    expect(writeTask(task).toString()).toBe(
      '{"v":1,"execution_id":"6f1c","topic":"datamart-snapshot","partition":3,"status":"RUNNING",' +
        '"from_offset":"0","offset":"5000","end_offset":"90000","live_offset":"77120",' +
        '"replications":{"80":{"documents":{"UserProfile":150},"skipped_newer":2,"rejected":0,"outcome":null}},' +
        '"owner":"host-1-4242","updated_at":1763900000000,"held":"live","operations":150,"error":null}',
    );
  });

  test('reads as it was written', () => {
    expect(readExecutionsRecord(taskKey('6f1c', task.at), writeTask(task))).toEqual({ kind: 'task', task });
  });
});

test.each(['sync-1', 'sync-1/result', 'sync-1/datamart-snapshot/0'])(
  'a newer version under %s stops the program',
  (key) => {
    expect(() => readExecutionsRecord(key, Buffer.from('{"v":2}'))).toThrow(StateTooNewError);
  },
);

test.each([
  ['sync-1', 'no JSON'],
  ['sync-1', '[]'],
  ['sync-1', '{"v":1}'],
  ['sync-1/datamart-snapshot/0', '{"v":1,"status":"RUNNING"}'],
  ['sync-1/other', '{"v":1,"status":"RUNNING","creation_date":1}'],
  ['a/b/c/d', '{"v":1,"status":"RUNNING","creation_date":1}'],
])('what can’t be understood counts as absent: %s %s', (key, value) => {
  expect(readExecutionsRecord(key, Buffer.from(value))).toEqual({ kind: 'other' });
});

test.each(['', '/x', 'a//0', 'a/t/-1', 'a/t/x', 'a/t/0/1'])('%j is no key of an execution', (key) => {
  expect(parseExecutionKey(key)).toBeNull();
});
