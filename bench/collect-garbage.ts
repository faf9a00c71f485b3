import { readFile } from 'node:fs/promises';
import { until } from './until.ts';

/** What is in use after a forced collection. */
export interface Collected {
  readonly heapUsed: number;
  readonly external: number;
  readonly rss: number;
}

const PRELOAD = new URL('forced-collection.ts', import.meta.url).href;
const COLLECTION_LIMIT_MS = 30_000;

/** The environment of a process of this program that `collectGarbage` can be asked of; `options` are further ones of Node. */
export function collectable(file: string, options = ''): { NODE_OPTIONS: string; COLLECTIONS_FILE: string } {
  return { NODE_OPTIONS: `${options} --import=${PRELOAD}`.trim(), COLLECTIONS_FILE: file };
}

/** Has the process collect all its garbage, for the `nth` time from 1 on; resolves with what it says is left. */
export async function collectGarbage(pid: number, file: string, nth: number): Promise<Collected> {
  const lines = async (): Promise<readonly string[]> =>
    (await readFile(file, 'utf8').catch(() => '')).split('\n').slice(0, -1);
  process.kill(pid, 'SIGUSR2');
  await until(async () => (await lines()).length >= nth, COLLECTION_LIMIT_MS, 'a forced collection');
  return JSON.parse((await lines())[nth - 1] ?? '') as Collected;
}
