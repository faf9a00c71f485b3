import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { advance, isProgressOnly, type ExecutionFacts } from '../../../../processors/initial-sync/advance.ts';
import { firstAllowances, nextAllowances } from '../../../../processors/initial-sync/allowances.ts';
import type { Execution } from '../../../../processors/initial-sync/execution.ts';
import { HELD_BY, type StoredTask } from '../../../../processors/initial-sync/task-record.ts';
import { anExecution, aPart, aTask, NOW } from '../../../support/executions.ts';

const LATER = NOW + 60_000;

function facts(fields: Partial<ExecutionFacts> = {}): ExecutionFacts {
  return {
    tasks: [],
    isCanceled: false,
    maxOperations: null,
    endedParts: new Map(),
    rival: null,
    nowMs: LATER,
    ...fields,
  };
}

const succeeded = (partition: number, fields: Partial<StoredTask> = {}): StoredTask =>
  aTask(partition, {
    status: 'SUCCEEDED',
    parts: new Map([
      ['80', aPart({ outcome: 'succeeded' })],
      ['81', aPart({ outcome: 'succeeded' })],
    ]),
    ...fields,
  });

const outcomes = ({ results }: Execution) =>
  Object.fromEntries([...results].map(([id, p]) => [id, p.outcome]));

const rival = {
  code: 'sync_already_running',
  field: null,
  message: 'another one runs',
  replicationIds: ['80', '81'],
  nextDate: null,
} as const;

describe('PENDING', () => {
  const pending = anExecution({ status: 'PENDING', startDate: null, duration: null });

  test('starts', () => {
    expect(advance(pending, facts())).toMatchObject({ status: 'RUNNING', startDate: LATER, revision: 3 });
  });

  test('is canceled, and never started', () => {
    const canceled = advance(pending, facts({ isCanceled: true }));

    expect(canceled).toMatchObject({ status: 'CANCELED', startDate: null, duration: null });
  });

  test('is refused when another one of the datamart came first', () => {
    const refused = advance(pending, facts({ rival }));

    expect(refused).toMatchObject({ status: 'FAILED', numTasks: 0, error: { code: 'sync_already_running' } });
  });
});

describe('RUNNING', () => {
  test('stays as it is while nothing is new, whatever time passes', () => {
    const execution = anExecution();

    expect(advance(execution, facts({ nowMs: LATER + 1 }))).toBe(execution);
  });

  test('adds up what the tasks report', () => {
    const part = (count: number, skippedNewer: number) =>
      aPart({ documents: new Map([['UserProfile', count]]), skippedNewer, rejected: 1 });
    const tasks = [
      aTask(0, { parts: new Map([['80', part(5, 1)]]) }),
      aTask(1, { parts: new Map([['80', part(7, 2)]]) }),
    ];
    const execution = anExecution();
    const next = advance(execution, facts({ tasks }));

    expect(next.results.get('80')).toEqual(
      aPart({ documents: new Map([['UserProfile', 12]]), skippedNewer: 3, rejected: 2 }),
    );
    expect(next.duration).toBe(60_000);
    expect(isProgressOnly(execution, next)).toBe(true);
  });

  test('a task that ends is more than progress', () => {
    const execution = anExecution();
    const next = advance(execution, facts({ tasks: [succeeded(0)] }));

    expect(next).toMatchObject({ status: 'RUNNING', completedTasks: 1 });
    expect(isProgressOnly(execution, next)).toBe(false);
  });

  test('SUCCEEDED when every task has', () => {
    const end = advance(anExecution(), facts({ tasks: [succeeded(0), succeeded(1)] }));

    expect(end).toMatchObject({ status: 'SUCCEEDED', completedTasks: 2, duration: 60_000, error: null });
    expect(outcomes(end)).toEqual({ 80: 'succeeded', 81: 'succeeded' });
  });

  test('not before a task has reported at all', () => {
    expect(
      advance(anExecution({ numTasks: 3 }), facts({ tasks: [succeeded(0), succeeded(1)] })),
    ).toMatchObject({
      status: 'RUNNING',
    });
  });

  test('FAILED as soon as a task has, with its words', () => {
    const tasks = [succeeded(0), aTask(1, { status: 'FAILED', error: 'the snapshot is gone' })];

    expect(advance(anExecution(), facts({ tasks }))).toMatchObject({
      status: 'FAILED',
      erroneousTasks: 1,
      error: { code: 'task_failed', message: 'partition 1 of datamart-snapshot: the snapshot is gone' },
    });
  });

  test('CANCELED when that is asked for, with what was sent by then', () => {
    const tasks = [aTask(0, { parts: new Map([['80', aPart({ documents: new Map([['UserEmail', 4]]) })]]) })];
    const end = advance(anExecution(), facts({ tasks, isCanceled: true }));

    expect(end).toMatchObject({ status: 'CANCELED', duration: 60_000 });
    expect(end.results.get('80')?.documents.get('UserEmail')).toBe(4);
  });

  test.each(['error', 'deleted'] as const)('goes on without a replication that ended as %s', (outcome) => {
    const begun = advance(anExecution(), facts({ endedParts: new Map([['80', outcome]]) }));
    expect(begun).toMatchObject({ status: 'RUNNING' });
    expect(outcomes(begun)).toEqual({ 80: outcome, 81: null });

    // It is repaired meanwhile: what it missed isn't sent any more.
    const end = advance(begun, facts({ tasks: [succeeded(0), succeeded(1)] }));
    expect(end.status).toBe('SUCCEEDED');
    expect(outcomes(end)).toEqual({ 80: outcome, 81: 'succeeded' });
  });

  test('takes an outcome from what a task reports', () => {
    const parts = new Map([
      ['80', aPart({ outcome: 'error' })],
      ['81', aPart({ outcome: 'succeeded' })],
    ]);
    const end = advance(anExecution(), facts({ tasks: [succeeded(0), succeeded(1, { parts })] }));

    expect(outcomes(end)).toEqual({ 80: 'error', 81: 'succeeded' });
  });

  test('FAILED when no replication is left', () => {
    const endedParts = new Map([
      ['80', 'error'],
      ['81', 'deleted'],
    ] as const);

    expect(advance(anExecution(), facts({ endedParts }))).toMatchObject({
      status: 'FAILED',
      error: { code: 'no_replication_left', replicationIds: ['80', '81'] },
    });
  });

  test('goes on although another one runs: both have begun', () => {
    const execution = anExecution();

    expect(advance(execution, facts({ rival }))).toBe(execution);
  });

  test.each([
    ['nobody is', [null, 'budget'], null],
    ['all wait for the budget', ['budget', 'budget'], 'budget'],
    ['all wait for live operations', ['live', 'live'], 'live'],
    ['some wait for a destination', ['destination', 'live'], 'destination'],
  ] as const)('is held by what all its tasks are held by: %s', (_, held, expected) => {
    const tasks = held.map((by, partition) => aTask(partition, { held: by, operations: 5 }));
    const allowances = new Map([
      ['datamart-snapshot/0', 5],
      ['datamart-snapshot/1', 5],
    ]);

    expect(advance(anExecution({ maxOperations: 10, allowances }), facts({ tasks })).held).toBe(expected);
  });

  test('is no longer held once the budget is raised', () => {
    const allowances = firstAllowances([aTask(0).at, aTask(1).at], 10);
    const tasks = [0, 1].map((partition) => aTask(partition, { held: 'budget', operations: 5 }));
    const held = advance(anExecution({ maxOperations: 10, allowances }), facts({ tasks }));
    const raised = advance(held, facts({ tasks, maxOperations: 21 }));

    expect(held.held).toBe('budget');
    expect(raised).toMatchObject({ held: null, maxOperations: 21 });
    expect([...(raised.allowances ?? [])].map(([, allowance]) => allowance)).toEqual([11, 10]);
  });

  test('a budget is only ever raised', () => {
    const execution = anExecution({ maxOperations: 10, allowances: new Map() });

    expect(advance(execution, facts({ maxOperations: 9 }))).toBe(execution);
  });
});

