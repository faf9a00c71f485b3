import { beforeEach, describe, expect, test } from '@jest/globals';
import { DeadLetterTopics } from '../../commands/dead-letter-topics.ts';
import { runDeadLettersList } from '../../commands/dead-letters-list.ts';
import {
  runDeadLettersRedrive,
  type DeadLettersRedriveOptions,
} from '../../commands/dead-letters-redrive.ts';
import { OpenedRedrive } from '../../commands/opened-redrive.ts';
import { SinkError } from '../../sinks/sink.ts';
import { DeadLetterLog } from '../../streams/redrive/dead-letter-log.ts';
import { RedriveLedger, type LedgerEntry } from '../../streams/redrive/redrive-ledger.ts';
import {
  ALL_LETTERS,
  BuriedLetters,
  mutation,
  MUTATIONS,
  operation,
  TOPICS,
  USER,
  type Burial,
} from '../support/buried-letters.ts';
import { rejected, unavailable, type ScriptedSinks } from '../support/scripted-sink.ts';

/* The real redrive, topology, destinations and ledger, over Kafka, sinks and a clock in memory. */

class Output {
  text = '';
  write(text: string): boolean {
    this.text += text;
    return true;
  }
  once(): void {
    // Never full.
  }
}

interface Result {
  readonly code: number;
  readonly out: string;
  readonly errors: string;
}

let letters: BuriedLetters;
let sinks: ScriptedSinks;
let entries: LedgerEntry[];

beforeEach(() => {
  letters = new BuriedLetters();
  sinks = letters.sinks;
  entries = [];
});

const configure = (id: string, fields?: Record<string, unknown> | null): void =>
  letters.configure(id, fields);
const bury = (n: number, burial?: Burial): void => letters.bury(n, burial);

interface RunOptions extends Partial<DeadLettersRedriveOptions> {
  readonly signal?: AbortSignal;
  readonly onOpened?: (opened: OpenedRedrive) => void;
}

async function redrive({
  signal = new AbortController().signal,
  onOpened = () => undefined,
  ...given
}: RunOptions = {}): Promise<Result> {
  const options: DeadLettersRedriveOptions = {
    filter: ALL_LETTERS,
    limit: null,
    isForced: true,
    isDryRun: false,
    isAgain: false,
    isJson: false,
    ...given,
  };
  const [out, errors] = [new Output(), new Output()];
  const topics = await DeadLetterTopics.describe(TOPICS, letters.topicAdmin);
  await using opened = new OpenedRedrive(letters.parts, topics);
  onOpened(opened);
  const ledger = await RedriveLedger.open({
    load: () => Promise.resolve([...entries]),
    append: async (entry) => {
      entries.push(entry);
    },
  });
  const { isForced, isDryRun } = options;
  const code = await letters.untilOver(
    runDeadLettersRedrive(
      options,
      {
        log: opened.log,
        ledger,
        ledgerPath: 'progress.jsonl',
        out,
        errors,
        now: () => letters.clock.now(),
        confirm: null,
        makeRedrive: (hooks) => opened.redrive({ ledger, isForced, isDryRun, hooks }, signal),
      },
      signal,
    ),
  );
  return { code, out: out.text, errors: errors.text };
}

const failing = (kind: 'retriable' | 'fatal', isAmbiguous = false) => ({
  delivered: 0,
  failure: new SinkError(kind, 'permission_denied', 'no right to publish', { isAmbiguous }),
});

test('sends each to the replication that it names, byte for byte, in the order of the source', async () => {
  configure('80');
  configure('81');
  bury(5, { replicationId: '80', stored: 1 });
  bury(3, { replicationId: '80' });
  bury(4, { replicationId: '81' });
  bury(3, { replicationId: '80' });

  const { code, out } = await redrive();

  expect(sinks.received('80')).toEqual([operation(3), operation(5)]);
  expect(sinks.received('81')).toEqual([operation(4)]);
  expect(code).toBe(0);
  expect(out).toMatch(/2 +80 +sent/);
});

