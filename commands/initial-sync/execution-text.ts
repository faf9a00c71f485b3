import type { ExecutionResource } from '../../api/execution-resource.ts';
import { isEnded } from '../../processors/initial-sync/execution.ts';
import { durationText } from '../duration-text.ts';
import { safeWords } from '../safe-text.ts';
import { textTable } from '../text-output.ts';
import { timeText } from '../time-text.ts';
import { gapText } from './gap-text.ts';

const HELD_TEXT: Readonly<Record<string, string>> = {
  budget: 'by its budget: `initial-sync start --id … --max-operations N` with a higher one goes on',
  destination: 'by a destination that doesn’t take more for now',
  live: 'by live operations, which come first',
};
const SHOWN_IDS = 5;
/** What went on when the execution ended. */
const STOPPED = 'stopped';

/** One line an execution. */
export function listText(executions: readonly ExecutionResource[]): string {
  const rows = executions.map((execution) => [
    execution.id,
    execution.datamart_id ?? '-',
    execution.error ? `${execution.status} ${execution.error.code}` : execution.status,
    percentText(execution.progress),
    idsText(execution.parameters.replication_ids),
    operationsOf(execution),
    timeText(execution.creation_date),
    tookText(execution) ?? '-',
  ]);
  return textTable(
    ['id', 'datamart', 'status', 'progress', 'replications', 'operations', 'requested', 'took'],
    rows,
  );
}

/** Everything about one execution. */
export function detailsText(execution: ExecutionResource): string {
  const { id, datamart_id: datamartId, status, parameters, held, error, user_id: user } = execution;
  const lines: readonly (readonly [string, string | null])[] = [
    ['datamart', datamartId],
    ['status', status],
    ['requested', `${timeText(execution.creation_date)}${user === null ? '' : ` by ${user}`}`],
    ['started', execution.start_date === undefined ? null : timeText(execution.start_date)],
    ['took', tookText(execution)],
    ['tasks', tasksText(execution)],
    ['progress', percentText(execution.progress)],
    ['budget', parameters.max_operations === null ? null : `${parameters.max_operations} operations`],
    ['held', held === null ? null : (HELD_TEXT[held] ?? held)],
    ['error', error && `${error.message} (${error.code})`],
  ];
  const shown = lines.flatMap(([title, text]) => (text === null ? [] : [[title, text] as const]));
  const width = Math.max(...shown.map(([title]) => title.length));
  return [
    `initial synchronization ${id}\n`,
    ...shown.map(([title, text]) => `  ${title.padEnd(width)}  ${safeWords(text)}\n`),
    resultText(execution),
    partitionsText(execution),
  ].join('');
}

/** How many operations were sent, to all replications. */
export function operationsOf({ result }: ExecutionResource): number {
  let sum = 0;
  for (const { documents } of Object.values(result.replications))
    for (const count of Object.values(documents)) sum += count;
  return sum;
}

export function percentText(progress: number): string {
  return `${Math.floor(progress * 1_000) / 10} %`;
}

function tookText({ duration }: ExecutionResource): string | null {
  return duration === undefined ? null : durationText(duration / 1_000);
}

function tasksText({
  num_tasks: all,
  completed_tasks: done,
  erroneous_tasks: failed,
}: ExecutionResource): string {
  return `${done} of ${all} done${failed > 0 ? `, ${failed} failed` : ''}`;
}

/** By replication, then by document type. */
function resultText(execution: ExecutionResource): string {
  const { result } = execution;
  const unfinished = isEnded(execution) ? STOPPED : 'going on';
  const rows = Object.entries(result.replications).flatMap(([id, part]) => {
    const { outcome, documents, skipped_newer: newer, rejected } = part;
    const sent = Object.values(documents).reduce((sum, count) => sum + count, 0);
    return [
      [id, outcome ?? unfinished, 'all', sent, newer, rejected],
      ...Object.entries(documents).map(([type, count]) => ['', '', type, count]),
    ];
  });
  if (rows.length === 0) return '';
  const notes = Object.entries(result.replications).flatMap(([id, { gap }]) =>
    gap ? [`- ${gapText(id, gap)}\n`] : [],
  );
  return `\n${textTable(['replication', 'outcome', 'documents', 'sent', 'newer', 'rejected'], rows)}${notes.join('')}`;
}

function partitionsText(execution: ExecutionResource): string {
  const { tasks = [] } = execution;
  if (tasks.length === 0) return '';
  const isOver = isEnded(execution);
  const rows = tasks.map(({ topic, partition, status, offset, end_offset: end, held, error }) => [
    topic,
    partition,
    isOver && status === 'RUNNING' ? STOPPED : status,
    offset,
    end,
    (isOver ? null : held) ?? (error === null ? '-' : safeWords(error)),
  ]);
  return `\n${textTable(['topic', 'partition', 'status', 'offset', 'end', 'held'], rows)}`;
}

function idsText(ids: readonly string[]): string {
  const shown = ids.slice(0, SHOWN_IDS).join(', ');
  return ids.length > SHOWN_IDS ? `${shown} and ${ids.length - SHOWN_IDS} more` : shown || '-';
}
