import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startFakePubSub, type FakePubSub } from '../../local/fake-pubsub.ts';
import { produce } from '../support/kafka.ts';
import { Deployment, type ProcessorProcess } from '../support/processor-process.ts';
import { waitFor } from '../support/wait-for.ts';

/* From the rejection to the arrival on the real Kafka: the processor, the commands and a fake cloud, each as it runs. */

jest.setTimeout(180_000);

const BIN = join(import.meta.dirname, '../../bin.ts');
const TOPIC = 'projects/acme/topics/users';
const TS = 1_676_627_112_685;
const LETTERS = 900;
/** In the value of what is rejected. */
const MARK = '"big"';
const ANSWER_MS = 400;

let pubsub: FakePubSub;
let deployment: Deployment;
let processor: ProcessorProcess;
let progressFile: string;

interface Run {
  readonly code: number | string | null | undefined;
  readonly out: string;
  readonly errors: string;
}

const userOf = (n: number): string => `4700c85f-17e3-4304-aa7f-${String(n).padStart(12, '0')}`;
const valueOf = (n: number): string => `{"$n":${n},"big":9007199254740993.10,"s":"\\ud800 é"}`;
const operationOf = (n: number): string =>
  `{"ts":${TS},"doc_type":"UserActivity","doc_id":"${userOf(n)}:a${n}","op":"UPDATE","value":${valueOf(n)}}`;

function mutationOf(n: number): string {
  return `{"datamart_id":1649,"user_point_id":"${userOf(n)}","ts":${TS},"op":"UPDATE","doc_type":"UserActivity","user_activity_id":"a${n}","value":${valueOf(n)}}`;
}

/** What came of the mutations that were rejected at first. */
function arrivals(): string[] {
  return pubsub.messages.map(({ data }) => data.toString()).filter((text) => text.includes(MARK));
}

function environment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: process.env.HOME, ...deployment.settings };
}

function run(...args: readonly string[]): Promise<Run> {
  const { promise, resolve } = Promise.withResolvers<Run>();
  const options = { env: environment(), maxBuffer: 64 * 1024 * 1024 };
  execFile(process.execPath, [BIN, 'dead-letters', ...args], options, (error, out, errors) => {
    resolve({ code: error ? error.code : 0, out, errors });
  });
  return promise;
}

const redrive = (...args: readonly string[]): Promise<Run> =>
  run('redrive', '--yes', '--progress-file', progressFile, ...args);

beforeAll(async () => {
  pubsub = await startFakePubSub();
  pubsub.createTopic(TOPIC);
  pubsub.faults.rejectMessages(({ data }) => data.includes(MARK));
  deployment = await Deployment.create({
    mutationTopics: [{ partitions: 6 }],
    // Each letter's mutation is followed by a newer one of its document.
    environment: { PUBSUB_EMULATOR_HOST: pubsub.address, SNAPSHOT_ENABLED: 'false' },
  });
  progressFile = join(deployment.fileDirectory, 'progress.jsonl');
  const common = {
    datamart_id: '1649',
    type: 'GOOGLE_PUBSUB',
    version: 1,
    project_id: 'acme',
    topic_id: 'users',
  };
  await deployment.configure({ ...common, id: '80', status: 'ACTIVE', credentials_uri: 'file:google.json' });
  processor = await deployment.startReady();
  await produce(
    deployment.mutations,
    // Each before a good one: a destination that rejects everything is taken to be broken.
    Array.from({ length: LETTERS }, (_, n) => [
      { key: userOf(n), value: mutationOf(n) },
      { key: userOf(n), value: mutationOf(n).replace(valueOf(n), '{}') },
    ]).flat(),
  );
  // A commit alone may leave letters behind: a replication that stands still is detached.
  await processor.waitWhileRunning(
    async () => (await processor.metric('dead_letters_total')) === LETTERS,
    'all to be dead letters',
    90_000,
  );
  expect(await processor.stop()).toBe(0);
});

afterAll(async () => {
  await deployment?.[Symbol.asyncDispose]();
  await pubsub?.stop();
});

