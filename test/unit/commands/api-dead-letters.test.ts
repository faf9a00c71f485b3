import { beforeEach, describe, expect, test } from '@jest/globals';
import type { ApiAnswer, ApiConnection, ApiRequest } from '../../../commands/api-connection.ts';
import {
  listApiDeadLetters,
  redriveApiDeadLetters,
  type ApiDeadLettersContext,
} from '../../../commands/api-dead-letters.ts';
import { RecordedOutput } from '../../support/recorded-output.ts';

let out: RecordedOutput;
let errors: RecordedOutput;
let requests: ApiRequest[];
let answers: Readonly<Record<string, unknown>>[];

beforeEach(() => {
  out = new RecordedOutput();
  errors = new RecordedOutput();
  requests = [];
  answers = [];
});

function context(isJson = false): ApiDeadLettersContext {
  const call = async (request: ApiRequest): Promise<ApiAnswer> => {
    requests.push(request);
    return { body: answers.shift() ?? {}, etag: '' };
  };
  return {
    connection: { call } as unknown as ApiConnection,
    datamartId: '1649',
    replicationId: '80',
    filter: { reason: 'rejected', since: 5, until: null },
    isJson,
    out,
    errors,
    signal: new AbortController().signal,
  };
}

function letter(offset: number): object {
  return {
    time: 1_763_900_000_000 + offset,
    reason: 'rejected',
    code: 'too_large',
    replication_id: '80',
    datamart_id: '1649',
    topic: 'datamart-mutations',
    partition: 3,
    offset: String(offset),
    schema_id: null,
    truncated: false,
    detail: 'too\u001b[31m large',
    dead_letter_partition: 0,
    dead_letter_offset: String(offset),
  };
}

function redriven(results: Readonly<Record<string, number>>, complete = true): Record<string, unknown> {
  return { status: 'ok', data: { dry_run: false, complete, results } };
}

describe('list', () => {
  test('shows the newest last, safely, and how many there are', async () => {
    answers = [{ data: [letter(2), letter(1)], total: 7 }];

    expect(await listApiDeadLetters({ limit: 2 }, context())).toBe(0);

    const [, first, second, hidden] = out.text.split('\n');
    expect(first).toMatch(/datamart-mutations\/3\/1 +too \[31m large$/);
    expect(second).toContain('datamart-mutations/3/2');
    expect(hidden).toBe('the newest 2 of 7; --limit shows more, --json all');
    expect(requests).toEqual([
      {
        method: 'GET',
        path: '/v1/datamarts/1649/replications/80/dead_letters',
        query: { first_result: '0', max_results: '2', reason: 'rejected', since: '5' },
      },
    ]);
  });

  test('with --json reads page after page, one object a line', async () => {
    const page = Array.from({ length: 1_000 }, (_, i) => letter(i));
    answers = [
      { data: page, total: 1_001 },
      { data: [letter(1_000)], total: 1_001 },
    ];

    await listApiDeadLetters({ limit: null }, context(true));

    expect(out.text.trimEnd().split('\n')).toHaveLength(1_001);
    expect(requests.map(({ query }) => query?.first_result)).toEqual(['0', '1000']);
  });

  test.each([[{ data: {}, total: 1 }], [{ data: [{ time: 'x' }], total: 1 }], [{ data: [] }]])(
    'an answer that is none is told: %j',
    async (answer) => {
      answers = [answer];

      await expect(listApiDeadLetters({ limit: null }, context())).rejects.toThrow('none about dead letters');
    },
  );
});

describe('redrive', () => {
  const options = { limit: null, isForced: false, isDryRun: false, confirm: null };

  test('is called again as long as it gets further, and adds up what was sent', async () => {
    answers = [redriven({ sent: 400 }, false), redriven({ sent: 20, sent_before: 400 })];

    expect(await redriveApiDeadLetters(options, context())).toBe(0);
    expect(out.text).toContain('  420  sent\n');
    expect(requests.map(({ body }) => body)).toEqual(
      Array(2).fill({
        reason: 'rejected',
        since: 5,
        until: null,
        force: false,
        dry_run: false,
        limit: 10_000,
      }),
    );
  });

  test('ends with 1 when some could not be sent, with words', async () => {
    answers = [redriven({ sent: 1, rejected: 2 })];

    expect(await redriveApiDeadLetters(options, context())).toBe(1);
    expect(out.text).toContain('rejected by the destination again');
  });

  test('ends with 1 when it gets no further', async () => {
    answers = [redriven({ superseded: 3 }, false)];

    expect(await redriveApiDeadLetters(options, context())).toBe(1);
    expect(errors.text).toContain('not all were looked at');
    expect(requests).toHaveLength(1);
  });

  test('sends no more than --limit over several calls', async () => {
    answers = [redriven({ sent: 3 }, false), redriven({ sent: 2 }, false)];

    expect(await redriveApiDeadLetters({ ...options, limit: 5 }, context())).toBe(0);
    expect(requests.map(({ body }) => (body as { readonly limit: number }).limit)).toEqual([5, 2]);
  });

  test('asks with the number that a dry run tells, and a no sends nothing', async () => {
    answers = [redriven({ would_send: 12 })];
    const questions: string[] = [];
    const confirm = async (question: string): Promise<boolean> => {
      questions.push(question);
      return false;
    };

    expect(await redriveApiDeadLetters({ ...options, confirm }, context())).toBe(0);
    expect(questions).toEqual(['send 12 dead letters to 80?']);
    expect(requests.map(({ body }) => (body as { readonly dry_run: boolean }).dry_run)).toEqual([true]);
    expect(errors.text).toBe('nothing was sent\n');
  });

  test('with nothing to send neither asks nor sends', async () => {
    answers = [redriven({ paused: 4 })];
    const confirm = async (): Promise<boolean> => Promise.reject(new Error('asked'));

    expect(await redriveApiDeadLetters({ ...options, confirm }, context())).toBe(0);
    expect(requests).toHaveLength(1);
    expect(out.text).toContain('left out: the replication is PAUSED');
  });

  test('with --json prints one summary', async () => {
    answers = [redriven({ sent: 1, brand_new_outcome: 2 })];

    await redriveApiDeadLetters(options, context(true));

    expect(JSON.parse(out.text)).toEqual({
      summary: { dry_run: false, complete: true, results: { sent: 1, brand_new_outcome: 2 } },
    });
  });
});
