import { expect, test } from '@jest/globals';
import { runCredentialsRotate } from '../../../commands/credentials-rotate.ts';
import { ProgressLine } from '../../../commands/progress-line.ts';
import type { RotationResult } from '../../../streams/credentials-rotation.ts';
import { RestoreFailedError } from '../../../streams/errors.ts';

const DONE: RotationResult = { rewrapped: 3, current: 2, unopened: [], left: 0 };
const UNOPENED = {
  replicationId: '80',
  kekId: '9f86d081884c7d65',
  code: 'credential_decrypt_failed',
  message: 'the key 9f86d081884c7d65 is not set',
} as const;

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

interface Run {
  readonly code: number;
  readonly out: string;
  readonly errors: string;
}

async function run(
  outcome: RotationResult | Error,
  { isDryRun = false, isJson = false, signal = new AbortController().signal } = {},
): Promise<Run> {
  const [out, errors] = [new Output(), new Output()];
  const answer = (isExpected: boolean) => async (): Promise<RotationResult> => {
    expect(isExpected).toBe(true);
    if (outcome instanceof Error) throw outcome;
    return outcome;
  };
  const rotation = { plan: answer(isDryRun), rotate: answer(!isDryRun) };
  const progress = new ProgressLine({ errors, now: () => 0, isPlainToo: true });
  const ports = { kekId: '3eb1bd439947eb76', rotation, progress, out, errors };
  const code = await runCredentialsRotate({ isDryRun, isJson }, ports, signal);
  return { code, out: out.text, errors: errors.text };
}

test('says how many were re-wrapped and how many had no need', async () => {
  expect(await run(DONE)).toEqual({
    code: 0,
    out: "re-wrapped under the key 3eb1bd439947eb76: 3\nunder it already: 2\ncan't be opened: 0\n",
    errors: '',
  });
});

test('a dry run says what would be', async () => {
  expect((await run(DONE, { isDryRun: true })).out).toContain('would be re-wrapped under the key');
});

test('ends with 1 and names the replications that can’t be opened, and the keys they need', async () => {
  const { code, out } = await run({ ...DONE, unopened: [UNOPENED] });

  expect(code).toBe(1);
  expect(out).toContain("can't be opened: 1\n");
  expect(out).toMatch(/^80 +9f86d081884c7d65 +credential_decrypt_failed +the key/m);
  expect(out).toContain('put the keys with the ids 9f86d081884c7d65 into CREDENTIALS_OLD_KEYS');
});

test('asks for no key when none would help', async () => {
  const damaged = { ...UNOPENED, kekId: '3eb1bd439947eb76' };
  const unreadable = { ...UNOPENED, kekId: null };
  const { out } = await run({ ...DONE, unopened: [damaged, unreadable] });

  expect(out).toContain('\nupload these credentials again\n');
  expect(out).not.toContain('CREDENTIALS_OLD_KEYS');
});

test('writes JSON for programs, and nothing that a terminal obeys', async () => {
  const { code, out } = await run(
    { ...DONE, unopened: [{ ...UNOPENED, replicationId: '80\u001b[2J' }] },
    { isJson: true },
  );

  expect(code).toBe(1);
  expect(JSON.parse(out)).toEqual({
    status: 'error',
    dry_run: false,
    kek_id: '3eb1bd439947eb76',
    rewrapped: 3,
    current: 2,
    left: 0,
    unopened: [
      {
        replication_id: '80 [2J',
        kek_id: '9f86d081884c7d65',
        code: 'credential_decrypt_failed',
        message: 'the key 9f86d081884c7d65 is not set',
      },
    ],
  });
});

test('a stop is no failure, and says what is left', async () => {
  const signal = AbortSignal.abort();

  expect(await run({ ...DONE, left: 7 }, { signal })).toMatchObject({
    code: 0,
    errors: 'stopped: 7 are left; run it again\n',
  });
  expect(await run(new RestoreFailedError('stopped'), { signal })).toEqual({
    code: 0,
    out: '',
    errors: 'stopped while reading; nothing was changed\n',
  });
});

test('what fails without a stop is passed on', async () => {
  await expect(run(new RestoreFailedError('took too long'))).rejects.toThrow('took too long');
});
