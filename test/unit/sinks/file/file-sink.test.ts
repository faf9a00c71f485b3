import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import {
  appendFile,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DirectoryStore } from '../../../../sinks/file/directory-store.ts';
import { fileAdapter } from '../../../../sinks/file/file-adapter.ts';
import type { AppendFile, FileStore } from '../../../../sinks/file/file-store.ts';
import { FileSink } from '../../../../sinks/file/sink.ts';
import type { OperationBatch, SendOutcome } from '../../../../sinks/sink.ts';
import { anOperationBatch, jsonOperation } from '../../../support/operation-batch.ts';

const PATH = 'acme/users.jsonl';
const noAbort = (): AbortSignal => new AbortController().signal;
const batchOf = (...lines: readonly string[]): OperationBatch =>
  anOperationBatch({ version: 1, operations: lines.map((data) => ({ data })) });

let base: string;
let directory: string;
let outside: string;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'file-sink-'));
  directory = join(base, 'inside');
  outside = join(base, 'outside');
  await mkdir(directory);
  await mkdir(outside);
});

afterEach(async () => {
  await rm(base, { recursive: true });
});

async function sendOnce(path: string, batch: OperationBatch = batchOf('{"n":1}')): Promise<SendOutcome> {
  const sink = new FileSink(new DirectoryStore(directory), path);
  const outcome = await sink.send(batch, noAbort());
  await sink.close();
  return outcome;
}

const textOf = (path = PATH): Promise<string> => readFile(join(directory, path), 'utf8');

/** Passes everything on, but for what a test replaces. */
class AlteredStore implements FileStore {
  readonly #store = new DirectoryStore(directory);
  readonly #alter: (file: AppendFile) => Partial<AppendFile>;

  constructor(alter: (file: AppendFile) => Partial<AppendFile>) {
    this.#alter = alter;
  }

  async open(path: string): Promise<AppendFile> {
    const file = await this.#store.open(path);
    return {
      isStillThere: () => file.isStillThere(),
      endsWithinLine: () => file.endsWithinLine(),
      append: (bytes) => file.append(bytes),
      sync: () => file.sync(),
      close: () => file.close(),
      ...this.#alter(file),
    };
  }

  assertWritable(path: string): Promise<void> {
    return this.#store.assertWritable(path);
  }
}

describe('lines', () => {
  test('are one JSON object each, white space in values notwithstanding', async () => {
    const operation = jsonOperation('{\r\n  "a": 1,\n  "b": [\n]\n}\n');

    await sendOnce(PATH, anOperationBatch({ version: 1, operations: [operation, operation] }));

    const lines = (await textOf()).split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toContain('{    "a": 1,   "b": [ ] } ');
    expect(lines.slice(0, 2).map((line) => (JSON.parse(line) as { value: unknown }).value)).toEqual([
      { a: 1, b: [] },
      { a: 1, b: [] },
    ]);
    expect(lines[2]).toBe('');
  });

  test('follow those of earlier runs; a last one without LF gets one', async () => {
    await mkdir(join(directory, 'acme'));
    await writeFile(join(directory, PATH), '{"n":0}\n{"cut":');

    await sendOnce(PATH, batchOf('{"n":1}'));
    await sendOnce(PATH, batchOf('{"n":2}'));

    expect(await textOf()).toBe('{"n":0}\n{"cut":\n{"n":1}\n{"n":2}\n');
  });

  test('wait for the end of one that another process is writing', async () => {
    await mkdir(join(directory, 'acme'));
    await writeFile(join(directory, PATH), '{"n":');

    const sending = sendOnce(PATH, batchOf('{"n":1}'));
    await appendFile(join(directory, PATH), '0}\n');
    await sending;

    expect(await textOf()).toBe('{"n":0}\n{"n":1}\n');
  });

  test('stay whole when several sinks append to one file', async () => {
    const sinks = Array.from({ length: 4 }, () => new FileSink(new DirectoryStore(directory), PATH));
    const batches = sinks.map((_, writer) =>
      batchOf(...Array.from({ length: 50 }, (_, n) => JSON.stringify({ writer, n, text: 'x'.repeat(500) }))),
    );

    for (let round = 0; round < 5; round++) {
      await Promise.all(sinks.map((sink, writer) => sink.send(batches[writer]!, noAbort())));
    }
    await Promise.all(sinks.map((sink) => sink.close()));

    const lines = (await textOf()).trimEnd().split('\n');
    expect(lines).toHaveLength(4 * 5 * 50);
    expect(lines.every((line) => line.startsWith('{"writer":') && line.endsWith('"}'))).toBe(true);
  });
});