test('one that names none goes to all that want it, and one that is PAUSED is told', async () => {
  configure('80');
  configure('81', { replication_filters: [{ document: 'USER_SEGMENT', filter: null }] });
  configure('82', { status: 'PAUSED' });
  bury(1, { reason: 'unknown_schema' });

  const { code, out } = await redrive();

  expect(sinks.received('80')).toEqual([operation(1)]);
  expect(sinks.requests).toHaveLength(1);
  expect(out).toMatch(/1 +82 +left out: the replication is PAUSED/);
  expect(code).toBe(0);
});

test.each([
  ['paused', () => configure('80', { status: 'PAUSED' }), 'PAUSED', 0],
  ['unknown', () => undefined, 'there is no such replication', 0],
  ['of another datamart now', () => configure('80', { datamart_id: '7' }), 'belongs to another datamart', 0],
])('a replication that is %s gets nothing', async (_, prepare, words, expected) => {
  configure('81');
  prepare();
  bury(1, { replicationId: '80' });

  const { code, out } = await redrive();

  expect(sinks.requests).toEqual([]);
  expect(out).toContain(words);
  expect(code).toBe(expected);
});

test('what still can’t be decoded, or has no value, is told and ends with 1', async () => {
  configure('80');
  bury(1, { reason: 'unknown_op', value: mutation(1, { op: 'EXPLODE' }) });
  bury(2, { replicationId: '80', value: null });
  bury(3, { replicationId: '80' });

  const { code, out } = await redrive();

  expect(sinks.received('80')).toEqual([operation(3)]);
  expect(code).toBe(1);
  expect(out).toContain('undecodable: datamart-mutations/0/1: unknown_op');
  expect(out).toContain('no_value: datamart-mutations/0/2');
  expect(out).not.toContain(USER);
});

test('a rejected one is found, told and not noted; its neighbours arrive', async () => {
  configure('80');
  for (const n of [1, 2, 3, 4, 5]) bury(n, { replicationId: '80' });
  sinks.script('80', (operations) => (operations.includes(operation(4)) ? rejected() : null));

  const first = await redrive();
  sinks.script('80', undefined);
  const second = await redrive();

  expect(first.code).toBe(1);
  expect(first.out).toContain('rejected: datamart-mutations/0/4 for replication 80: invalid_record');
  expect(sinks.received('80')).toEqual([1, 2, 3, 5, 4].map(operation));
  expect(second).toMatchObject({ code: 0, out: expect.stringMatching(/4 +80 +sent by an earlier redrive/) });
});

test('a failure that passes is tried again with the same records', async () => {
  configure('80');
  bury(1, { replicationId: '80' });
  let failures = 3;
  sinks.script('80', () => (failures-- > 0 ? unavailable() : null));

  const { code } = await redrive();

  expect(code).toBe(0);
  expect(sinks.received('80')).toEqual([operation(1)]);
  expect(sinks.requests).toHaveLength(4);
});

test('after an attempt whose outcome is open, newer letters wait until it can’t be stored any more', async () => {
  configure('80');
  for (const n of [1, 2]) bury(n, { replicationId: '80' });
  const sentAt: number[] = [];
  // The request of both is halved, and what becomes of the first half is open.
  const answers = [rejected(), failing('retriable', true)];
  sinks.script('80', () => answers[sentAt.push(letters.clock.now()) - 1] ?? null);

  const { code } = await redrive();

  expect(code).toBe(0);
  expect(sinks.received('80')).toEqual([operation(1), operation(2)]);
  const [, first = 0, again = 0, newer = 0] = sentAt;
  expect(again - first).toBeLessThan(10_000);
  expect(newer - first).toBeGreaterThanOrEqual(10_000);
});

test('a refusal ends the part of its replication, with the reason; others go on', async () => {
  configure('80');
  configure('81');
  for (const n of [1, 2]) for (const replicationId of ['80', '81']) bury(n, { replicationId });
  sinks.script('80', () => failing('fatal'));

  const { code, errors } = await redrive();

  expect(code).toBe(1);
  expect(errors).toContain('replication 80 takes no more: permission_denied: no right to publish');
  expect(sinks.requests.filter(({ replication }) => replication === '80')).toHaveLength(1);
  expect(sinks.received('81')).toEqual([operation(1), operation(2)]);
});

