import { isJsonObject } from '../schemas/json-object.ts';
import { nearestName } from '../schemas/nearest-name.ts';
import { ConfigError } from './config-error.ts';
import { parseDocuments } from './documents.ts';

/** What a settings file says, by full key (`kafka.brokers`); what is wrong with it, one problem a line. */
export interface SettingsFile {
  readonly values: ReadonlyMap<string, unknown>;
  readonly problems: readonly string[];
}

/**
 * Reads the text of a settings file, JSON or YAML (of which JSON is a part). Unknown keys are problems. Neither the
 * parser's words nor any value are passed on: the file may hold secrets.
 */
export function parseSettingsFile(text: string, path: string, knownKeys: ReadonlySet<string>): SettingsFile {
  let documents: readonly unknown[];
  try {
    documents = parseDocuments(text, `file ${path}`);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { values: new Map(), problems: error.problems };
  }
  const [content, ...others] = documents;
  if (content === undefined) return { values: new Map(), problems: [] };
  if (!isJsonObject(content) || others.length > 0)
    return { values: new Map(), problems: [`file ${path}: has to hold settings by name, as in 'kafka:'`] };
  return collect(content, path, knownKeys);
}

function collect(
  content: Readonly<Record<string, unknown>>,
  path: string,
  knownKeys: ReadonlySet<string>,
): SettingsFile {
  const values = new Map<string, unknown>();
  const problems: string[] = [];
  const groups = new Set([...knownKeys].map((key) => key.split('.')[0] ?? key));
  const unknown = (key: string, candidates: Iterable<string>): void => {
    const nearest = nearestName(key, candidates);
    problems.push(`${key} (file ${path}): unknown key${nearest ? `; did you mean ${nearest}?` : ''}`);
  };
  for (const [name, value] of Object.entries(content)) {
    if (knownKeys.has(name)) values.set(name, value);
    else if (!groups.has(name)) unknown(name, [...groups, ...knownKeys]);
    else if (isJsonObject(value)) {
      for (const [inner, innerValue] of Object.entries(value)) {
        const key = `${name}.${inner}`;
        if (knownKeys.has(key)) values.set(key, innerValue);
        else unknown(key, knownKeys);
      }
    } else if (value !== null) {
      problems.push(`${name} (file ${path}): is a group of settings, not a value`);
    }
  }
  return { values, problems };
}
