import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DeadLetterSelection, RedriveRequest } from '../../api/dead-letter-operations.ts';
import {
  deadLetterOperations,
  type DeadLetterOperationsContext,
} from '../../commands/dead-letter-operations.ts';
import { BuriedLetters, mutation, operation, TOPICS, USER } from '../support/buried-letters.ts';
import { settle } from '../support/manual-clock.ts';
import { unavailable } from '../support/scripted-sink.ts';

/* What the API calls, with the real redrive and ledger, over Kafka, sinks and a clock in memory. */

const ALL: DeadLetterSelection = {
  datamartId: '1649',
  replicationId: '80',
  reason: null,
  since: null,
  until: null,
};
const never = new AbortController().signal;

type Operations = ReturnType<typeof deadLetterOperations>;

let letters: BuriedLetters;
let directory: string;
let opened: Operations[];

beforeEach(async () => {
  letters = new BuriedLetters();
  letters.configure('80');
  directory = await mkdtemp(join(tmpdir(), 'dead-letter-operations-'));
  opened = [];
});

afterEach(async () => {
  for (const each of opened) await each[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

/** As an instance opens them when it starts. */
function open(changes: Partial<DeadLetterOperationsContext> = {}): Operations {
  const operations = deadLetterOperations({
    ...letters.parts,
    settings: { topics: TOPICS },
    env: { XDG_STATE_HOME: directory },
    topicAdmin: letters.topicAdmin,
    ...changes,
  });
  opened.push(operations);
  return operations;
}

function redrive(
  operations: Operations,
  changes: Partial<RedriveRequest> = {},
  signal: AbortSignal = never,
): ReturnType<Operations['redrive']> {
  const request = { ...ALL, isForced: true, isDryRun: false, limit: 1_000, ...changes };
  return letters.untilOver(operations.redrive(request, signal));
}

const sent = (...numbers: readonly number[]): readonly string[] => numbers.map(operation);

/** A destination that answers only when it is told to. */
function heldDestination(): { readonly release: () => void; readonly asked: Promise<void> } {
  const answer = Promise.withResolvers<null>();
  const asked = Promise.withResolvers<void>();
  letters.sinks.script('80', async () => {
    asked.resolve();
    await answer.promise;
    return { delivered: 1, failure: null };
  });
  return { asked: asked.promise, release: () => answer.resolve(null) };
}

describe('list', () => {
  const offsetsOf = async (selection: Partial<DeadLetterSelection>, firstResult = 0, maxResults = 50) => {
    const page = { firstResult, maxResults };
    const { letters: found, total } = await open().list({ ...ALL, ...selection }, page, never);
    return { offsets: found.map(({ offset }) => offset), total };
  };

  test('tells the newest first, page by page, and how many there are', async () => {
    for (const n of [1, 2, 3, 4, 5]) {
      letters.bury(n, { replicationId: '80', stored: n % 2 });
      await letters.clock.advance(1_000);
    }

    expect(await offsetsOf({}, 0, 2)).toEqual({ offsets: ['5', '4'], total: 5 });
    expect(await offsetsOf({}, 2, 2)).toEqual({ offsets: ['3', '2'], total: 5 });
    expect(await offsetsOf({}, 4, 2)).toEqual({ offsets: ['1'], total: 5 });
    expect(await offsetsOf({}, 6, 2)).toEqual({ offsets: [], total: 5 });
  });

  test('tells only those that name the replication, and its datamart or none', async () => {
    letters.bury(1, { replicationId: '80', datamartId: '1649' });
    letters.bury(2, { replicationId: '80' });
    letters.bury(3, { replicationId: '80', datamartId: '7' });
    letters.bury(4, { replicationId: '81', datamartId: '1649' });
    letters.bury(5, { reason: 'unknown_schema' });

    expect(await offsetsOf({})).toEqual({ offsets: ['2', '1'], total: 2 });
  });

  test('selects by reason and time', async () => {
    const start = letters.clock.now();
    for (const n of [1, 2, 3]) {
      letters.bury(n, { replicationId: '80', reason: n === 2 ? 'too_large' : 'rejected' });
      await letters.clock.advance(1_000);
    }

    expect(await offsetsOf({ reason: 'rejected' })).toMatchObject({ offsets: ['3', '1'] });
    expect(await offsetsOf({ since: start + 1_000, until: start + 2_000 })).toMatchObject({ offsets: ['2'] });
  });

  test('tells nothing of key and value, and masks a user in a destination’s words', async () => {
    letters.bury(1, { replicationId: '80', code: 'invalid_record', detail: `refused ${USER}` });

    const { letters: found } = await open().list(ALL, { firstResult: 0, maxResults: 1 }, never);

    expect(found).toEqual([
      {
        time: letters.clock.now(),
        reason: 'rejected',
        code: 'invalid_record',
        replication_id: '80',
        datamart_id: null,
        topic: 'datamart-mutations',
        partition: 0,
        offset: '1',
        schema_id: null,
        truncated: false,
        detail: 'refused <id>',
        dead_letter_partition: 0,
        dead_letter_offset: '0',
      },
    ]);
  });

  test('refuses a page that lies too deep', async () => {
    await expect(offsetsOf({}, 99_951)).rejects.toMatchObject({
      status: 400,
      code: 'invalid_parameter',
      field: 'first_result',
    });
  });

  test('refuses an answer that would not be whole when its time is over', async () => {
    letters.bury(1, { replicationId: '80' });
    const time = new AbortController();
    const partitionReader = () => {
      const reader = letters.parts.partitionReader();
      const read: typeof reader.read = (...at) => {
        time.abort(new Error('over'));
        return reader.read(...at);
      };
      return { ...reader, read };
    };

    const listed = open({ partitionReader }).list(ALL, { firstResult: 0, maxResults: 1 }, time.signal);

    await expect(listed).rejects.toMatchObject({
      code: 'not_ready',
      message: expect.stringContaining('longer'),
    });
  });

  test('begins nothing when its time is over already, or after the end of the instance', async () => {
    const operations = open();
    const page = { firstResult: 0, maxResults: 1 };

    await expect(operations.list(ALL, page, AbortSignal.abort())).rejects.toMatchObject({
      code: 'not_ready',
    });
    await operations[Symbol.asyncDispose]();
    await expect(operations.list(ALL, page, never)).rejects.toMatchObject({ code: 'not_ready' });
  });

  test('is not ready without its topic, or while Kafka can’t be asked', async () => {
    const admin = letters.topicAdmin();
    const away = { ...admin, describeCluster: () => Promise.reject(new Error('no broker')) };

    await expect(
      open({ topicAdmin: () => away }).list(ALL, { firstResult: 0, maxResults: 1 }, never),
    ).rejects.toMatchObject({ status: 503, code: 'not_ready', retryAfterSeconds: 10 });
    letters.missing.add(TOPICS.deadLetters);
    await expect(offsetsOf({})).rejects.toMatchObject({
      code: 'not_ready',
      hint: expect.stringContaining('topics create'),
    });
  });
});

describe('redrive', () => {
  test('sends those of the replication in the order of the source, and counts the results', async () => {
    letters.configure('81');
    letters.bury(5, { replicationId: '80', stored: 1 });
    letters.bury(3, { replicationId: '80', datamartId: '1649' });
    letters.bury(4, { replicationId: '80', value: mutation(4, { op: 'EXPLODE' }) });
    letters.bury(6, { replicationId: '80', datamartId: '7' });
    letters.bury(7, { replicationId: '81' });
    letters.bury(8, { reason: 'unknown_schema' });

    const result = await redrive(open());

    expect(result).toEqual({ results: { sent: 2, undecodable: 1 }, isComplete: true });
    expect(letters.sinks.received('80')).toEqual(sent(3, 5));
    expect(letters.sinks.received('81')).toEqual([]);
  });

  test('only what the snapshot still holds as the newest, unless it is forced', async () => {
    for (const n of [1, 2, 3]) letters.bury(n, { replicationId: '80' });
    letters.snapshot(1, 1);
    letters.snapshot(2, 9);
    const operations = open();

    const careful = await redrive(operations, { isForced: false });
    const forced = await redrive(operations);

    expect(careful).toEqual({
      results: { sent: 1, superseded: 1, not_in_snapshot: 1 },
      isComplete: true,
    });
    expect(forced).toEqual({ results: { sent: 2 }, isComplete: true });
    expect(letters.sinks.received('80')).toEqual(sent(1, 2, 3));
  });

  test('closes the destinations that it has opened', async () => {
    letters.bury(1, { replicationId: '80' });

    await redrive(open());

    expect(letters.sinks.opened).toEqual(['80']);
    expect(letters.sinks.closed).toEqual(['80']);
  });

  test('a dry run opens no destination and notes nothing', async () => {
    letters.bury(1, { replicationId: '80' });
    const operations = open();

    expect(await redrive(operations, { isDryRun: true })).toMatchObject({ results: { would_send: 1 } });
    expect(letters.sinks.opened).toEqual([]);
    expect(await redrive(operations)).toMatchObject({ results: { sent: 1 } });
  });

  test('is not complete when more match than the limit, and the next call goes on', async () => {
    for (const n of [5, 4, 3, 2, 1]) letters.bury(n, { replicationId: '80' });
    const operations = open();

    expect(await redrive(operations, { limit: 2 })).toEqual({ results: { sent: 2 }, isComplete: false });
    expect(letters.sinks.received('80')).toEqual(sent(1, 2));
    expect(await redrive(operations, { limit: 2 })).toEqual({ results: { sent: 2 }, isComplete: false });
    expect(await redrive(operations, { limit: 2 })).toEqual({ results: { sent: 1 }, isComplete: true });
    expect(letters.sinks.received('80')).toEqual(sent(1, 2, 3, 4, 5));
  });

  test('what was sent is in a file, and isn’t sent again after a restart', async () => {
    letters.bury(1, { replicationId: '80' });

    await redrive(open());
    const again = await redrive(open());

    expect(again).toEqual({ results: {}, isComplete: true });
    expect(letters.sinks.received('80')).toEqual(sent(1));
    expect(await readdir(join(directory, 'datamart-replication'))).toEqual([
      expect.stringMatching(/^redrive-[0-9a-f]{16}\.jsonl$/),
    ]);
  });

  test.each([
    ['no home is set', () => ({})],
    ['it can’t be written', () => ({ HOME: join(directory, 'a-file') })],
  ])('where %s, the instance remembers what it has sent', async (_what, envOf) => {
    await writeFile(join(directory, 'a-file'), '');
    letters.bury(1, { replicationId: '80' });
    const operations = open({ env: envOf() });

    await redrive(operations);

    expect(await redrive(operations)).toEqual({ results: {}, isComplete: true });
    expect(letters.sinks.received('80')).toEqual(sent(1));
  });

  test('one at a time: another is refused, until the first has ended', async () => {
    letters.bury(1, { replicationId: '80' });
    const destination = heldDestination();
    const operations = open();
    const first = redrive(operations);
    await destination.asked;

    await expect(redrive(operations)).rejects.toMatchObject({
      status: 503,
      code: 'not_ready',
      retryAfterSeconds: 10,
    });
    destination.release();

    expect(await first).toEqual({ results: { sent: 1 }, isComplete: true });
    expect(await redrive(operations)).toEqual({ results: {}, isComplete: true });
  });

  test('is refused while another process notes its own in the file', async () => {
    letters.bury(1, { replicationId: '80' });
    await redrive(open());
    const [file = ''] = await readdir(join(directory, 'datamart-replication'));
    await writeFile(join(directory, 'datamart-replication', `${file}.lock`), String(process.ppid));

    await expect(redrive(open())).rejects.toMatchObject({ code: 'not_ready', retryAfterSeconds: 10 });
  });

  test('when its time is over, what was sent by then is counted and noted', async () => {
    const all = Array.from({ length: 2_500 }, (_, n) => n);
    for (const n of all) letters.bury(n, { replicationId: '80' });
    const time = new AbortController();
    let requests = 0;
    letters.sinks.script('80', () => {
      requests += 1;
      if (requests === 2) time.abort(new Error('over'));
      return null;
    });
    const operations = open();

    const first = await redrive(operations, { limit: 10_000 }, time.signal);
    const second = await redrive(operations, { limit: 10_000 });

    expect(first).toEqual({ results: { sent: 2_000 }, isComplete: false });
    expect(second).toEqual({ results: { sent: 500 }, isComplete: true });
    expect(letters.sinks.received('80')).toEqual(all.map(operation));
  });

  test('when Kafka goes away, what was sent by then is counted, and before that it is not ready', async () => {
    letters.bury(1, { replicationId: '80', stored: 0 });
    letters.bury(2, { replicationId: '80', stored: 1, partition: 1 });
    let isAway = false;
    const partitionReader = () => {
      const reader = letters.parts.partitionReader();
      const read: typeof reader.read = (...at) =>
        isAway ? Promise.reject(new Error('no broker')) : reader.read(...at);
      return { ...reader, read };
    };
    letters.sinks.script('80', () => {
      isAway = true;
      return null;
    });
    const operations = open({ partitionReader });

    expect(await redrive(operations)).toEqual({ results: { sent: 1 }, isComplete: false });
    await expect(redrive(operations)).rejects.toMatchObject({ code: 'not_ready', retryAfterSeconds: 10 });
  });

  test('a replication that was made anew meanwhile gets nothing', async () => {
    letters.bury(1, { replicationId: '80' });
    letters.sinks.script('80', () => {
      letters.configure('80', null);
      letters.configure('80', { datamart_id: '7' });
      letters.sinks.script('80', undefined);
      return unavailable();
    });

    expect(await redrive(open())).toEqual({ results: { unknown_replication: 1 }, isComplete: true });
    expect(letters.sinks.received('80')).toEqual([]);
  });

  test('the end of the instance ends it, after the request in flight', async () => {
    for (const n of [1, 2]) letters.bury(n, { replicationId: '80' });
    letters.sinks.limits = { ...letters.sinks.limits, maxRecords: 1 };
    const destination = heldDestination();
    const operations = open();
    const running = redrive(operations);
    await destination.asked;

    let isDisposed = false;
    const disposed = operations[Symbol.asyncDispose]().then(() => {
      isDisposed = true;
    });
    await settle();
    expect(isDisposed).toBe(false);
    destination.release();
    await disposed;

    expect(await running).toEqual({ results: { sent: 1 }, isComplete: false });
    expect(letters.sinks.closed).toEqual(['80']);
  });
});
