import { beforeEach, describe, expect, test } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { ApiError } from '../../../../api/api-error.ts';
import { runCli } from '../../../../cli.ts';
import type { CliProcess } from '../../../../commands/cli-process.ts';
import { runCancel, runStart, type StartOptions } from '../../../../commands/initial-sync/change.ts';
import { runGet, runList } from '../../../../commands/initial-sync/look.ts';
import type { ExecutionsSession } from '../../../../commands/initial-sync/session.ts';
import { runWatch } from '../../../../commands/initial-sync/watch.ts';
import { anExecutionResource, MemoryExecutions } from '../../../support/memory-executions.ts';
import { RecordedOutput } from '../../../support/recorded-output.ts';

const HELD_TASK = {
  topic: 'datamart-snapshot',
  partition: 3,
  status: 'RUNNING',
  offset: '50',
  end_offset: '100',
  operations: 7,
  held: 'budget',
  error: null,
  updated_at: 0,
} as const;

let executions: MemoryExecutions;
let out: RecordedOutput;
let errors: RecordedOutput;
let nowMs: number;
let stopping: AbortController;

beforeEach(() => {
  executions = new MemoryExecutions();
  out = new RecordedOutput();
  errors = new RecordedOutput();
  nowMs = 0;
  stopping = new AbortController();
});

function aSession(fields: Partial<ExecutionsSession> = {}): ExecutionsSession {
  return {
    operations: executions,
    caller: { name: 'cli:ops', role: 'operator' },
    datamartId: '1649',
    flagsText: ' --datamart-id 1649',
    isJson: false,
    out,
    errors,
    signal: stopping.signal,
    now: () => nowMs,
    sleep: async (ms) => {
      nowMs += ms;
    },
    ...fields,
  };
}

const plain: StartOptions = { replicationIds: null, maxOperations: null, id: null, watches: false };
const ended = anExecutionResource({
  status: 'SUCCEEDED',
  progress: 1,
  completed_tasks: 8,
  result: {
    total_failure: 0,
    replications: {
      80: { outcome: 'succeeded', documents: { UserPoint: 5 }, skipped_newer: 1, rejected: 0 },
    },
  },
});

describe('start', () => {
  test('launches what is asked for, and says how to watch it', async () => {
    const options = { ...plain, replicationIds: ['80', '81'], maxOperations: 100, id: 'sync-1' };
    const code = await runStart(options, aSession());

    expect(code).toBe(0);
    expect(executions.calls).toEqual([
      {
        launch: '1649',
        body: { id: 'sync-1', replication_ids: ['80', '81'], max_operations: 100 },
        by: 'cli:ops',
      },
    ]);
    expect(out.text).toBe(
      'initial synchronization sync-1 of replications 80, 81: PENDING\n' +
        'next:\n  datamart-replication initial-sync watch sync-1 --datamart-id 1649\n',
    );
  });

  test('asks for nothing that wasn’t said', async () => {
    await runStart(plain, aSession({ isJson: true }));

    expect(executions.calls).toMatchObject([{ body: {} }]);
    expect(JSON.parse(out.text)).toMatchObject({ id: 'sync-1', status: 'PENDING' });
  });

  test('needs a datamart', async () => {
    await expect(runStart(plain, aSession({ datamartId: null }))).rejects.toThrow('--datamart-id');
  });

  test('with --watch goes on until the end', async () => {
    executions.answers.push(ended);

    expect(await runStart({ ...plain, watches: true }, aSession())).toBe(0);
    expect(out.text).toContain('SUCCEEDED');
  });
});