test('a destination that rejects more than 20 in a row ends the part: the cause isn’t gone', async () => {
  configure('80');
  for (let n = 0; n < 40; n += 1) bury(n, { replicationId: '80' });
  sinks.script('80', () => rejected());

  const { code, out, errors } = await redrive();

  expect(code).toBe(1);
  expect(out).toMatch(/20 +80 +rejected by the destination again/);
  expect(out).toMatch(/20 +80 +not sent: the destination takes no more/);
  expect(errors).toContain('rejects_everything');
});

test('a destination that never answers well is given up after five minutes', async () => {
  configure('80');
  bury(1, { replicationId: '80' });
  sinks.script('80', () => failing('retriable'));
  const startedAt = letters.clock.now();

  const { code } = await redrive();

  expect(code).toBe(1);
  expect(letters.clock.now() - startedAt).toBeGreaterThanOrEqual(300_000);
  expect(letters.clock.now() - startedAt).toBeLessThan(360_000);
});

describe.each([
  ['deleted', null, 'there is no such replication'],
  ['paused', { status: 'PAUSED' }, 'the replication is PAUSED'],
])('a replication that is %s while its destination is waited for', (_, fields, words) => {
  test.each([true, false])('ends its part within a second (its destination is told: %s)', async (isTold) => {
    configure('80');
    configure('81');
    for (const n of [1, 2]) bury(n, { replicationId: '80' });
    bury(3, { replicationId: '81' });
    let opened: OpenedRedrive | undefined;
    let changedAt = Infinity;
    sinks.script('80', () => failing('retriable'));
    const { clock, parts } = letters;
    const change = (): void => {
      const previous = parts.replications.get('80');
      configure('80', fields);
      changedAt = clock.now();
      // As the command does; the API's destinations aren't told.
      if (isTold) void opened?.destinations.apply(previous ?? null, parts.replications.get('80') ?? null);
    };
    clock.schedule(100_500, change);

    const { code, out } = await redrive({
      onOpened: (each) => {
        opened = each;
      },
    });

    expect(clock.now() - changedAt).toBeLessThanOrEqual(2_000);
    expect(out).toMatch(new RegExp(`2 +80 +left out: ${words}`));
    expect(sinks.received('80')).toEqual([]);
    expect(sinks.received('81')).toEqual([operation(3)]);
    expect(code).toBe(0);
  });
});

describe('without --force', () => {
  test('only what the snapshot still holds as the newest is sent', async () => {
    configure('80');
    for (const n of [1, 2, 3]) bury(n, { replicationId: '80' });
    letters.snapshot(1, 1);
    letters.snapshot(2, 2);
    letters.snapshot(2, 9);

    const { code, out } = await redrive({ isForced: false });

    expect(sinks.received('80')).toEqual([operation(1)]);
    expect(out).toContain('superseded: datamart-mutations/0/2');
    expect(out).toContain('not_in_snapshot: datamart-mutations/0/3');
    expect(code).toBe(1);
  });

  test('a newer mutation that comes while the destination is away supersedes', async () => {
    configure('80');
    bury(1, { replicationId: '80' });
    letters.snapshot(1, 1);
    sinks.script('80', () => {
      letters.snapshot(1, 8);
      return unavailable();
    });

    const { code, out } = await redrive({ isForced: false });

    expect(sinks.received('80')).toEqual([]);
    expect(out).toContain('superseded');
    expect(code).toBe(0);
  });

  test('a newer mutation that comes during the backoff supersedes too', async () => {
    configure('80');
    bury(1, { replicationId: '80' });
    letters.snapshot(1, 1);
    let attempts = 0;
    sinks.script('80', () => {
      attempts += 1;
      if (attempts > 1) return null;
      letters.clock.schedule(1, () => letters.snapshot(1, 8));
      return unavailable();
    });

    const { out } = await redrive({ isForced: false });

    expect(sinks.received('80')).toEqual([]);
    expect(out).toContain('superseded');
  });

  test('a snapshot without the header `source` is compared by its bytes', async () => {
    configure('80');
    bury(1, { replicationId: '80' });
    bury(2, { replicationId: '80' });
    letters.snapshotRecord(1, mutation(1));
    letters.snapshotRecord(2, null);

    await redrive({ isForced: false });

    expect(sinks.received('80')).toEqual([operation(1)]);
  });
});

