import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DirectoryStore } from '../../sinks/file/directory-store.ts';
import { fileAdapter } from '../../sinks/file/file-adapter.ts';
import type { AppendFile, FileStore } from '../../sinks/file/file-store.ts';
import { describeSinkContract, type ContractFault, type SinkHarness } from './sink-contract.ts';

const PATH = 'acme/users.jsonl';

/** A disk that can be told to fail the next time somebody writes, or asks whether he could. */
class FailingStore implements FileStore {
  readonly #store: FileStore;
  #fault: ContractFault | null = null;

  constructor(directory: string) {
    this.#store = new DirectoryStore(directory);
  }

  fail(kind: ContractFault): void {
    this.#fault = kind;
  }

  async open(path: string): Promise<AppendFile> {
    const file = await this.#store.open(path);
    return {
      isStillThere: () => file.isStillThere(),
      endsWithinLine: () => file.endsWithinLine(),
      append: (bytes) =>
        this.#fault === 'lost_answer' ? file.append(bytes) : this.#orFail(() => file.append(bytes)),
      sync: () => this.#orFail(() => file.sync()),
      close: () => file.close(),
    };
  }

  assertWritable(path: string): Promise<void> {
    return this.#orFail(() => this.#store.assertWritable(path));
  }

  async #orFail<T>(work: () => Promise<T>): Promise<T> {
    const fault = this.#fault;
    this.#fault = null;
    if (fault === null) return work();
    const errno = {
      unavailable: 'EIO',
      lost_answer: 'EIO',
      permission_denied: 'EACCES',
      not_found: 'ENOENT',
    };
    throw Object.assign(new Error(`arranged ${fault}`), { code: errno[fault as keyof typeof errno] });
  }
}

class FileHarness implements SinkHarness {
  readonly #directory: string;
  readonly #store: FailingStore;

  constructor(directory: string) {
    this.#directory = directory;
    this.#store = new FailingStore(directory);
  }

  open(options: Parameters<SinkHarness['open']>[0]): ReturnType<SinkHarness['open']> {
    const adapter = fileAdapter({ directory: this.#directory, openStore: () => this.#store });
    return adapter.open({ config: { path: PATH }, options, credentials: null });
  }

  async received(): ReturnType<SinkHarness['received']> {
    const lines = (await this.#text()).split('\n');
    return lines
      .slice(0, -1)
      .map((line) => ({ data: Buffer.from(line), docType: null, messageId: null, key: null }));
  }

  async fault(kind: ContractFault): Promise<void> {
    this.#store.fail(kind);
  }

  stop(): Promise<void> {
    return rm(this.#directory, { recursive: true });
  }

  async #text(): Promise<string> {
    try {
      return await readFile(join(this.#directory, PATH), 'utf8');
    } catch {
      // Nothing has been sent yet.
      return '';
    }
  }
}

describeSinkContract(
  'FILE',
  {
    version: 1,
    docType: false,
    messageId: false,
    ordering: false,
    refusesOversize: false,
    // A disk refuses no records, and can't be told to stop: hanging is tested in test/unit/sinks/file.
    faults: ['unavailable', 'permission_denied', 'not_found', 'lost_answer'],
    checkFaults: ['unavailable', 'permission_denied', 'not_found'],
  },
  async () => new FileHarness(await mkdtemp(join(tmpdir(), 'file-sink-'))),
);
