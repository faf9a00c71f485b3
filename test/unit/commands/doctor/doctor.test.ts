import { expect, test } from '@jest/globals';
import { CheckSkippedError, failed, ok, warning, type Check } from '../../../../commands/doctor/check.ts';
import { runDoctor } from '../../../../commands/doctor/doctor.ts';
import { runChecks } from '../../../../commands/doctor/run-checks.ts';
import { ManualClock, settle } from '../../../support/manual-clock.ts';
import { NOW } from './fakes.ts';

class Output {
  readonly isTTY = false;
  text = '';
  write(text: string): boolean {
    this.text += text;
    return true;
  }
  once(): void {
    // Never full.
  }
}

const check = (name: string, run: Check['run'], timeoutMs = 1_000): Check => ({ name, timeoutMs, run });
const groupOf = (...checks: Check[]) => ({ name: 'group', concurrency: 2, checks });

async function doctor(checks: readonly Check[], options: { isJson?: boolean; hasColours?: boolean } = {}) {
  const [out, errors] = [new Output(), new Output()];
  const code = await runDoctor(
    { isJson: false, hasColours: false, ...options },
    { first: [groupOf(...checks)], then: () => [], clock: new ManualClock(NOW), out, errors },
    new AbortController().signal,
  );
  return { code, out: out.text };
}

const GOOD = check('good', async () => [ok('good', 'works')]);
const SO_SO = check('so so', async () => [warning('so so', 'works for now', 'do it better')]);
const BAD = check('bad', async () => [failed('bad', 'is broken', 'repair it')]);

test('ends with 0 when there are only warnings, with 1 when a check failed', async () => {
  expect((await doctor([GOOD, SO_SO])).code).toBe(0);
  expect((await doctor([GOOD, SO_SO, BAD])).code).toBe(1);
});

test('shows a group, a line for each finding, its remedy, and a sum', async () => {
  expect((await doctor([GOOD, BAD])).out).toBe(
    'group\n' +
      '  ok       good  works\n' +
      '  failed   bad   is broken\n' +
      '                 → repair it\n' +
      '\n' +
      '1 ok, 1 failed\n',
  );
});

test('has colours only when they are asked for', async () => {
  expect((await doctor([BAD])).out).not.toContain('\u001b');
  expect((await doctor([BAD], { hasColours: true })).out).toContain('\u001b[31mfailed ');
});

test('prints one JSON object for scripts', async () => {
  expect(JSON.parse((await doctor([GOOD, BAD], { isJson: true })).out)).toEqual({
    status: 'error',
    summary: { ok: 1, warning: 0, failed: 1, skipped: 0 },
    checks: [
      { group: 'group', name: 'good', result: 'ok', message: 'works', remedy: null },
      { group: 'group', name: 'bad', result: 'failed', message: 'is broken', remedy: 'repair it' },
    ],
  });
});

test('a check that throws has failed with its reasons, and the others are made', async () => {
  const cause = new Error('no route to host');
  const throwing = check('throwing', () => Promise.reject(new Error('asking failed', { cause })));

  expect((await doctor([throwing, GOOD])).out).toContain('asking failed, because: no route to host');
});

test('a check that throws at once is no crash', async () => {
  const throwing = check('throwing', () => {
    throw new TypeError('not a function');
  });

  expect(await doctor([throwing])).toMatchObject({ code: 1, out: expect.stringContaining('not a function') });
});

test('a check that can’t be made is skipped', async () => {
  const unable = check('unable', () => Promise.reject(new CheckSkippedError('no broker answers')));

  expect(await doctor([unable])).toMatchObject({
    code: 0,
    out: expect.stringContaining('no broker answers'),
  });
});

test('a check that hangs has failed after its time, and is told to end', async () => {
  const clock = new ManualClock(NOW);
  let told: AbortSignal | null = null;
  const hanging = check('hanging', (signal) => {
    told = signal;
    return new Promise(() => undefined);
  });

  const running = runChecks(
    [groupOf(hanging)],
    { clock, onCheck: () => undefined },
    new AbortController().signal,
  );
  await settle();
  await clock.advance(1_000);

  const [report] = await running;
  expect(report?.findings).toMatchObject([
    { name: 'hanging', result: 'failed', message: 'no answer within 1 s' },
  ]);
  expect(told).toMatchObject({ aborted: true });
});

test('what is left when the command is stopped is skipped', async () => {
  const stopping = new AbortController();
  const begun: string[] = [];
  const first = check('first', () => {
    stopping.abort();
    return new Promise(() => undefined);
  });

  const reports = await runChecks(
    [groupOf(first), groupOf(GOOD)],
    { clock: new ManualClock(NOW), onCheck: (_, name) => begun.push(name) },
    stopping.signal,
  );

  expect(reports.flatMap(({ findings }) => findings.map(({ result }) => result))).toEqual([
    'skipped',
    'skipped',
  ]);
  expect(begun).toEqual(['first']);
});

test('makes so many checks at a time and reports them in their order', async () => {
  const running = { now: 0, most: 0 };
  const slow = (name: string): Check =>
    check(name, async () => {
      running.now += 1;
      running.most = Math.max(running.most, running.now);
      await settle();
      running.now -= 1;
      return [ok(name, '')];
    });

  const [report] = await runChecks(
    [groupOf(slow('a'), slow('b'), slow('c'), slow('d'))],
    { clock: new ManualClock(NOW), onCheck: () => undefined },
    new AbortController().signal,
  );

  expect(report?.findings.map(({ name }) => name)).toEqual(['a', 'b', 'c', 'd']);
  expect(running.most).toBe(2);
});

test('no finding holds a secret', async () => {
  const leaking = check('leaking', () =>
    Promise.reject(
      new Error('Authorization: Basic dXNlcjpwYXNzd29yZA== was refused, SharedAccessKey=abcdef'),
    ),
  );

  const { out } = await doctor([leaking]);

  expect(out).not.toContain('dXNlcjpwYXNzd29yZA');
  expect(out).not.toContain('abcdef');
});
