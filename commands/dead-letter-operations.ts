import { ApiError } from '../api/api-error.ts';
import type {
  DeadLetterOperations,
  DeadLetterResource,
  DeadLetterSelection,
  RedriveRequest,
} from '../api/dead-letter-operations.ts';
import { SerialByKey } from '../api/serial-by-key.ts';
import type { Settings } from '../config/settings.ts';
import { orAbort } from '../schemas/or-abort.ts';
import { DeadLetterLog } from '../streams/redrive/dead-letter-log.ts';
import { FirstOf } from '../streams/redrive/first-of.ts';
import { selectLetters } from '../streams/redrive/letter-selection.ts';
import { TopicReadError } from '../streams/redrive/persistent-read.ts';
import { RedriveLedger, type LedgerEntry, type LedgerStore } from '../streams/redrive/redrive-ledger.ts';
import { SchemaUnavailableError, type RedriveOutcome } from '../streams/redrive/redrive.ts';
import {
  isSelected,
  newestFirst,
  type DeadLetterFilter,
  type StoredDeadLetter,
} from '../streams/redrive/stored-dead-letter.ts';
import type { TopicAdmin } from '../streams/topics/topic-admin-port.ts';
import { DeadLetterTopics } from './dead-letter-topics.ts';
import { deadLetterRow } from './dead-letters-table.ts';
import { OpenedRedrive, type RedriveParts } from './opened-redrive.ts';
import { defaultLedgerPath, LedgerFile, LedgerInUseError } from './redrive-ledger-file.ts';
import { MissingTopicError } from './required-topics.ts';

export interface DeadLetterOperationsContext extends RedriveParts {
  readonly settings: Pick<Settings, 'topics'>;
  /** Says where progress is noted: `XDG_STATE_HOME`, `HOME`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Opens one; it is closed after each use. */
  readonly topicAdmin: () => TopicAdmin;
}

/** What a redrive came to. */
type RedriveResult = Awaited<ReturnType<DeadLetterOperations['redrive']>>;

/** As far as a list goes back: it keeps in memory what comes before a page. */
const MAX_LISTED = 100_000;
const BUSY_RETRY_SECONDS = 10;
/** Where nothing can be written, there is no file to begin with. */
const UNWRITABLE_CODES: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR']);

/**
 * The dead letters of this instance's Kafka, for its API. Their destinations, readers and progress are its own: a
 * processor beside it isn't disturbed.
 *
 * One redrive runs at a time, another is refused with `not_ready`; lists are read one after the other. Refuses with
 * `not_ready` also when Kafka can't be read. Disposing of it ends what runs, after the request in flight.
 */
export function deadLetterOperations(
  context: DeadLetterOperationsContext,
): DeadLetterOperations & AsyncDisposable {
  return new KafkaDeadLetters(context);
}

class KafkaDeadLetters implements DeadLetterOperations, AsyncDisposable {
  readonly #context: DeadLetterOperationsContext;
  /** What was sent, where no file can hold it. */
  readonly #memory = new LedgerInMemory();
  readonly #lists = new SerialByKey();
  readonly #closing = new AbortController();
  #redrive: Promise<RedriveResult> | null = null;

  constructor(context: DeadLetterOperationsContext) {
    this.#context = context;
  }