describe('a disk in trouble', () => {
  test('a write cut short counts whole lines as delivered, and the next one begins a new line', async () => {
    let isFull = true;
    const store = new AlteredStore((file) => ({
      append: (bytes) => file.append(isFull ? bytes.subarray(0, 20) : bytes),
    }));
    const sink = new FileSink(store, PATH);

    const outcome = await sink.send(batchOf('{"n":1}', '{"n":2}', '{"n":3}'), noAbort());
    isFull = false;
    const next = await sink.send(batchOf('{"n":3}'), noAbort());
    await sink.close();

    expect(outcome).toMatchObject({ delivered: 2, failure: { kind: 'retriable', code: 'quota_exceeded' } });
    expect(next).toEqual({ delivered: 1, failure: null });
    expect(await textOf()).toBe('{"n":1}\n{"n":2}\n{"n"\n{"n":3}\n');
  });

  test('records count as delivered only when they are on disk', async () => {
    const done: string[] = [];
    const sink = new FileSink(
      new AlteredStore((file) => ({
        sync: async () => {
          await file.sync();
          done.push('synced');
        },
      })),
      PATH,
    );

    await sink.send(batchOf('{}'), noAbort()).then(() => done.push('acknowledged'));
    await sink.close();

    expect(done).toEqual(['synced', 'acknowledged']);
  });

  test.each([
    ['ENOSPC', 'retriable', 'quota_exceeded'],
    ['EDQUOT', 'retriable', 'quota_exceeded'],
    ['EIO', 'retriable', 'unavailable'],
    ['EACCES', 'fatal', 'permission_denied'],
    ['EROFS', 'fatal', 'permission_denied'],
    ['EWEIRD', 'retriable', 'unknown'],
  ])('%s answers %s %s', async (errno, kind, code) => {
    const refuse = async (): Promise<never> => {
      throw Object.assign(new Error(errno), { code: errno });
    };
    const sink = new FileSink(new AlteredStore(() => ({ append: refuse })), PATH);

    const outcome = await sink.send(batchOf('{}'), noAbort());
    await sink.close();

    expect(outcome).toMatchObject({ delivered: 0, failure: { kind, code } });
  });

  test('an abort is answered at once; what comes next waits its turn, or its own abort', async () => {
    const disk = Promise.withResolvers<void>();
    let writes = 0;
    const sink = new FileSink(
      new AlteredStore((file) => ({
        sync: () => (writes++ === 0 ? disk.promise : file.sync()),
      })),
      PATH,
    );

    const stuck = await sink.send(batchOf('{"n":1}'), AbortSignal.timeout(50));
    const waiting = await sink.send(batchOf('{"n":2}'), AbortSignal.timeout(50));
    const next = sink.send(batchOf('{"n":1}'), noAbort());
    disk.resolve();

    expect(stuck.failure).toMatchObject({ kind: 'retriable', code: 'timeout', isAmbiguous: true });
    expect(waiting.failure).toMatchObject({ kind: 'retriable', code: 'timeout', isAmbiguous: false });
    expect(await next).toEqual({ delivered: 1, failure: null });
    await sink.close();
    expect(await textOf()).toBe('{"n":1}\n{"n":1}\n');
  });

  test('a file that was moved away or deleted is made anew', async () => {
    const sink = new FileSink(new DirectoryStore(directory), PATH);
    await sink.send(batchOf('{"n":1}'), noAbort());
    await rename(join(directory, PATH), join(directory, 'acme/rotated.jsonl'));
    await sink.send(batchOf('{"n":2}'), noAbort());
    await rm(join(directory, 'acme'), { recursive: true });
    await sink.send(batchOf('{"n":3}'), noAbort());
    await sink.close();

    expect(await textOf()).toBe('{"n":3}\n');
  });
});

