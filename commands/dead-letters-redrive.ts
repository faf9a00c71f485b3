import type { DeadLetterLog } from '../streams/redrive/dead-letter-log.ts';
import { selectLetters, type LetterSelectionOptions } from '../streams/redrive/letter-selection.ts';
import type { RedriveLedger } from '../streams/redrive/redrive-ledger.ts';
import type { Redrive, RedriveContext, RedriveEvent, RedriveOutcome } from '../streams/redrive/redrive.ts';
import type { DeadLetterFilter, LetterPlace, LetterSource } from '../streams/redrive/stored-dead-letter.ts';
import { durationText } from './duration-text.ts';
import { ProgressLine } from './progress-line.ts';
import { NOT_SENT, outcomeWords } from './redrive-words.ts';
import { safeName, safeText } from './safe-text.ts';
import { textTable, type TextOutput } from './text-output.ts';

export interface DeadLettersRedriveOptions {
  readonly filter: DeadLetterFilter;
  /** So many at most, the first ones in the order of their source; null: all. */
  readonly limit: number | null;
  readonly isForced: boolean;
  readonly isDryRun: boolean;
  /** Sends also what an earlier redrive has sent. */
  readonly isAgain: boolean;
  readonly isJson: boolean;
}

export interface DeadLettersRedrivePorts {
  readonly log: DeadLetterLog;
  readonly ledger: RedriveLedger;
  /** Puts the redrive together; the table has been read. */
  readonly makeRedrive: (hooks: Pick<RedriveContext, 'onEvent' | 'onLetterDone' | 'onRetry'>) => Redrive;
  /** Where the progress is kept, for the words at the end. */
  readonly ledgerPath: string;
  readonly out: TextOutput;
  readonly errors: TextOutput;
  /** In ms, of a clock that only goes forward. */
  readonly now: () => number;
  /** Asks the operator; null doesn't ask (`--yes`). */
  readonly confirm: ((question: string) => Promise<boolean>) | null;
}

/** What people need to be told one by one. */
const TOLD: ReadonlySet<RedriveOutcome> = new Set([...NOT_SENT, 'superseded']);
const MAX_TOLD = 20;

/**
 * The `dead-letters redrive` command. Resolves with the exit code: 0 when all that is wanted was sent, also when it was
 * stopped in between; 1 when some could not be sent.
 */
export async function runDeadLettersRedrive(
  options: DeadLettersRedriveOptions,
  ports: DeadLettersRedrivePorts,
  signal: AbortSignal,
): Promise<number> {
  const { out, errors, ledger, confirm } = ports;
  const letters = await select(options, ports, signal);
  if (signal.aborted) return stopped(ports, 0, letters.length);
  if (letters.length > 0 && confirm && !options.isDryRun) {
    const names = new Set(letters.map(({ replicationId }) => replicationId ?? 'all that want them'));
    const to = names.size > 5 ? `${names.size} replications` : [...names].map(safeName).join(', ');
    const how = options.isForced ? ', whatever is newest by now (--force)' : '';
    if (!(await confirm(`send ${letters.length} dead letters to ${to}${how}?`))) {
      errors.write('nothing was sent\n');
      return 0;
    }
  }
  if (options.isAgain && !options.isDryRun) await forget(ledger, letters);
  const run = new RedriveRun(options, ports, letters.length);
  const redrive = ports.makeRedrive(run);
  try {
    await redrive.run(letters, signal);
  } catch (error) {
    run.clearLine();
    // What the stop cut off is no failure.
    if (!signal.aborted) {
      errors.write(`${run.line()}; what was sent is noted, the same command goes on\n`);
      throw error;
    }
  }
  run.end(redrive);
  if (signal.aborted) return stopped(ports, run.done, letters.length);
  if (letters.length === 0 && !options.isJson) out.write('no dead letter matches\n');
  return run.exitCode;
}

/** Selects the letters, and shows how far that is. */
async function select(
  { filter, limit, isAgain }: DeadLettersRedriveOptions,
  { log, errors, now, ledger }: DeadLettersRedrivePorts,
  signal: AbortSignal,
): Promise<readonly LetterPlace[]> {
  const progress = new ProgressLine({ errors, now, isPlainToo: false });
  const onProgress: LetterSelectionOptions['onProgress'] = ({ read, total, matched }) => {
    progress.maybeShow(() => `reading the dead letters: ${read} of ${total}, ${matched} match`);
  };
  const { letters } = await selectLetters({ log, ledger, filter, limit, isAgain, onProgress }, signal);
  progress.clear();
  return letters;
}

async function forget(ledger: RedriveLedger, letters: readonly LetterPlace[]): Promise<void> {
  for (const replicationId of ledger.replicationIds) {
    const sources = letters
      .filter((letter) => letter.replicationId === null || letter.replicationId === replicationId)
      .map(({ source }) => source)
      .filter((source) => ledger.has(replicationId, source));
    const placeOf = ({ topic, partition }: LetterSource): string => `${topic}/${partition}`;
    for (const of of Map.groupBy(sources, placeOf).values()) await ledger.forget(replicationId, of);
  }
}

function stopped({ errors, ledgerPath }: DeadLettersRedrivePorts, done: number, total: number): number {
  errors.write(
    `stopped after ${done} of ${total} dead letters; the same command goes on from there (progress: ${ledgerPath})\n`,
  );
  return 0;
}

