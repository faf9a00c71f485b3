import { constants } from 'node:fs';
import { access, lstat, mkdir, open, realpath, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SinkError } from '../sink.ts';
import type { AppendFile, FileStore } from './file-store.ts';

const LF = 0x0a;

/** A line that doesn't grow for so long is cut: nobody is writing it any more. */
const CUT_AFTER_MS = 100;
const LOOK_EVERY_MS = 5;

/**
 * Files below one directory, which they can't leave: folders are made one by one, every link on the way is resolved
 * before it is followed, and what it leads to must lie below the directory.
 */
export class DirectoryStore implements FileStore {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async open(path: string): Promise<AppendFile> {
    const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;
    const realPath = await this.#resolve(path);
    // All links are resolved: one that is there now was put there since. Nonblocking, or a FIFO would hold the thread.
    const handle = await open(realPath, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o640);
    try {
      if (!(await handle.stat()).isFile()) throw refusal(path, 'it is not a plain file');
      await syncFolder(dirname(realPath));
    } catch (error) {
      await handle.close();
      throw error;
    }
    return new OpenFile(handle, () => this.#resolve(path));
  }

  async assertWritable(path: string): Promise<void> {
    const realPath = await this.#resolve(path);
    if (!(await exists(realPath))) return access(dirname(realPath), constants.W_OK | constants.X_OK);
    if (!(await lstat(realPath)).isFile()) throw refusal(path, 'it is not a plain file');
    return access(realPath, constants.R_OK | constants.W_OK);
  }

  /** Makes the folders and returns the file's real path; the file itself needn't be there. */
  async #resolve(path: string): Promise<string> {
    const root = await realpath(this.#directory);
    let folder = root;
    for (const name of dirname(path).split('/')) {
      const next = join(folder, name);
      await makeFolder(next);
      folder = await realpath(next);
      assertInside(root, folder, path);
    }
    const file = join(folder, basename(path));
    if (!(await exists(file))) return file;
    const realPath = await realpath(file);
    assertInside(root, realPath, path);
    return realPath;
  }
}

/**
 * The real path of a file that is there, to be read: all links resolved, and below the directory. Rejects with a
 * `SinkError` when a link leads out, and with the system's error when there is no such file.
 */
export async function readablePath(directory: string, path: string): Promise<string> {
  const found = await realpath(join(directory, path));
  assertInside(await realpath(directory), found, path);
  return found;
}

class OpenFile implements AppendFile {
  readonly #handle: FileHandle;
  readonly #resolve: () => Promise<string>;

  constructor(handle: FileHandle, resolve: () => Promise<string>) {
    this.#handle = handle;
    this.#resolve = resolve;
  }

  async isStillThere(): Promise<boolean> {
    const opened = await this.#handle.stat();
    try {
      const present = await lstat(await this.#resolve());
      return present.ino === opened.ino && present.dev === opened.dev;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
  }

  /** A file's size grows page by page during another process's write: its last line may be only half there yet. */
  async endsWithinLine(): Promise<boolean> {
    let size = await this.#sizeWithinLine();
    for (let unchangedMs = 0; size !== null && unchangedMs < CUT_AFTER_MS; unchangedMs += LOOK_EVERY_MS) {
      await delay(LOOK_EVERY_MS);
      const now = await this.#sizeWithinLine();
      if (now !== size) unchangedMs = 0;
      size = now;
    }
    return size !== null;
  }

  /** The file's size when its last line lacks the LF, else null. */
  async #sizeWithinLine(): Promise<number | null> {
    const { size } = await this.#handle.stat();
    if (size === 0) return null;
    const last = Buffer.alloc(1);
    const { bytesRead } = await this.#handle.read(last, 0, 1, size - 1);
    return bytesRead === 1 && last[0] !== LF ? size : null;
  }

  async append(bytes: Buffer): Promise<number> {
    const { bytesWritten } = await this.#handle.write(bytes);
    return bytesWritten;
  }

  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

async function makeFolder(path: string): Promise<void> {
  if (await exists(path)) return;
  try {
    await mkdir(path, 0o750);
  } catch (error) {
    // Another process or replication was faster.
    if (!isErrno(error, 'EEXIST')) throw error;
  }
}

/** A new file's name is durable only once its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Also true for a link that leads nowhere. */
async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

function assertInside(root: string, realPath: string, path: string): void {
  const way = relative(root, realPath);
  if (way === '..' || way.startsWith(`..${sep}`)) {
    throw refusal(path, 'a link leads out of SINKS_FILE_DIRECTORY');
  }
}

function refusal(path: string, reason: string): SinkError {
  return new SinkError('fatal', 'permission_denied', `opening ${path}: ${reason}`, {
    remedy: 'choose another path, or remove what is in the way',
  });
}

function isErrno(error: unknown, errno: string): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === errno;
}