describe('the directory is never left', () => {
  const refusal = { delivered: 0, failure: { kind: 'fatal', code: 'permission_denied' } };

  test('by a folder that is a link', async () => {
    await symlink(outside, join(directory, 'acme'));

    expect(await sendOnce(PATH)).toMatchObject(refusal);
    expect(await sendOnce('acme/deep/er/users.jsonl')).toMatchObject(refusal);
    expect(await readdir(outside)).toEqual([]);
  });

  test('by a relative link that climbs', async () => {
    await mkdir(join(directory, 'a'));
    await symlink('../../outside', join(directory, 'a/b'));

    expect(await sendOnce('a/b/users.jsonl')).toMatchObject(refusal);
    expect(await readdir(outside)).toEqual([]);
  });

  test('by a file that is a link to one outside', async () => {
    await writeFile(join(outside, 'passwd'), 'root\n');
    await symlink(join(outside, 'passwd'), join(directory, 'users.jsonl'));

    expect(await sendOnce('users.jsonl')).toMatchObject(refusal);
    expect(await readFile(join(outside, 'passwd'), 'utf8')).toBe('root\n');
  });

  test('by a link to a file that is not there yet', async () => {
    await symlink(join(outside, 'new'), join(directory, 'users.jsonl'));

    const outcome = await sendOnce('users.jsonl');

    expect(outcome.failure?.kind).toBe('fatal');
    expect(await readdir(outside)).toEqual([]);
  });

  test('to a neighbour whose name begins the same', async () => {
    await mkdir(`${directory}-other`);
    await symlink(`${directory}-other`, join(directory, 'acme'));

    expect(await sendOnce(PATH)).toMatchObject(refusal);
  });

  test('but links within it are followed', async () => {
    await mkdir(join(directory, 'real'));
    await symlink('real', join(directory, 'acme'));
    await symlink(join(directory, 'real/users.jsonl'), join(directory, 'alias.jsonl'));

    expect(await sendOnce(PATH)).toEqual({ delivered: 1, failure: null });
    expect(await sendOnce('alias.jsonl')).toEqual({ delivered: 1, failure: null });
    expect(await textOf('real/users.jsonl')).toBe('{"n":1}\n{"n":1}\n');
  });

  test('and only plain files are written', async () => {
    await mkdir(join(directory, 'folder.jsonl'));
    execFileSync('mkfifo', [join(directory, 'fifo.jsonl')]);

    const outcomes = [await sendOnce('folder.jsonl'), await sendOnce('fifo.jsonl')];

    expect(outcomes.map((outcome) => outcome.failure?.kind)).toEqual(['fatal', 'fatal']);
  });
});

describe('parseConfig', () => {
  const adapter = fileAdapter({ directory: '/var/lib/datamart-replication' });

  test.each([
    ['users.jsonl', 'users.jsonl'],
    ['acme/./90.jsonl', 'acme/90.jsonl'],
    ['acme//90.jsonl', 'acme/90.jsonl'],
    ['a..b/…/ü.jsonl', 'a..b/…/ü.jsonl'],
  ])('takes %j', (path, normalized) => {
    expect(adapter.parseConfig({ path })).toEqual({ config: { path: normalized } });
  });

  test.each([
    [undefined, 'missing_field'],
    ['', 'invalid_path'],
    ['/etc/passwd', 'invalid_path'],
    ['..', 'invalid_path'],
    ['../x', 'invalid_path'],
    ['a/../../x', 'invalid_path'],
    ['a/..', 'invalid_path'],
    ['a\\..\\x', 'invalid_path'],
    ['a\u0000.jsonl', 'invalid_path'],
    ['a\n.jsonl', 'invalid_path'],
    ['a\ud800.jsonl', 'invalid_path'],
    ['.', 'invalid_path'],
    ['acme/', 'invalid_path'],
    ['x'.repeat(256), 'invalid_path'],
    [['a'], 'invalid_path'],
  ])('refuses %j', (path, code) => {
    expect(adapter.parseConfig({ path })).toMatchObject({ problem: { code, field: 'path' } });
  });

  test('refuses every path while no directory is set', () => {
    const withoutDirectory = fileAdapter({ directory: null });

    expect(withoutDirectory.parseConfig({ path: 'users.jsonl' })).toMatchObject({
      problem: { code: 'invalid_path' },
    });
  });
});

describe('the check of a FILE replication', () => {
  const check = async (path: string): Promise<unknown> => {
    const sink = new FileSink(new DirectoryStore(directory), path);
    try {
      return await sink.check(noAbort());
    } catch (error) {
      return error;
    } finally {
      await sink.close();
    }
  };

  test('makes the folders, leaves no file behind, and is content', async () => {
    expect(await check(PATH)).toEqual([]);
    expect(await readdir(join(directory, 'acme'))).toEqual([]);
  });

  test.each([
    [
      'a directory that is not there',
      'not_found',
      'SINKS_FILE_DIRECTORY',
      () => rm(directory, { recursive: true }),
    ],
    ['a folder that is a file', 'not_found', 'folders', () => writeFile(join(directory, 'acme'), '')],
    [
      'a file that is a folder',
      'permission_denied',
      'another path',
      () => mkdir(join(directory, PATH), { recursive: true }),
    ],
    [
      'a link out of the directory',
      'permission_denied',
      'another path',
      () => symlink(outside, join(directory, 'acme')),
    ],
  ] as const)('refuses %s as %s, with what helps', async (_, code, remedy, arrange) => {
    await arrange();

    expect(await check(PATH)).toMatchObject({
      kind: 'fatal',
      code,
      remedy: expect.stringContaining(remedy),
    });
  });
});