test('`list` shows and counts them, without user points and payload', async () => {
  const table = await run('list', '--limit', '5');
  const lines = await run(
    'list',
    '--json',
    '--replication-id',
    '80',
    '--reason',
    'rejected',
    '--since',
    '1h',
  );
  const others = await run('list', '--replication-id', '81');

  expect(table).toMatchObject({ code: 0, errors: '' });
  expect(table.out).toContain(`${LETTERS}  rejected  80`);
  expect(others).toMatchObject({ code: 0, out: 'no dead letter matches\n' });
  const letters = lines.out.trimEnd().split('\n');
  expect(letters).toHaveLength(LETTERS);
  expect(JSON.parse(letters[0] ?? '')).toMatchObject({
    reason: 'rejected',
    code: 'invalid_record',
    replication_id: '80',
    topic: deployment.mutations,
  });
  for (const text of [table.out, lines.out]) expect(text).not.toMatch(/4700c85f|\$n|big/);
});

test('without a snapshot --force is needed, and a destination that still rejects is told', async () => {
  const unforced = await redrive('--limit', '2');
  const rejected = await redrive('--limit', '2', '--force');

  expect(unforced.code).toBe(1);
  expect(unforced.out).toContain('not_in_snapshot');
  expect(rejected.code).toBe(1);
  expect(rejected.out).toContain('rejected: ');
  expect(arrivals()).toHaveLength(0);
});

test('once the cause is gone all arrive byte for byte, though the redrive is killed and stopped in between', async () => {
  pubsub.faults.rejectMessages(null);
  pubsub.faults.delayAll(ANSWER_MS);
  const args = [BIN, 'dead-letters', 'redrive', '--yes', '--force', '--progress-file', progressFile];

  const killed = spawn(process.execPath, args, { env: environment(), stdio: 'ignore' });
  const killedExit = once(killed, 'exit');
  await waitFor(async () => (await readFile(progressFile, 'utf8')).includes('\n'), { timeoutMs: 60_000 });
  killed.kill('SIGKILL');
  await killedExit;
  const notedBefore = notedIn(await readFile(progressFile, 'utf8'));
  // The fake stores at once and answers later.
  const afterKill = arrivals().length;

  const stopped = spawn(process.execPath, args, { env: environment() });
  let errors = '';
  stopped.stderr.on('data', (text: Buffer) => {
    errors += text.toString();
  });
  const stoppedExit = once(stopped, 'exit');
  await waitFor(async () => notedIn(await readFile(progressFile, 'utf8')) > notedBefore, {
    timeoutMs: 60_000,
  });
  stopped.kill('SIGINT');
  expect(await stoppedExit).toEqual([0, null]);
  expect(errors).toMatch(/stopped after \d+ of 900 dead letters; the same command goes on from there/);

  pubsub.faults.delayAll(0);
  const last = await redrive('--force', '--json');
  const oneMore = await redrive('--force', '--json');

  expect(last).toMatchObject({ code: 0 });
  expect(notedBefore).toBeGreaterThan(0);
  expect(notedBefore).toBeLessThan(LETTERS);
  const arrived = arrivals();
  expect(new Set(arrived)).toEqual(new Set(Array.from({ length: LETTERS }, (_, n) => operationOf(n))));
  // Twice came only what was in flight at the kill: what had arrived by then and wasn't noted. The stop waited.
  expect(arrived).toHaveLength(LETTERS + afterKill - notedBefore);
  expect(oneMore.code).toBe(0);
  expect(arrivals()).toHaveLength(arrived.length);
  expect(JSON.parse(oneMore.out.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({
    summary: {
      matched: LETTERS,
      results: [{ outcome: 'sent_before', replication_id: '80', count: LETTERS }],
    },
  });
});

/** How many mutations the progress says were sent. */
function notedIn(text: string): number {
  return text
    .split('\n')
    .slice(0, -1)
    .reduce((sum, line) => sum + (JSON.parse(line) as { readonly sent: readonly unknown[] }).sent.length, 0);
}
