import { ConfigError } from '../../config/config-error.ts';
import { parseDocuments } from '../../config/documents.ts';
import { DONE } from '../cli-process.ts';
import { safeWords } from '../safe-text.ts';
import { textTable, writeJson } from '../text-output.ts';
import { datamartOf, type ReplicationsSession } from './session.ts';

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

/** `replications explain`: whether the replication got the mutation, or gets it, and why not. */
export async function runExplain(
  replicationId: string,
  request: object,
  session: ReplicationsSession,
): Promise<number> {
  const datamartId = await datamartOf(session, replicationId);
  const explanation = await session.operations.explain(datamartId, replicationId, request);
  if (session.isJson) writeJson(session.out, explanation);
  else session.out.write(explanationText(explanation));
  return DONE;
}

/** The words of an explanation: of the record, of each replication, and what could not be looked up. */
export function explanationText(explanation: Readonly<object>): string {
  const { message, remedy, replications, notes } = explanation as Readonly<Record<string, unknown>>;
  const entries: readonly unknown[] = Array.isArray(replications) ? replications : [];
  const rows = entries.filter(isRecord).map((entry) => [
    wordOf(entry.replication_id),
    wordOf(entry.name),
    wordOf(entry.state),
    `${wordOf(entry.result).replaceAll('_', ' ')}${entry.certain === false ? ' (probably)' : ''}`,
    [entry.message, entry.remedy]
      .map(wordOf)
      .filter((word) => word !== '')
      .join('; '),
  ]);
  const remarks: readonly unknown[] = Array.isArray(notes) ? notes : [];
  return [
    ...[message, remedy]
      .map(wordOf)
      .filter((word) => word !== '')
      .map((word) => `${word}\n`),
    rows.length > 0 ? textTable(['id', 'name', 'state', 'result', 'why'], rows) : '',
    ...remarks.map((note) => `note: ${wordOf(note)}\n`),
  ].join('');
}

function wordOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? safeWords(String(value)) : '';
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
