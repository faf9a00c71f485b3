import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockDirectory } from '../../../local/directory-lock.ts';

let directory = '';

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'directory-lock-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

test('a directory has one holder at a time', async () => {
  const release = await lockDirectory(directory);

  await expect(lockDirectory(directory)).rejects.toMatchObject({ code: 'data_in_use' });
  release();
  release();

  const releaseAgain = await lockDirectory(directory);
  releaseAgain();
});

test('a lock ends with its process, however that dies', async () => {
  const source = new URL('../../../local/directory-lock.ts', import.meta.url).href;
  const program = `
    const { lockDirectory } = await import(${JSON.stringify(source)});
    await lockDirectory(${JSON.stringify(directory)});
    process.kill(process.pid, 'SIGKILL');
  `;
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '--eval', program]);
  expect(signal).toBe('SIGKILL');

  const release = await lockDirectory(directory);
  release();
});