/** Counts, shows and tells what becomes of the letters. */
class RedriveRun {
  readonly #options: DeadLettersRedriveOptions;
  readonly #ports: DeadLettersRedrivePorts;
  readonly #total: number;
  readonly #startedAt: number;
  readonly #progress: ProgressLine;
  readonly #counts = new Map<RedriveOutcome, number>();
  readonly #sums = new Map<string, number>();
  #done = 0;
  #told = 0;
  #waitsFor = '';

  constructor(options: DeadLettersRedriveOptions, ports: DeadLettersRedrivePorts, total: number) {
    this.#options = options;
    this.#ports = ports;
    this.#total = total;
    this.#startedAt = ports.now();
    this.#progress = new ProgressLine({ errors: ports.errors, now: ports.now, isPlainToo: true });
  }

  get done(): number {
    return this.#done;
  }

  get exitCode(): number {
    return NOT_SENT.some((outcome) => this.#count(outcome) > 0) ? 1 : 0;
  }

  readonly onEvent = (event: RedriveEvent): void => {
    const { outcome, replicationId } = event;
    this.#counts.set(outcome, this.#count(outcome) + 1);
    const key = JSON.stringify([outcome, replicationId ?? '']);
    this.#sums.set(key, (this.#sums.get(key) ?? 0) + 1);
    if (outcome === 'sent') this.#waitsFor = '';
    this.#tell(event);
  };

  readonly onLetterDone = (): void => {
    this.#done += 1;
    this.#show();
  };

  readonly onRetry = (replicationId: string, code: string, message: string): void => {
    this.#waitsFor = `, waiting for replication ${replicationId}: ${code}: ${safeText(message)}`;
    this.#show();
  };

  /** How far it is, in words. */
  line(): string {
    const seconds = (this.#ports.now() - this.#startedAt) / 1_000;
    const rate = seconds > 0 ? this.#done / seconds : 0;
    const left = rate > 0 && this.#done < this.#total ? (this.#total - this.#done) / rate : null;
    return [
      `${this.#done} of ${this.#total} done`,
      `${this.#count('sent')} sent`,
      `${this.#count('superseded')} superseded`,
      `${this.#count('rejected')} rejected`,
      `${Math.round(rate)}/s`,
      ...(left === null ? [] : [`ends in about ${durationText(left)}`]),
    ]
      .join(', ')
      .concat(this.#waitsFor);
  }

  clearLine(): void {
    this.#progress.clear();
  }

  /** The result, on standard output. */
  end({ ended }: Redrive): void {
    this.#progress.clear();
    const { out, errors } = this.#ports;
    const sums = [...this.#sums].map(([key, count]) => {
      const [outcome, replicationId] = JSON.parse(key) as [RedriveOutcome, string];
      return { outcome, replicationId: replicationId || null, count };
    });
    if (this.#options.isJson) {
      const results = sums.map(({ outcome, replicationId, count }) => ({
        outcome,
        replication_id: replicationId,
        count,
      }));
      const summary = { matched: this.#total, done: this.#done, dry_run: this.#options.isDryRun, results };
      out.write(`${JSON.stringify({ summary })}\n`);
    } else if (sums.length > 0) {
      const hidden = [...TOLD].reduce((sum, outcome) => sum + this.#count(outcome), 0) - this.#told;
      if (hidden > 0) out.write(`… and ${hidden} more; --json tells all\n`);
      const rows = sums.map(({ outcome, replicationId, count }) => [
        count,
        replicationId ?? '-',
        outcomeWords(outcome),
      ]);
      out.write(
        textTable(
          ['count', 'replication', 'result'],
          rows.map(([count = 0, id = '', words = '']) => [count, safeName(String(id)), words]),
        ),
      );
    }
    for (const [id, { code, message, remedy }] of ended) {
      errors.write(
        `replication ${safeName(id)} takes no more: ${code}: ${safeText(message)}${remedy === null ? '' : `; ${remedy}`}\n`,
      );
    }
  }

  #tell({ letter: { source, reason }, replicationId, outcome, code, detail }: RedriveEvent): void {
    const { out } = this.#ports;
    if (this.#options.isJson) {
      if (outcome === 'sent' || outcome === 'would_send') return;
      const line = {
        outcome,
        replication_id: replicationId,
        reason: safeName(reason),
        topic: safeName(source.topic),
        partition: source.partition,
        offset: String(source.offset),
        code,
        detail: safeText(detail),
      };
      out.write(`${JSON.stringify(line)}\n`);
      return;
    }
    if (!TOLD.has(outcome) || this.#told >= MAX_TOLD) return;
    this.#told += 1;
    this.#progress.clear();
    const at = `${safeName(source.topic)}/${source.partition}/${source.offset}`;
    const to = replicationId === null ? '' : ` for replication ${safeName(replicationId)}`;
    const why = [code, safeText(detail)].filter(Boolean).join(': ');
    out.write(`${outcome}: ${at}${to}${why ? `: ${why}` : ''}\n`);
  }

  #show(): void {
    this.#progress.maybeShow(() => this.line());
  }

  #count(outcome: RedriveOutcome): number {
    return this.#counts.get(outcome) ?? 0;
  }
}
