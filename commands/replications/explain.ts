import { ConfigError } from '../../config/config-error.ts';
import { parseDocuments } from '../../config/documents.ts';
import { isJsonObject } from '../../schemas/json-object.ts';
import { DONE } from '../cli-process.ts';
import { safeWords } from '../safe-text.ts';
import { textTable, writeJson } from '../text-output.ts';
import type { ReplicationsSession } from './session.ts';

/** Which mutation is asked about: where it lies, or itself. */
export interface ExplainFlags {
  readonly topic?: string;
  readonly partition?: number;
  readonly offset?: string;
  /** A path; `-` is standard input. */
  readonly mutation?: string;
}

/** The request of the API. Throws a ConfigError. */
export async function explainRequest(
  { topic, partition, offset, mutation }: ExplainFlags,
  defaultTopic: string | null,
  readFile: (path: string) => Promise<string>,
): Promise<object> {
  const place = [partition, offset].filter((value) => value !== undefined);
  if (mutation !== undefined) {
    if (place.length > 0 || topic !== undefined)
      throw new ConfigError(['--mutation: excludes --topic, --partition and --offset']);
    const [value, ...others] = parseDocuments(await readFile(mutation), `--mutation ${mutation}`);
    if (value === undefined || others.length > 0)
      throw new ConfigError([`--mutation ${mutation}: has to hold one mutation, as JSON`]);
    return { mutation: value };
  }
  if (place.length < 2)
    throw new ConfigError(['which mutation? --partition and --offset of its record, or --mutation FILE']);
  const where = topic ?? defaultTopic;
  if (where === null) throw new ConfigError(['--topic: not given, and there are several mutation topics']);
  return { topic: where, partition, offset };
}

/** `replications explain`: whether the replication (null: each of the datamart) got the mutation, or gets it, and why not. */
export async function runExplain(
  replicationId: string | null,
  request: object,
  session: ReplicationsSession,
): Promise<number> {
  const explanation = await session.operations.explain(session.datamartId, replicationId, request);
  if (session.isJson) writeJson(session.out, explanation);
  else session.out.write(explanationText(explanation));
  return DONE;
}

/** The words of an explanation: of the record and where it lies, of each replication, and what could not be looked up. */
export function explanationText(explanation: Readonly<object>): string {
  const fields = explanation as Readonly<Record<string, unknown>>;
  const { message, remedy, replications, notes } = fields;
  const entries: readonly unknown[] = Array.isArray(replications) ? replications : [];
  const rows = entries
    .filter(isJsonObject)
    .map((entry) => [
      wordOf(entry.replication_id),
      wordOf(entry.name),
      wordOf(entry.state),
      `${wordOf(entry.result).replaceAll('_', ' ')}${entry.certain === false ? ' (probably)' : ''}`,
      joined([entry.message, positionText(entry), entry.remedy]),
    ]);
  const remarks: readonly unknown[] = Array.isArray(notes) ? notes : [];
  return [
    ...[placeText(fields), wordOf(message), wordOf(remedy)]
      .filter((line) => line !== '')
      .map((line) => `${line}\n`),
    rows.length > 0 ? textTable(['id', 'name', 'state', 'result', 'why'], rows) : '',
    ...remarks.map((note) => `note: ${wordOf(note)}\n`),
  ].join('');
}

/** Empty for a mutation that was pasted. */
function placeText({
  topic,
  partition,
  offset,
  timestamp,
  op,
  doc_type: docType,
  committed_offset: committed,
  log_end_offset: end,
}: Readonly<Record<string, unknown>>): string {
  if (typeof topic !== 'string') return '';
  const written = typeof timestamp === 'number' ? `written ${new Date(timestamp).toISOString()}` : '';
  const progress = `the group has committed ${wordOf(committed) || 'nothing'}, the log ends before ${wordOf(end)}`;
  const what = `${wordOf(op)} ${wordOf(docType)}`.trim();
  return `${wordOf(topic)}/${wordOf(partition)} offset ${wordOf(offset)}: ${joined([what, written, progress])}`;
}

function positionText({ position, lag_records: lag }: Readonly<Record<string, unknown>>): string {
  if (typeof position !== 'string') return '';
  return `its own position is ${wordOf(position)}, ${wordOf(lag ?? 0)} records from the end`;
}

function joined(parts: readonly unknown[]): string {
  return parts
    .map(wordOf)
    .filter((word) => word !== '')
    .join('; ');
}

function wordOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? safeWords(String(value)) : '';
}
