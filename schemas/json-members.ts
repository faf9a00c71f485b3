import { isUtf8 } from 'node:buffer';
import { JsonScanner } from './json-scanner.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Finds the values of some members of a JSON object by one pass over its bytes, without parsing them: a value keeps its
 * bytes. Of a repeated member the last counts. One object is used again for every text.
 */
export class JsonMembers<Name extends string> {
  readonly #indexOf: ReadonlyMap<string, number>;
  /** `[start, end)` of each value, two slots a name; 0 while there is none. */
  readonly #ranges: Int32Array;
  readonly #scanner = new JsonScanner();
  #bytes: Buffer = Buffer.alloc(0);

  constructor(names: readonly Name[]) {
    this.#indexOf = new Map(names.map((name, i) => [name, i]));
    this.#ranges = new Int32Array(names.length * 2);
  }

  /** Looks through a text. False when it isn't one JSON object in UTF-8. */
  read(bytes: Buffer): boolean {
    this.#bytes = bytes;
    this.#ranges.fill(0);
    this.#scanner.begin(bytes, bytes.length);
    return this.#readObject() && isUtf8(bytes);
  }

  /** The bytes of a member's value; null when it isn't there, or is null. */
  value(name: Name): Buffer | null {
    const i = this.#indexOf.get(name) ?? 0;
    const value = this.#bytes.subarray(this.#ranges[i * 2], this.#ranges[i * 2 + 1]);
    return value.length === 0 || value.equals(NULL) ? null : value;
  }

  /** A member's value as parsed JSON; null when it isn't there. */
  parsed(name: Name): unknown {
    const value = this.value(name);
    return value && (JSON.parse(value.toString()) as unknown);
  }

  #readObject(): boolean {
    const scanner = this.#scanner;
    const bytes = this.#bytes;
    let i = scanner.skipSpace(0);
    if (bytes[i] !== OPEN_BRACE) return false;
    i = scanner.skipSpace(i + 1);
    if (bytes[i] === CLOSE_BRACE) return this.#isEnd(i + 1);
    for (;;) {
      if (bytes[i] !== QUOTE) return false;
      const nameEnd = scanner.skipString(i + 1);
      if (nameEnd < 0) return false;
      const name = JSON.parse(bytes.toString('utf8', i, nameEnd)) as string;
      i = scanner.skipSpace(nameEnd);
      if (bytes[i] !== COLON) return false;
      const start = scanner.skipSpace(i + 1);
      const end = scanner.skipValue(start);
      if (end < 0) return false;
      const index = this.#indexOf.get(name);
      if (index !== undefined) this.#ranges.set([start, end], index * 2);
      i = scanner.skipSpace(end);
      if (bytes[i] === CLOSE_BRACE) return this.#isEnd(i + 1);
      if (bytes[i] !== COMMA) return false;
      i = scanner.skipSpace(i + 1);
    }
  }

  #isEnd(at: number): boolean {
    return this.#scanner.skipSpace(at) === this.#bytes.length;
  }
}

const NULL = Buffer.from('null');
