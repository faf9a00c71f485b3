import { LineCounter, parseAllDocuments, stringify } from 'yaml';
import { ConfigError } from './config-error.ts';

/**
 * The values of a text that holds one JSON or YAML document, or several YAML documents after one another; empty ones
 * are left out. Integers that a number can't hold come as their digits. Throws a ConfigError that names `source` and the
 * line, and quotes nothing: the text may hold secrets by mistake.
 */
export function parseDocuments(text: string, source: string): readonly unknown[] {
  const lineCounter = new LineCounter();
  // Tabs indent JSON, and YAML refuses them; outside of strings JSON doesn't mind which white space it is.
  const isJson = /^\s*[{[]/.test(text);
  const documents = parseAllDocuments(isJson ? text.replace(/^[\t ]+/gm, ' ') : text, {
    lineCounter,
    prettyErrors: false,
    logLevel: 'silent',
    intAsBigInt: true,
  });
  const values: unknown[] = [];
  for (const document of documents) {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem) {
      const { line } = lineCounter.linePos(problem.pos[0]);
      throw new ConfigError([`${source}: isn't valid JSON or YAML (line ${line}: ${problem.code})`]);
    }
    let value: unknown;
    try {
      value = document.toJS();
    } catch {
      throw new ConfigError([`${source}: has an alias that refers to nothing, or to too much`]);
    }
    if (value !== null && value !== undefined) values.push(plain(value));
  }
  return values;
}

/** A value as one YAML document, in block style, without aliases. Texts that look like numbers are quoted. */
export function yamlText(value: unknown): string {
  return stringify(value, { aliasDuplicateObjects: false, lineWidth: 0, compat: 'yaml-1.1' });
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}