  async list(
    selection: DeadLetterSelection,
    { firstResult, maxResults }: { readonly firstResult: number; readonly maxResults: number },
    signal: AbortSignal,
  ): Promise<{ readonly letters: readonly DeadLetterResource[]; readonly total: number }> {
    if (firstResult + maxResults > MAX_LISTED) {
      const message = `the newest ${MAX_LISTED} dead letters can be listed, not what lies before them`;
      const hint = 'reason, since and until select fewer';
      throw new ApiError('invalid_parameter', message, { field: 'first_result', hint });
    }
    const until = AbortSignal.any([signal, this.#closing.signal]);
    const newest = new FirstOf(firstResult + maxResults, newestFirst);
    let total = 0;
    const take = (letter: StoredDeadLetter): void => {
      total += 1;
      newest.add(letter);
    };
    try {
      until.throwIfAborted();
      const scanned = this.#lists.run('list', () => this.#scan(filterOf(selection), take, until));
      // A scan that is cut off is no answer; a broker that is silent holds one for longer than the caller waits.
      await orAbort(scanned, until);
    } catch (error) {
      throw until.aborted ? outOfTime(error) : refusalOf(error);
    }
    return { letters: newest.items.slice(firstResult).map(deadLetterRow), total };
  }

  async redrive(request: RedriveRequest, signal: AbortSignal): Promise<RedriveResult> {
    if (this.#redrive !== null) throw busy();
    try {
      this.#redrive = this.#run(request, AbortSignal.any([signal, this.#closing.signal]));
      return await this.#redrive;
    } catch (error) {
      throw refusalOf(error);
    } finally {
      this.#redrive = null;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('this instance stops'));
    await this.#redrive?.catch(() => undefined);
    await this.#lists.run('list', () => Promise.resolve());
  }

  async #scan(
    filter: DeadLetterFilter,
    onLetter: (letter: StoredDeadLetter) => void,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const { partitionReader, clock, random } = this.#context;
    const place = (await this.#describe()).deadLetters();
    const reader = partitionReader();
    try {
      const log = new DeadLetterLog({ ...place, reader, clock, random });
      await log.scan(
        (letter) => {
          if (isSelected(letter, filter)) onLetter(letter);
        },
        () => undefined,
        () => undefined,
        signal,
      );
    } finally {
      await reader.close();
    }
  }

  async #run(request: RedriveRequest, signal: AbortSignal): Promise<RedriveResult> {
    const { logger } = this.#context;
    const { isForced, isDryRun, limit } = request;
    const counts = new Map<RedriveOutcome, number>();
    let done = 0;
    const result = (isComplete: boolean): RedriveResult => ({
      results: Object.fromEntries(counts),
      isComplete,
    });
    try {
      const topics = await this.#describe();
      await using stack = new AsyncDisposableStack();
      const opened = stack.use(new OpenedRedrive(this.#context, topics));
      const ledger = await this.#openLedger(topics, stack);
      const { letters, isCut } = await selectLetters(
        {
          log: opened.log,
          ledger,
          filter: filterOf(request),
          limit,
          isAgain: false,
          onProgress: () => undefined,
        },
        signal,
      );
      const hooks = {
        onEvent: ({ outcome }: { readonly outcome: RedriveOutcome }): void => {
          counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
        },
        onLetterDone: (): void => {
          done += 1;
        },
        // The destination logs its failures.
        onRetry: (): void => undefined,
      };
      await opened.redrive({ ledger, isForced, isDryRun, hooks }, signal).run(letters, signal);
      return result(!isCut && !signal.aborted && done === letters.length);
    } catch (error) {
      if (signal.aborted) return result(false);
      if (!counts.has('sent')) throw error;
      // What was sent by then is noted: the caller is told, and calls again.
      const { replicationId: id } = request;
      logger.error(
        { replication_id: id, error },
        'a redrive of dead letters has ended before all were through',
      );
      return result(false);
    }
  }

  /** The file that the command uses too, or this instance's memory. */
  async #openLedger(topics: DeadLetterTopics, stack: AsyncDisposableStack): Promise<RedriveLedger> {
    const { env, logger } = this.#context;
    const path = defaultLedgerPath(env, topics.hash);
    if (path !== null) {
      try {
        return await RedriveLedger.open(stack.use(await LedgerFile.open(path)));
      } catch (error) {
        if (!isUnwritable(error)) throw error;
      }
    }
    const remedy = 'let XDG_STATE_HOME name a directory that lasts and may be written';
    logger.warn({ path, remedy }, 'what a redrive sends is noted in memory only, until this instance stops');
    return await RedriveLedger.open(this.#memory);
  }

  async #describe(): Promise<DeadLetterTopics> {
    const { settings, topicAdmin } = this.#context;
    try {
      return await DeadLetterTopics.describe(settings.topics, topicAdmin);
    } catch (error) {
      throw new TopicReadError('the topics can’t be described', { cause: error });
    }
  }
}

class LedgerInMemory implements LedgerStore {
  readonly #entries: LedgerEntry[] = [];

  load(): Promise<readonly LedgerEntry[]> {
    return Promise.resolve(this.#entries);
  }

  append(entry: LedgerEntry): Promise<void> {
    this.#entries.push(entry);
    return Promise.resolve();
  }
}

function filterOf({
  datamartId,
  replicationId,
  reason,
  since,
  until,
}: DeadLetterSelection): DeadLetterFilter {
  return { datamartId, replicationId, reason, since, until, topic: null };
}

function isUnwritable(error: unknown): boolean {
  const isSystemError = typeof error === 'object' && error !== null && 'code' in error;
  return isSystemError && UNWRITABLE_CODES.has(String(error.code));
}

/** What the caller is told; anything else is a defect. */
function refusalOf(error: unknown): unknown {
  if (error instanceof LedgerInUseError) return busy(error);
  if (error instanceof MissingTopicError)
    return new ApiError('not_ready', 'the topic of the dead letters isn’t there', {
      hint: 'the operator makes it with `topics create`',
      cause: error,
    });
  if (error instanceof TopicReadError)
    return new ApiError('not_ready', 'the dead letters can’t be read at the moment', {
      hint: 'try again; /readyz says what is missing',
      retryAfterSeconds: BUSY_RETRY_SECONDS,
      cause: error,
    });
  if (error instanceof SchemaUnavailableError)
    return new ApiError('not_ready', 'the schema registry can’t be asked at the moment', {
      retryAfterSeconds: BUSY_RETRY_SECONDS,
      cause: error,
    });
  return error;
}

function busy(cause?: unknown): ApiError {
  return new ApiError('not_ready', 'another redrive of dead letters is at work here', {
    hint: 'one at a time: try again when it has ended',
    retryAfterSeconds: BUSY_RETRY_SECONDS,
    cause,
  });
}

function outOfTime(cause: unknown): ApiError {
  return new ApiError('not_ready', 'reading the dead letters took longer than a call may', {
    hint: '`dead-letters list` without --api takes the time that it needs',
    retryAfterSeconds: BUSY_RETRY_SECONDS,
    cause,
  });
}
