import type { DeadLetterLog } from '../streams/redrive/dead-letter-log.ts';
import {
  isSelected,
  type DeadLetterFilter,
  type StoredDeadLetter,
} from '../streams/redrive/stored-dead-letter.ts';
import { deadLettersTable, type DeadLetterRow } from './dead-letters-table.ts';
import { ProgressLine } from './progress-line.ts';
import { safeName, safeText } from './safe-text.ts';
import { textTable, type TextOutput } from './text-output.ts';

export interface DeadLettersListOptions {
  readonly filter: DeadLetterFilter;
  /** Shows so many at most, the newest; null: all as JSON, 1,000 in a table. */
  readonly limit: number | null;
  readonly isJson: boolean;
}

export interface DeadLettersListPorts {
  readonly log: DeadLetterLog;
  readonly out: TextOutput;
  readonly errors: TextOutput;
  /** In ms, of a clock that only goes forward. */
  readonly now: () => number;
}

const TABLE_LIMIT = 1_000;

/** The `dead-letters list` command. Resolves with the exit code, when all are shown or `signal` has aborted. */
export async function runDeadLettersList(
  { filter, limit, isJson }: DeadLettersListOptions,
  { log, out, errors, now }: DeadLettersListPorts,
  signal: AbortSignal,
): Promise<number> {
  const progress = new ProgressLine({ errors, now, isPlainToo: false });
  const newest = new Newest(limit ?? TABLE_LIMIT);
  const counts = new Map<string, number>();
  const isStreamed = isJson && limit === null;
  let selected = 0;
  let foreign = 0;
  await log.scan(
    async (letter) => {
      if (!isSelected(letter, filter)) return;
      selected += 1;
      const key = JSON.stringify([letter.reason, letter.replicationId ?? '']);
      counts.set(key, (counts.get(key) ?? 0) + 1);
      if (isStreamed) await writeLine(out, jsonOf(letter), signal);
      else newest.add(letter);
    },
    () => {
      foreign += 1;
    },
    ({ read, total }) => {
      progress.maybeShow(() => `reading the dead letters: ${read} of ${total}, ${selected} match`);
    },
    signal,
  );
  progress.clear();
  const shown = newest.inOrder();
  if (isJson) for (const letter of shown) await writeLine(out, jsonOf(letter), signal);
  else out.write(textOf(shown, selected, counts));
  if (foreign > 0) errors.write(`${foreign} records on the topic are no dead letters of this program\n`);
  if (signal.aborted) errors.write('stopped before the end of the topic\n');
  return 0;
}

/** The newest letters, so many at most; holds twice as many at a time. */
class Newest {
  readonly #limit: number;
  #letters: StoredDeadLetter[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(letter: StoredDeadLetter): void {
    this.#letters.push(letter);
    if (this.#letters.length >= this.#limit * 2) this.#letters = this.inOrder();
  }

  inOrder(): StoredDeadLetter[] {
    return this.#letters
      .sort(
        (a, b) =>
          a.time - b.time || a.source.partition - b.source.partition || a.source.offset - b.source.offset,
      )
      .slice(-this.#limit);
  }
}

async function writeLine(out: TextOutput, line: object, signal: AbortSignal): Promise<void> {
  if (signal.aborted || out.write(`${JSON.stringify(line)}\n`)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const go = (): void => {
    resolve();
  };
  out.once('drain', go);
  signal.addEventListener('abort', go, { once: true });
  await promise;
  signal.removeEventListener('abort', go);
}

/** Offsets are texts, as in every JSON of this program. */
function jsonOf(letter: StoredDeadLetter): DeadLetterRow {
  const { source } = letter;
  return {
    time: letter.time,
    reason: safeName(letter.reason),
    code: letter.code === null ? null : safeName(letter.code),
    replication_id: letter.replicationId === null ? null : safeName(letter.replicationId),
    datamart_id: letter.datamartId === null ? null : safeName(letter.datamartId),
    topic: safeName(source.topic),
    partition: source.partition,
    offset: String(source.offset),
    schema_id: letter.schemaId,
    truncated: letter.isTruncated,
    detail: safeText(letter.detail),
    dead_letter_partition: letter.partition,
    dead_letter_offset: String(letter.offset),
  };
}

function textOf(
  shown: readonly StoredDeadLetter[],
  selected: number,
  counts: ReadonlyMap<string, number>,
): string {
  if (selected === 0) return 'no dead letter matches\n';
  const table = deadLettersTable(shown.map(jsonOf), selected);
  const sums = [...counts]
    .map(([key, count]) => [...(JSON.parse(key) as [string, string]), count] as const)
    .sort(([, , a], [, , b]) => b - a)
    .map(([reason, replication, count]) => [count, safeName(reason), safeName(replication || '-')]);
  return `${table}\n${textTable(['count', 'reason', 'replication'], sums)}`;
}
