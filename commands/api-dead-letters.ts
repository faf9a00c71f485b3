import { isJsonObject } from '../schemas/json-object.ts';
import type { DeadLetterFilter } from '../streams/redrive/stored-dead-letter.ts';
import { ApiConnectionError, type ApiConnection } from './api-connection.ts';
import { DONE, FAILED } from './cli-process.ts';
import { deadLettersTable, type DeadLetterRow } from './dead-letters-table.ts';
import { NOT_SENT, outcomeWords } from './redrive-words.ts';
import { safeName, safeText } from './safe-text.ts';
import { textTable, type TextOutput } from './text-output.ts';

/** Dead letters of one replication, over HTTP. */
export interface ApiDeadLettersContext {
  readonly connection: ApiConnection;
  readonly datamartId: string;
  readonly replicationId: string;
  readonly filter: Pick<DeadLetterFilter, 'reason' | 'since' | 'until'>;
  readonly isJson: boolean;
  readonly out: TextOutput;
  readonly errors: TextOutput;
  readonly signal: AbortSignal;
}

const PAGE = 1_000;
const TABLE_LIMIT = 1_000;
/** As many as the API sends at a time. */
export const API_REDRIVE_LIMIT = 10_000;

/** `dead-letters list --api`: as over Kafka, of one replication. Resolves with the exit code. */
export async function listApiDeadLetters(
  { limit }: { readonly limit: number | null },
  context: ApiDeadLettersContext,
): Promise<number> {
  const { isJson, out } = context;
  const wanted = limit ?? (isJson ? Number.POSITIVE_INFINITY : TABLE_LIMIT);
  // By place: what is stored meanwhile shifts the pages.
  const found = new Map<string, DeadLetterRow>();
  let total = 0;
  for (let first = 0; first < wanted; first += PAGE) {
    const page = await readPage(first, Math.min(PAGE, wanted - first), context);
    total = page.total;
    for (const letter of page.letters)
      found.set(`${letter.dead_letter_partition}/${letter.dead_letter_offset}`, letter);
    if (page.letters.length === 0 || first + PAGE >= total) break;
  }
  const letters = [...found.values()].reverse();
  if (isJson) for (const letter of letters) out.write(`${JSON.stringify(letter)}\n`);
  else out.write(letters.length === 0 ? 'no dead letter matches\n' : deadLettersTable(letters, total));
  return DONE;
}

export interface ApiRedriveOptions {
  /** So many at most; null: all. */
  readonly limit: number | null;
  readonly isForced: boolean;
  readonly isDryRun: boolean;
  readonly confirm: ((question: string) => Promise<boolean>) | null;
}

interface RedriveAnswer {
  readonly isComplete: boolean;
  readonly results: ReadonlyMap<string, number>;
}

/**
 * `dead-letters redrive --api`. The API notes what it has sent and ends a call that takes long: as long as it gets
 * further, it is called again. Resolves with the exit code: 1 when some could not be sent.
 */
export async function redriveApiDeadLetters(
  { limit, isForced, isDryRun, confirm }: ApiRedriveOptions,
  context: ApiDeadLettersContext,
): Promise<number> {
  const { errors, replicationId, signal } = context;
  if (confirm) {
    const preview = await redrive({ isForced, isDryRun: true, limit }, context);
    const count = preview.results.get('would_send') ?? 0;
    const how = isForced ? ', whatever is newest by now (--force)' : '';
    if (count === 0) return end(preview, true, context);
    if (!(await confirm(`send ${count} dead letters to ${replicationId}${how}?`))) {
      errors.write('nothing was sent\n');
      return DONE;
    }
  }
  let sent = 0;
  let answer: RedriveAnswer;
  let isStuck: boolean;
  do {
    const left = limit === null ? null : limit - sent;
    answer = await redrive({ isForced, isDryRun, limit: left }, context);
    const more = answer.results.get('sent') ?? 0;
    sent += more;
    isStuck = more === 0 || sent === limit;
  } while (!answer.isComplete && !isStuck && !signal.aborted);
  const results = new Map([...answer.results, ...(sent > 0 ? [['sent', sent] as const] : [])]);
  return end({ results, isComplete: answer.isComplete || sent === limit }, isDryRun, context);
}