describe.each(['SUCCEEDED', 'FAILED', 'CANCELED'] as const)('%s', (status) => {
  test('never changes', () => {
    const execution = anExecution({ status });
    const everything = facts({ isCanceled: true, tasks: [aTask(0, { status: 'FAILED' })], rival });

    expect(advance(execution, everything)).toBe(execution);
  });
});

describe('allowances', () => {
  const partitions = [0, 1, 2].map((partition) => aTask(partition).at);
  const values = (allowances: ReadonlyMap<string, number>) => [...allowances.values()];

  test('share the budget, the first ones what doesn’t divide', () => {
    expect(values(firstAllowances(partitions, 11))).toEqual([4, 4, 3]);
    expect(values(firstAllowances(partitions, 2))).toEqual([1, 1, 0]);
  });

  test('what ended tasks left goes to those that are held for it', () => {
    const tasks = [
      aTask(0, { status: 'SUCCEEDED', operations: 1 }),
      aTask(1, { held: 'budget', operations: 4 }),
      aTask(2, { operations: 2 }),
    ];

    expect(values(nextAllowances(firstAllowances(partitions, 12), 12, tasks))).toEqual([1, 7, 4]);
  });

  test('what nobody waits for is kept', () => {
    const tasks = [aTask(0, { status: 'SUCCEEDED', operations: 1 })];

    expect(values(nextAllowances(firstAllowances(partitions, 12), 12, tasks))).toEqual([1, 4, 4]);
  });

  test('never exceed the budget, and none of a task that goes on ever falls', () => {
    const report = fc.record({
      status: fc.constantFrom('RUNNING', 'SUCCEEDED'),
      held: fc.constantFrom(null, ...HELD_BY),
      used: fc.nat({ max: 100 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000 }),
        fc.array(fc.tuple(report, report, report, fc.nat({ max: 50 })), { maxLength: 10 }),
        (max, rounds) => {
          let budget = max;
          let allowances = firstAllowances(partitions, max);
          for (const [a, b, c, raise] of rounds) {
            budget += raise;
            const tasks = [a, b, c].map(({ status, held, used }, partition) => {
              const allowance = allowances.get(`datamart-snapshot/${partition}`) ?? 0;
              return aTask(partition, { status, held, operations: Math.min(allowance, used) });
            });
            const next = nextAllowances(allowances, budget, tasks);
            expect(values(next).reduce((sum, n) => sum + n, 0)).toBeLessThanOrEqual(budget);
            for (const { at, status, operations } of tasks) {
              const name = `${at.topic}/${at.partition}`;
              const least = status === 'RUNNING' ? allowances.get(name) : operations;
              expect(next.get(name)).toBeGreaterThanOrEqual(least ?? 0);
            }
            allowances = next;
          }
        },
      ),
    );
  });
});
