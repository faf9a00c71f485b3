import { SinkError, type OperationBatch, type SendOutcome, type Sink, type SinkLimits } from '../sink.ts';
import { classifyFileError } from './classify-error.ts';
import type { AppendFile, FileStore } from './file-store.ts';
import { linesOf, recordsWithin } from './lines.ts';

/** Of one write. */
export const LIMITS: SinkLimits = { maxRecords: 1_000, maxBytes: 8_388_608, recordOverheadBytes: 1 };

/**
 * One file, one JSON object a line. A batch is one write, and on disk before it counts as delivered. Writes of one
 * sink come one after another; other processes may append to the same file between them.
 *
 * A write that stopped half way (the disk is full) leaves a cut line behind, which the next batch ends with a LF:
 * nobody may shorten a file that others append to.
 */
export class FileSink implements Sink {
  readonly limits = LIMITS;
  readonly #store: FileStore;
  readonly #path: string;
  readonly #action: string;
  #file: AppendFile | null = null;
  #lastTurn: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(store: FileStore, path: string) {
    this.#store = store;
    this.#path = path;
    this.#action = `appending to ${path}`;
  }

  async check(signal: AbortSignal): Promise<readonly string[]> {
    const action = `checking ${this.#path}`;
    if (this.#isClosed) throw this.#closedFailure();
    const checking = this.#store.assertWritable(this.#path).then(
      () => null,
      (error: unknown) => classifyFileError(error, action, false),
    );
    const failure = await orOnAbort(checking, signal, () => timeout(action, false));
    if (failure !== null) throw failure;
    return [];
  }

  /** A write that has begun goes on after `signal` aborts: a file system can't be told to stop. */
  async send(batch: OperationBatch, signal: AbortSignal): Promise<SendOutcome> {
    let hasBegun = false;
    const turn = this.#lastTurn.then(() => {
      if (this.#isClosed) return failed(this.#closedFailure());
      if (signal.aborted) return failed(timeout(this.#action, false));
      hasBegun = true;
      return this.#append(batch, signal);
    });
    this.#lastTurn = turn;
    return orOnAbort(turn, signal, () => failed(timeout(this.#action, hasBegun)));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#lastTurn;
    await this.#dropFile();
  }

  async #append(batch: OperationBatch, signal: AbortSignal): Promise<SendOutcome> {
    let isWriting = false;
    try {
      const file = await this.#openFile();
      const lines = linesOf(batch, await file.endsWithinLine());
      // A process that was frozen on the way here may own the partition no longer: its old values would come last.
      if (signal.aborted) return failed(timeout(this.#action, false));
      isWriting = true;
      const written = await file.append(lines.bytes);
      await file.sync();
      if (written === lines.bytes.length) return { delivered: batch.count, failure: null };
      return {
        delivered: recordsWithin(lines, written),
        failure: this.#cutShort(written, lines.bytes.length),
      };
    } catch (error) {
      // After a failed sync the kernel may take the lost pages for written: only a new handle tells the truth.
      await this.#dropFile();
      return failed(classifyFileError(error, this.#action, isWriting));
    }
  }

  async #openFile(): Promise<AppendFile> {
    if (this.#file !== null && !(await this.#file.isStillThere())) await this.#dropFile();
    this.#file ??= await this.#store.open(this.#path);
    return this.#file;
  }

  async #dropFile(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    try {
      await file?.close();
    } catch {
      // What counts was synced before; the descriptor is gone either way.
    }
  }

  #cutShort(written: number, wanted: number): SinkError {
    const message = `${this.#action}: the disk took ${written} of ${wanted} bytes`;
    return new SinkError('retriable', 'quota_exceeded', message, { remedy: 'make room on the disk' });
  }

  #closedFailure(): SinkError {
    return new SinkError('retriable', 'unavailable', `${this.#action}: the sink is closed`);
  }
}

/** The work's result, or `instead()` as soon as the signal aborts. */
async function orOnAbort<T>(work: Promise<T>, signal: AbortSignal, instead: () => T): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<T>();
  const onAbort = (): void => resolve(instead());
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function timeout(action: string, isAmbiguous: boolean): SinkError {
  return new SinkError('retriable', 'timeout', `${action}: the disk didn't answer in time`, { isAmbiguous });
}

function failed(failure: SinkError): SendOutcome {
  return { delivered: 0, failure };
}
