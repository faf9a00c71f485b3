import { mkdir, open, readFile, rm, truncate, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import type { LedgerEntry, LedgerStore } from '../streams/redrive/redrive-ledger.ts';

/** Another process notes its progress in the file. */
export class LedgerInUseError extends Error {
  override readonly name = 'LedgerInUseError';
}

const VERSION = 1;
const NEWLINE = 0x0a;

/** Where a redrive's progress is kept when nobody says; null when the environment names no home. */
export function defaultLedgerPath(
  env: Readonly<Record<string, string | undefined>>,
  clusterAndTopicHash: string,
): string | null {
  const state = env.XDG_STATE_HOME || (env.HOME ? path.join(env.HOME, '.local', 'state') : null);
  return state && path.join(state, 'datamart-replication', `redrive-${clusterAndTopicHash}.jsonl`);
}

/**
 * A redrive's progress in a file of JSON lines, each on disk (fsync) before it counts. A line that a killed process left
 * unfinished is cut off. One process at a time: a lock file beside it names the process.
 */
export class LedgerFile implements LedgerStore, AsyncDisposable {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #entries: readonly LedgerEntry[];

  private constructor(file: string, handle: FileHandle, entries: readonly LedgerEntry[]) {
    this.#path = file;
    this.#handle = handle;
    this.#entries = entries;
  }

  /** Rejects with a `LedgerInUseError` when another process uses the file; also when it can't be read or made. */
  static async open(file: string): Promise<LedgerFile> {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    await lock(file);
    try {
      const entries = await readEntries(file);
      return new LedgerFile(file, await open(file, 'a', 0o600), entries);
    } catch (error) {
      await rm(lockOf(file), { force: true });
      throw error;
    }
  }

  load(): Promise<readonly LedgerEntry[]> {
    return Promise.resolve(this.#entries);
  }

  async append({ replicationId, topic, partition, mutations, isUndone }: LedgerEntry): Promise<void> {
    const line = {
      v: VERSION,
      replication_id: replicationId,
      topic,
      partition,
      [isUndone ? 'again' : 'sent']: mutations.map(([offset, timestamp]) => [String(offset), timestamp]),
    };
    await this.#handle.appendFile(`${JSON.stringify(line)}\n`);
    await this.#handle.datasync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
    await rm(lockOf(this.#path), { force: true });
  }
}

function lockOf(file: string): string {
  return `${file}.lock`;
}

async function lock(file: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await using handle = await open(lockOf(file), 'wx', 0o600);
      await handle.writeFile(String(process.pid));
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = Number(await readFile(lockOf(file), 'utf8').catch(() => ''));
    if (attempt > 0 || isOther(owner))
      throw new LedgerInUseError(
        `another redrive, process ${owner}, is at work with ${file}; if there is none, delete ${lockOf(file)}`,
      );
    await rm(lockOf(file), { force: true });
  }
}

/** Whether a process of that number runs, and isn't this one (in a container numbers come again). */
function isOther(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function readEntries(file: string): Promise<LedgerEntry[]> {
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  });
  const end = bytes.lastIndexOf(NEWLINE) + 1;
  if (end < bytes.length) await truncate(file, end);
  const lines = bytes.toString('utf8', 0, end).split('\n').slice(0, -1);
  return lines.map((line, i) => {
    const entry = parseEntry(line);
    if (!entry)
      throw new Error(
        `${file}, line ${i + 1}: not the progress of a redrive as this release writes it; move the file away to begin anew`,
      );
    return entry;
  });
}

function parseEntry(line: string): LedgerEntry | null {
  let parsed: Record<string, unknown>;
  try {
    parsed = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
  const { v, replication_id: replicationId, topic, partition, sent, again } = parsed;
  const list = sent ?? again;
  if (v !== VERSION || typeof replicationId !== 'string' || typeof topic !== 'string') return null;
  if (typeof partition !== 'number' || !Array.isArray(list)) return null;
  const mutations = (list as readonly (readonly [unknown, unknown])[]).map(
    ([offset, timestamp]) => [Number(offset), Number(timestamp)] as const,
  );
  return { replicationId, topic, partition, mutations, isUndone: sent === undefined };
}