describe('list and get', () => {
  test('list is a line for each', async () => {
    executions.executions.push(
      anExecutionResource(),
      anExecutionResource({
        id: 'sync-0',
        status: 'FAILED',
        progress: 0,
        num_tasks: 0,
        result: { total_failure: 0, replications: {} },
        parameters: { replication_ids: [], max_operations: null },
        error: { code: 'sync_too_soon', message: 'too soon', replication_ids: ['80'] },
      }),
    );

    expect(await runList({ keywords: null, status: null }, aSession())).toBe(0);
    expect(out.text).toBe(
      [
        'id      datamart  status                progress  replications  operations  requested             took',
        'sync-1  1649      RUNNING               50 %      80, 81              1600  2025-11-23 12:13:20Z  52 s',
        'sync-0  1649      FAILED sync_too_soon  0 %       -                      0  2025-11-23 12:13:20Z  52 s',
        '',
      ].join('\n'),
    );
  });

  test('list hands on what it is narrowed by', async () => {
    expect(await runList({ keywords: 'x', status: 'FAILED' }, aSession({ datamartId: null }))).toBe(0);
    expect(executions.calls).toMatchObject([{ list: null, keywords: 'x', status: 'FAILED' }]);
    expect(errors.text).toBe('no such initial synchronizations\n');
  });

  test('get shows counts by replication and type, and each partition', async () => {
    executions.executions.push(
      anExecutionResource({
        held: 'budget',
        parameters: { replication_ids: ['80'], max_operations: 9 },
        tasks: [HELD_TASK],
      }),
    );

    // The datamart is found by the id.
    expect(await runGet('sync-1', aSession({ datamartId: null }))).toBe(0);
    expect(out.text).toBe(
      [
        'initial synchronization sync-1',
        '  datamart   1649',
        '  status     RUNNING',
        '  requested  2025-11-23 12:13:20Z by ops',
        '  started    2025-11-23 12:13:21Z',
        '  took       52 s',
        '  tasks      3 of 8 done',
        '  progress   50 %',
        '  budget     9 operations',
        '  held       by its budget: `initial-sync start --id … --max-operations N` with a higher one goes on',
        '',
        'replication  outcome   documents    sent  newer  rejected',
        '80           going on  all          1600     12         0',
        '                       UserProfile  1200',
        '                       UserSegment   400',
        '81           error     all             0      0         3',
        '',
        'topic              partition  status   offset  end  held',
        'datamart-snapshot          3  RUNNING  50      100  budget',
        '',
      ].join('\n'),
    );
  });

  test('what went on when an execution was canceled has stopped, and nothing holds it', async () => {
    executions.executions.push(anExecutionResource({ status: 'CANCELED', held: null, tasks: [HELD_TASK] }));

    expect(await runGet('sync-1', aSession({ datamartId: null }))).toBe(0);
    expect(out.text).toContain('80           stopped  all');
    expect(out.text).toMatch(/datamart-snapshot +3 +stopped +50 +100 +-\n/);
  });

  test('get of what isn’t there is refused', async () => {
    await expect(runGet('other', aSession({ datamartId: null }))).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

describe('watch', () => {
  /** A running one that has sent so much. */
  const at = (progress: number, sent: number) =>
    anExecutionResource({
      progress,
      result: {
        total_failure: 0,
        replications: {
          80: { outcome: null, documents: { UserPoint: sent }, skipped_newer: 0, rejected: 0 },
        },
      },
    });

  test('shows a bar, the rate and the estimated end, and what came of it', async () => {
    executions.executions.push(ended);
    for (let n = 0; n < 25; n += 1) executions.answers.push(at(0.25 + n / 100, n * 500));

    expect(await runWatch('sync-1', aSession())).toBe(0);
    expect(errors.text.split('\n')).toEqual([
      '[########................] 35 %, 5000 operations, 500/s, 1 min 5 s to go, 3 of 8 tasks',
      '[##########..............] 45 %, 10000 operations, 500/s, 55 s to go, 3 of 8 tasks',
      '',
    ]);
    expect(out.text).toContain('80           succeeded  all           5');
  });

  test('says what holds it, and estimates no end then', async () => {
    executions.executions.push(ended);
    executions.answers.push(
      ...Array.from({ length: 11 }, () => ({ ...at(0.25, 10), held: 'budget' as const })),
    );

    await runWatch('sync-1', aSession());

    expect(errors.text).toBe(
      '[######..................] 25 %, 10 operations, 0/s, 3 of 8 tasks, held by budget\n',
    );
  });

  test('with --json every change is a line', async () => {
    executions.executions.push(ended);
    executions.answers.push(at(0.25, 10), { ...at(0.25, 10), duration: 53_000 }, at(0.5, 20));

    expect(await runWatch('sync-1', aSession({ isJson: true }))).toBe(0);
    const lines = out.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { progress: number });
    expect(lines.map(({ progress }) => progress)).toEqual([0.25, 0.5, 1]);
  });

  test.each([
    ['FAILED', anExecutionResource({ status: 'FAILED' })],
    ['CANCELED', anExecutionResource({ status: 'CANCELED' })],
    ['SUCCEEDED but for a replication', { ...ended, result: { ...ended.result, total_failure: 1 } }],
  ])('ends with 1 when it %s', async (_, execution) => {
    executions.executions.push(execution);

    expect(await runWatch('sync-1', aSession())).toBe(1);
  });

  test('ends with 0 when it is stopped: the synchronization goes on', async () => {
    executions.executions.push(at(0.25, 10));
    const session = aSession({
      sleep: async () => {
        stopping.abort();
      },
    });

    expect(await runWatch('sync-1', session)).toBe(0);
    expect(errors.text).toContain('it goes on without this command');
  });
});

describe('cancel', () => {
  test('ends it', async () => {
    executions.executions.push(anExecutionResource());

    expect(await runCancel('sync-1', aSession())).toBe(0);
    expect(executions.calls).toEqual([{ cancel: 'sync-1', datamartId: '1649' }]);
    expect(out.text).toBe('canceled sync-1; what was sent stays\n');
  });

  test('says so when no processor has done it yet', async () => {
    executions.answers.push(anExecutionResource());

    expect(await runCancel('sync-1', aSession())).toBe(0);
    expect(out.text).toContain('is RUNNING still');
  });

  test('hands on what it is refused for', async () => {
    executions.refusal = new ApiError('execution_ended', 'it has ended');

    await expect(runCancel('sync-1', aSession())).rejects.toMatchObject({ code: 'execution_ended' });
  });
});

describe('the command line', () => {
  async function run(...args: readonly string[]) {
    const stdout = new RecordedOutput();
    const stderr = new RecordedOutput();
    const host: CliProcess = {
      args: ['initial-sync', ...args],
      env: {},
      stdout,
      stderr,
      signals: new EventEmitter(),
      exit: () => undefined,
    };
    return { code: await runCli(host), out: stdout.text, errors: stderr.text };
  }

  test.each(['start', 'list', 'get', 'watch', 'cancel'])(
    '%s has a help with its exit codes',
    async (name) => {
      const { code, out: help } = await run(name, '--help');

      expect(code).toBe(0);
      expect(help).toContain(`initial-sync ${name}`);
      expect(help).toContain('Exit codes: 0');
      expect(help).toContain('--api');
    },
  );

  test.each([
    [['start', '--max-operations', '0'], '--max-operations'],
    [['start', '--replication-ids', '80,,81'], '--replication-ids'],
    [['start', '--id', 'a/b'], '--id'],
    [['list', '--status', 'running'], '--status'],
    [['get'], "missing required argument 'id'"],
    [['watch', '..'], 'id'],
  ])('%j is wrong usage', async (args, words) => {
    const { code, errors: told } = await run(...args);

    expect(code).toBe(2);
    expect(told).toContain(words);
  });

  test('without brokers and API says what is missing', async () => {
    const { code, errors: told } = await run('list');

    expect(code).toBe(2);
    expect(told).toContain('KAFKA_BROKERS');
  });
});
