import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultLedgerPath, LedgerFile } from '../../../commands/redrive-ledger-file.ts';
import { RedriveLedger } from '../../../streams/redrive/redrive-ledger.ts';

let directory: string;
let file: string;
const killed: LedgerFile[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'redrive-ledger-'));
  file = join(directory, 'state', 'progress.jsonl');
});

afterEach(async () => {
  for (const left of killed.splice(0)) await left[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const source = (offset: number, timestamp = 1) => ({ topic: 'm', partition: 0, offset, timestamp });

/** Of a process that is killed: it closes nothing. */
async function openToBeKilled(): Promise<LedgerFile> {
  const opened = await LedgerFile.open(file);
  killed.push(opened);
  return opened;
}

/** As the process that was killed left it: nothing was closed. */
async function openAfterKill(): Promise<LedgerFile> {
  await rm(`${file}.lock`, { force: true });
  return LedgerFile.open(file);
}

test('what was noted is there after a kill, without a line that was cut off, and goes on from there', async () => {
  const before = await RedriveLedger.open(await openToBeKilled());
  await before.noteSent('80', [source(1), source(2)]);
  await appendFile(file, '{"v":1,"replication_id":"80","to');

  await using next = await openAfterKill();
  const ledger = await RedriveLedger.open(next);
  await ledger.noteSent('80', [source(3)]);

  expect([1, 2, 3, 4].map((offset) => ledger.has('80', source(offset)))).toEqual([true, true, true, false]);
  expect(ledger.has('81', source(1))).toBe(false);
  expect(ledger.has('80', source(1, 2))).toBe(false);
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line) as object)).toEqual([
    {
      v: 1,
      replication_id: '80',
      topic: 'm',
      partition: 0,
      sent: [
        ['1', 1],
        ['2', 1],
      ],
    },
    { v: 1, replication_id: '80', topic: 'm', partition: 0, sent: [['3', 1]] },
  ]);
});

test('what is to be sent again counts as not sent, also later', async () => {
  const before = await RedriveLedger.open(await openToBeKilled());
  await before.noteSent('80', [source(1), source(2)]);
  await before.forget('80', [source(1)]);

  await using next = await openAfterKill();
  const ledger = await RedriveLedger.open(next);

  expect([1, 2].map((offset) => ledger.has('80', source(offset)))).toEqual([false, true]);
});

test('one redrive at a time; the lock of a dead process is no hindrance', async () => {
  await using first = await LedgerFile.open(file);
  expect(await first.load()).toEqual([]);
  await writeFile(`${file}.lock`, String(process.ppid));
  await expect(LedgerFile.open(file)).rejects.toThrow(`another redrive, process ${process.ppid}, is at work`);

  await writeFile(`${file}.lock`, '999999999');
  await using second = await LedgerFile.open(file);
  expect(await second.load()).toEqual([]);
});

test('a file that is something else is refused with its line', async () => {
  await (await LedgerFile.open(file))[Symbol.asyncDispose]();
  await writeFile(file, '{"v":2}\n');

  await expect(LedgerFile.open(file)).rejects.toThrow('line 1: not the progress of a redrive');
});

test.each([
  [{ XDG_STATE_HOME: '/state', HOME: '/home' }, '/state/datamart-replication/redrive-ab.jsonl'],
  [{ HOME: '/home' }, '/home/.local/state/datamart-replication/redrive-ab.jsonl'],
  [{}, null],
])('is kept by default where %j says', (env, expected) => {
  expect(defaultLedgerPath(env, 'ab')).toBe(expected);
});
