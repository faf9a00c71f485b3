import { dirname, resolve } from 'node:path';
import { ConfigError } from '../../config/config-error.ts';
import { parseDocuments } from '../../config/documents.ts';
import { isJsonObject } from '../../schemas/json-object.ts';
import { idText, type Body } from './body-flags.ts';

/** A replication as a file wants it. */
export interface DesiredReplication {
  readonly datamartId: string;
  /** Null: it is known by its name, and made when there is none of that name. */
  readonly id: string | null;
  /** Null only with an id. */
  readonly name: string | null;
  readonly status: 'ACTIVE' | 'PAUSED' | null;
  /** Where its credentials are, from the file's own directory; null when the file doesn't say. */
  readonly credentialsFile: string | null;
  /** The other fields as they were written. What is absent stays as it is. */
  readonly fields: Body;
  /** How messages name it. */
  readonly label: string;
}

export interface DesiredFile {
  readonly text: string;
  /** How messages name the file. */
  readonly source: string;
  /** The file's own path; null for standard input. */
  readonly path: string | null;
}

/** Fields that aren't the user's to set, or that have a place of their own here. */
const APART: ReadonlySet<string> = new Set(['id', 'datamart_id', 'status', 'observed', 'credentials_file']);

/**
 * Reads what `replications apply` takes: a replication, a list of them, or `{replications: […]}`, as JSON or YAML, in one
 * document or several. `datamartId` is for those that name none; null when there is none. Throws a ConfigError with every
 * problem that shows without asking anyone.
 */
export function parseDesiredReplications(
  file: DesiredFile,
  datamartId: string | null,
): readonly DesiredReplication[] {
  const problems: string[] = [];
  const entries = parseDocuments(file.text, file.source).flatMap(entriesOf);
  const seen = new Map<string, string>();
  const desired = entries.map((entry, i) => {
    const place = `${file.source}: replication ${i + 1}`;
    const parsed = parseEntry(entry, place, file.path, datamartId, problems);
    if (!parsed) return null;
    const key = parsed.id === null ? `${parsed.datamartId} name ${parsed.name}` : `id ${parsed.id}`;
    const other = seen.get(key);
    if (other !== undefined) problems.push(`${place}: is the same as ${other}`);
    seen.set(key, `replication ${i + 1}`);
    return parsed;
  });
  if (problems.length > 0) throw new ConfigError(problems);
  return desired.filter((entry) => entry !== null);
}

function entriesOf(document: unknown): readonly unknown[] {
  if (Array.isArray(document)) return document;
  if (!isJsonObject(document) || !Object.hasOwn(document, 'replications')) return [document];
  const { replications, ...others } = document;
  // Something beside the list would be left out without a word.
  if (Object.keys(others).length > 0) return [document];
  if (replications === null) return [];
  return Array.isArray(replications) ? (replications as unknown[]) : [replications];
}

function parseEntry(
  entry: unknown,
  place: string,
  path: string | null,
  defaultDatamartId: string | null,
  problems: string[],
): DesiredReplication | null {
  if (!isJsonObject(entry)) {
    problems.push(`${place}: has to be a replication, as \`replications export\` writes one`);
    return null;
  }
  const problemsBefore = problems.length;
  const id = optionalId(entry, 'id', place, problems);
  const datamartId = optionalId(entry, 'datamart_id', place, problems) ?? defaultDatamartId;
  const name = typeof entry.name === 'string' ? entry.name : null;
  if (datamartId === null)
    problems.push(`${place}: datamart_id is missing; it, or --datamart-id, says whose it is`);
  else if (defaultDatamartId !== null && datamartId !== defaultDatamartId)
    problems.push(`${place}: is of datamart ${datamartId}, and --datamart-id says ${defaultDatamartId}`);
  if (id === null && name === null) problems.push(`${place}: has neither id nor name`);
  const credentialsFile = entry.credentials_file ?? null;
  if (credentialsFile !== null && typeof credentialsFile !== 'string')
    problems.push(`${place}: credentials_file has to be a path`);
  if (credentialsFile !== null && typeof entry.credentials_uri === 'string')
    problems.push(`${place}: credentials_file and credentials_uri exclude each other`);
  const status = parseStatus(entry.status, place, problems);
  if (problems.length > problemsBefore || datamartId === null) return null;
  return {
    datamartId,
    id,
    name,
    status,
    credentialsFile:
      typeof credentialsFile === 'string'
        ? resolve(path === null ? '.' : dirname(path), credentialsFile)
        : null,
    fields: Object.fromEntries(Object.entries(entry).filter(([field]) => !APART.has(field))),
    label: [id, name === null ? null : JSON.stringify(name)].filter((part) => part !== null).join(' '),
  };
}

/** ERROR is an echo of what was observed: it wants nothing. */
function parseStatus(status: unknown, place: string, problems: string[]): DesiredReplication['status'] {
  if (status === undefined || status === null || status === 'ERROR') return null;
  if (status === 'ACTIVE' || status === 'PAUSED') return status;
  problems.push(`${place}: status must be ACTIVE or PAUSED`);
  return null;
}

function optionalId(
  entry: Body,
  field: 'id' | 'datamart_id',
  place: string,
  problems: string[],
): string | null {
  const value = entry[field] ?? null;
  if (value === null) return null;
  const id = idText(value);
  if (id === null) problems.push(`${place}: ${field} has to be a text`);
  return id;
}