function end(answer: RedriveAnswer, isDryRun: boolean, context: ApiDeadLettersContext): number {
  show(answer, isDryRun, context);
  return NOT_SENT.some((outcome) => answer.results.has(outcome)) || !answer.isComplete ? FAILED : DONE;
}

async function redrive(
  { isForced, isDryRun, limit }: Omit<ApiRedriveOptions, 'confirm'>,
  { connection, filter: { reason, since, until }, ...whose }: ApiDeadLettersContext,
): Promise<RedriveAnswer> {
  const body = {
    reason,
    since,
    until,
    force: isForced,
    dry_run: isDryRun,
    limit: Math.min(limit ?? API_REDRIVE_LIMIT, API_REDRIVE_LIMIT),
  };
  const path = `${pathOf(whose)}/redrive`;
  const { data } = (await connection.call({ method: 'POST', path, body })).body;
  if (!isJsonObject(data) || typeof data.complete !== 'boolean' || !isJsonObject(data.results))
    throw unexpected();
  const results = Object.entries(data.results).filter(
    (entry): entry is [string, number] => Number(entry[1]) > 0,
  );
  return { isComplete: data.complete, results: new Map(results) };
}

function show(
  { results, isComplete }: RedriveAnswer,
  isDryRun: boolean,
  { isJson, out, errors }: ApiDeadLettersContext,
): void {
  if (isJson) {
    const summary = { dry_run: isDryRun, complete: isComplete, results: Object.fromEntries(results) };
    out.write(`${JSON.stringify({ summary })}\n`);
    return;
  }
  const rows = [...results].map(([outcome, count]) => [count, safeName(outcomeWords(outcome))]);
  out.write(rows.length === 0 ? 'no dead letter matches\n' : textTable(['count', 'result'], rows));
  if (!isComplete) errors.write('not all were looked at in the time of a call; the same command goes on\n');
}

async function readPage(
  firstResult: number,
  maxResults: number,
  { connection, filter: { reason, since, until }, ...whose }: ApiDeadLettersContext,
): Promise<{ readonly letters: readonly DeadLetterRow[]; readonly total: number }> {
  const query = {
    first_result: String(firstResult),
    max_results: String(maxResults),
    ...(reason === null ? {} : { reason }),
    ...(since === null ? {} : { since: String(since) }),
    ...(until === null ? {} : { until: String(until) }),
  };
  const { data, total } = (await connection.call({ method: 'GET', path: pathOf(whose), query })).body;
  if (!Array.isArray(data) || typeof total !== 'number') throw unexpected();
  return { letters: data.map(rowOf), total };
}

function pathOf({
  datamartId,
  replicationId,
}: Pick<ApiDeadLettersContext, 'datamartId' | 'replicationId'>): string {
  const replication = `replications/${encodeURIComponent(replicationId)}`;
  return `/v1/datamarts/${encodeURIComponent(datamartId)}/${replication}/dead_letters`;
}

/** Checks what is shown, and makes its texts safe: they came from records. */
function rowOf(letter: unknown): DeadLetterRow {
  if (!isJsonObject(letter)) throw unexpected();
  const { time, partition, dead_letter_partition: ownPartition, schema_id: schemaId } = letter;
  if (typeof time !== 'number' || !Number.isFinite(new Date(time).getTime())) throw unexpected();
  if (typeof partition !== 'number' || typeof ownPartition !== 'number') throw unexpected();
  const text = (value: unknown): string => (typeof value === 'string' ? safeName(value) : '');
  const textOrNull = (value: unknown): string | null => (typeof value === 'string' ? safeName(value) : null);
  return {
    time,
    reason: text(letter.reason),
    code: textOrNull(letter.code),
    replication_id: textOrNull(letter.replication_id),
    datamart_id: textOrNull(letter.datamart_id),
    topic: text(letter.topic),
    partition,
    offset: text(letter.offset),
    schema_id: typeof schemaId === 'number' ? schemaId : null,
    truncated: letter.truncated === true,
    detail: typeof letter.detail === 'string' ? safeText(letter.detail) : '',
    dead_letter_partition: ownPartition,
    dead_letter_offset: text(letter.dead_letter_offset),
  };
}

function unexpected(): ApiConnectionError {
  return new ApiConnectionError(
    'unexpected_answer',
    'the answer is none about dead letters as this release knows it',
    'are the API and this command of neighbouring releases? `datamart-replication --version`',
  );
}
