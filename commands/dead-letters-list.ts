import type { DeadLetterLog } from '../streams/redrive/dead-letter-log.ts';
import { FirstOf } from '../streams/redrive/first-of.ts';
import {
  isSelected,
  newestFirst,
  type DeadLetterFilter,
  type StoredDeadLetter,
} from '../streams/redrive/stored-dead-letter.ts';
import { deadLetterRow, deadLettersTable } from './dead-letters-table.ts';
import { ProgressLine } from './progress-line.ts';
import { safeName } from './safe-text.ts';
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
  const newest = new FirstOf(limit ?? TABLE_LIMIT, newestFirst);
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
      if (isStreamed) await writeLine(out, deadLetterRow(letter), signal);
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
  const shown = newest.items.toReversed();
  if (isJson) for (const letter of shown) await writeLine(out, deadLetterRow(letter), signal);
  else out.write(textOf(shown, selected, counts));
  if (foreign > 0) errors.write(`${foreign} records on the topic are no dead letters of this program\n`);
  if (signal.aborted) errors.write('stopped before the end of the topic\n');
  return 0;
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

function textOf(
  shown: readonly StoredDeadLetter[],
  selected: number,
  counts: ReadonlyMap<string, number>,
): string {
  if (selected === 0) return 'no dead letter matches\n';
  const table = deadLettersTable(shown.map(deadLetterRow), selected);
  const sums = [...counts]
    .map(([key, count]) => [...(JSON.parse(key) as [string, string]), count] as const)
    .sort(([, , a], [, , b]) => b - a)
    .map(([reason, replication, count]) => [count, safeName(reason), safeName(replication || '-')]);
  return `${table}\n${textTable(['count', 'reason', 'replication'], sums)}`;
}