test('a dry run sends and notes nothing', async () => {
  configure('80');
  bury(1, { replicationId: '80' });

  const { code, out } = await redrive({ isDryRun: true });

  expect(sinks.opened).toEqual([]);
  expect(entries).toEqual([]);
  expect(out).toMatch(/1 +80 +would be sent/);
  expect(code).toBe(0);
});

test('--limit goes on with the next ones, --again begins anew', async () => {
  configure('80');
  for (const n of [1, 2, 3]) bury(n, { replicationId: '80' });

  await redrive({ limit: 2 });
  expect(sinks.received('80')).toEqual([1, 2].map(operation));
  await redrive({ limit: 2 });
  expect(sinks.received('80')).toEqual([1, 2, 3].map(operation));
  await redrive({ isAgain: true });
  expect(sinks.received('80')).toEqual([1, 2, 3, 1, 2, 3].map(operation));
});

test('after a stop the same command goes on where it was, and nothing is lost or sent twice', async () => {
  configure('80');
  const all = Array.from({ length: 2_500 }, (_, n) => n);
  for (const n of all) bury(n, { replicationId: '80' });
  const stop = new AbortController();
  let requests = 0;
  sinks.script('80', () => {
    requests += 1;
    if (requests === 2) stop.abort(new Error('stopped'));
    return null;
  });

  const first = await redrive({ signal: stop.signal });
  const sentFirst = sinks.received('80').length;
  const second = await redrive();

  expect(first.code).toBe(0);
  expect(first.errors).toMatch(/stopped after \d+ of 2500 dead letters; the same command goes on/);
  expect(sentFirst).toBeGreaterThan(0);
  expect(sentFirst).toBeLessThan(2_500);
  expect(second.code).toBe(0);
  expect(sinks.received('80')).toEqual(all.map(operation));
});

describe('the list', () => {
  async function list(isJson: boolean, limit: number | null = null): Promise<string> {
    const [out, errors] = [new Output(), new Output()];
    const { clock, random, partitionReader } = letters.parts;
    const place = { topic: TOPICS.deadLetters, partitions: 2 };
    const log = new DeadLetterLog({ ...place, reader: partitionReader(), clock, random });
    const ports = { log, out, errors, now: () => letters.clock.now() };
    await runDeadLettersList({ filter: ALL_LETTERS, limit, isJson }, ports, new AbortController().signal);
    return out.text;
  }

  test('shows a table with the sums, and nothing of key or payload', async () => {
    bury(1, { replicationId: '80', code: 'invalid_record', detail: `refused ${USER}` });
    await letters.clock.advance(1_000);
    bury(2, { reason: 'unknown_op', stored: 1 });

    const text = await list(false);

    expect(text).toContain('rejected    invalid_record  80           datamart-mutations/0/1');
    expect(text).toMatch(/1 +unknown_op +-/);
    expect(text).not.toContain(USER);
    expect(text).not.toContain('$n');
  });

  test('writes one JSON object a line, the newest with a limit', async () => {
    bury(1, { replicationId: '80' });
    await letters.clock.advance(1_000);
    bury(2, { replicationId: '80', stored: 1 });

    const lines = (await list(true, 1)).trimEnd().split('\n');

    expect((await list(true)).trimEnd().split('\n')).toHaveLength(2);
    expect(lines.map((line) => JSON.parse(line) as object)).toEqual([
      expect.objectContaining({ reason: 'rejected', replication_id: '80', topic: MUTATIONS, offset: '2' }),
    ]);
  });
});
