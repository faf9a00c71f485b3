import { beforeEach, expect, test } from '@jest/globals';
import { runActivate } from '../../../../commands/replications/activate.ts';
import type { ReplicationsSession } from '../../../../commands/replications/session.ts';
import { MemoryReplications } from '../../../support/memory-replications.ts';
import { RecordedOutput } from '../../../support/recorded-output.ts';

let replications: MemoryReplications;
let out: RecordedOutput;
let errors: RecordedOutput;
let elapsedMs: number;
/** What the processors do while the command sleeps. */
let meanwhile: () => void;
let stop: AbortController;

beforeEach(() => {
  replications = new MemoryReplications();
  replications.put({ type: 'FILE', path: 'a', name: 'x' }, '90');
  out = new RecordedOutput();
  errors = new RecordedOutput();
  elapsedMs = 0;
  meanwhile = () => undefined;
  stop = new AbortController();
});

function session(isJson = false): ReplicationsSession {
  return {
    operations: replications,
    caller: { name: 'test', role: 'operator' },
    datamartId: '1649',
    flagsText: '',
    isJson,
    out,
    errors,
    signal: stop.signal,
    now: () => elapsedMs,
    sleep: async (ms) => {
      elapsedMs += ms;
      meanwhile();
    },
  };
}

/** The write is taken up only once the command waits. */
function activating(): void {
  const update = replications.update.bind(replications);
  replications.update = async (...given) => {
    await update(...given);
    replications.observe('90', { state: 'ACTIVATING' });
    return replications.get('1649', '90');
  };
}

test('waits until the processors say ACTIVE', async () => {
  activating();
  meanwhile = () => {
    if (elapsedMs === 1_500) replications.observe('90', { state: 'ACTIVE' });
  };

  expect(await runActivate('90', { waitMs: 60_000 }, session())).toBe(0);
  expect(elapsedMs).toBe(1_500);
  expect(out.text).toContain('state: ACTIVE since');
});

test('ends with 1 when they say ERROR, with the message and the remedy', async () => {
  activating();
  meanwhile = () => {
    replications.observe('90', {
      state: 'ERROR',
      reason: 'activation_failed',
      code: 'not_found',
      message: 'no such folder',
      remedy: 'make it',
    });
  };

  expect(await runActivate('90', { waitMs: 60_000 }, session())).toBe(1);
  expect(out.text).toContain('reason: activation_failed: not_found');
  expect(errors.text).toBe('not active: no such folder (not_found)\n  make it\n');
});

test('with --json prints the resource, and the failure as an object of its own', async () => {
  activating();
  meanwhile = () => {
    replications.observe('90', { state: 'ERROR', code: 'not_found', message: 'm', remedy: 'r' });
  };

  await runActivate('90', { waitMs: 60_000 }, session(true));

  expect(JSON.parse(out.text)).toMatchObject({ id: '90', status: 'ERROR' });
  expect(JSON.parse(errors.text)).toEqual({
    code: 'not_found',
    message: 'not active: m',
    field: null,
    hint: 'r',
  });
});

test('ends with 1 when nobody says either in time', async () => {
  activating();

  expect(await runActivate('90', { waitMs: 5_000 }, session())).toBe(1);
  expect(elapsedMs).toBe(5_000);
  expect(errors.text).toContain('still ACTIVATING after 5 s');
});

test('a stop ends the wait without a failure', async () => {
  activating();
  meanwhile = () => {
    stop.abort();
  };

  expect(await runActivate('90', { waitMs: 60_000 }, session())).toBe(0);
  expect(errors.text).toBe('');
});

test("doesn't wait with --no-wait", async () => {
  activating();

  expect(await runActivate('90', { waitMs: null }, session())).toBe(0);
  expect(elapsedMs).toBe(0);
});

test('one that lags on some partition is active', async () => {
  activating();
  meanwhile = () => {
    replications.observe('90', { state: 'DETACHED' });
  };

  expect(await runActivate('90', { waitMs: 60_000 }, session())).toBe(0);
});
