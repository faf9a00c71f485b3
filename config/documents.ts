import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, stringify, type Node } from 'yaml';
import { ConfigError } from './config-error.ts';

/** No text of replications, settings or mutations needs more. */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
const MAX_DEPTH = 64;
/** Aliases make a short text large: what is counted is what they refer to. */
const MAX_VALUES = 1_000_000;

/**
 * The values of a text that holds one JSON or YAML document, or several YAML documents after one another; empty ones
 * are left out. Integers that a number can't hold come as their digits. Throws a ConfigError that names `source` and the
 * line, and quotes nothing: the text may hold secrets by mistake.
 *
 * What a text may cost is bounded, whoever wrote it: its length, its depth, and what its aliases refer to.
 */
export function parseDocuments(text: string, source: string): readonly unknown[] {
  if (text.length > MAX_DOCUMENT_BYTES)
    throw new ConfigError([`${source}: is longer than ${MAX_DOCUMENT_BYTES / 1024 / 1024} MiB`]);
  const lines = new LineCounter();
  const fail = (position: number, problem: string): never => {
    throw new ConfigError([
      `${source}: isn't valid JSON or YAML (line ${lines.linePos(position).line}: ${problem})`,
    ]);
  };
  // Tabs indent JSON, and YAML refuses them; outside of strings JSON doesn't mind which white space it is.
  const isJson = /^\s*[{[]/.test(text);
  const documents = parseAllDocuments(isJson ? text.replace(/^[\t ]+/gm, ' ') : text, {
    lineCounter: lines,
    prettyErrors: false,
    logLevel: 'silent',
    intAsBigInt: true,
    // The parser compares each key with each other; `DocumentReader` looks at each once.
    uniqueKeys: false,
  });
  const reader = new DocumentReader(fail);
  return documents.flatMap((document) => {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem) fail(problem.pos[0], problem.code);
    const value = reader.read(document.contents);
    return value === null ? [] : [value];
  });
}

/** A value as one YAML document, in block style, without aliases. Texts that look like numbers are quoted. */
export function yamlText(value: unknown): string {
  return stringify(value, { aliasDuplicateObjects: false, lineWidth: 0, compat: 'yaml-1.1' });
}

/** What a scalar in the place of a name can be. */
type Name = string | number | bigint | boolean | null;

/** Makes plain values of parsed nodes. */
class DocumentReader {
  readonly #fail: (position: number, problem: string) => never;
  #anchors = new Map<string, Node>();
  #values = 0;

  constructor(fail: (position: number, problem: string) => never) {
    this.#fail = fail;
  }

  read(contents: unknown): unknown {
    this.#anchors = new Map();
    return this.#valueOf(contents, 0, 0);
  }

  /** `around` is the position of what holds the node, for those that have none. */
  #valueOf(node: unknown, depth: number, around: number): unknown {
    const position = positionOf(node) ?? around;
    this.#values += 1;
    if (this.#values > MAX_VALUES) this.#fail(position, `more than ${MAX_VALUES} values`);
    // An alias within what it refers to ends here too.
    if (depth > MAX_DEPTH) this.#fail(position, `deeper than ${MAX_DEPTH} levels`);
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source);
      return target
        ? this.#valueOf(target, depth + 1, position)
        : this.#fail(position, 'an alias of nothing');
    }
    if (isScalar(node) || isMap(node) || isSeq(node))
      if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return plain(node.value);
    if (isSeq(node)) return node.items.map((item) => this.#valueOf(item, depth + 1, position));
    if (!isMap(node)) return null;
    const fields = new Map<string, unknown>();
    for (const { key, value } of node.items) {
      const at = positionOf(key) ?? position;
      if (key !== null && !isScalar<Name>(key)) this.#fail(at, 'a name that is no text');
      const name = String(key?.value ?? '');
      if (fields.has(name)) this.#fail(at, 'DUPLICATE_KEY');
      fields.set(name, this.#valueOf(value, depth + 1, at));
    }
    return Object.fromEntries(fields);
  }
}

function positionOf(node: unknown): number | null {
  const hasRange = isAlias(node) || isScalar(node) || isMap(node) || isSeq(node);
  return hasRange ? (node.range?.[0] ?? null) : null;
}

function plain(value: unknown): unknown {
  if (typeof value !== 'bigint') return value ?? null;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}
