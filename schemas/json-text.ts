import { JsonScanner } from './json-scanner.ts';

/** The parsed text, or what is wrong with it, to be put behind the text's name: `is not valid JSON (line 1, column 5)`. */
export type ParsedJson = { readonly value: unknown } | { readonly problem: string };

const NEWLINE = 0x0a;
const BYTE_ORDER_MARK = Buffer.from('\ufeff');

/**
 * Parses a short JSON text that a person wrote: UTF-8, with or without byte order mark, whose arrays and objects nest
 * at most `maxDepth` deep. Of a repeated key the last counts. Never throws, and never repeats what the text holds.
 */
export function parseJsonText(bytes: Buffer, maxDepth: number): ParsedJson {
  const text = bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)
    ? bytes.subarray(BYTE_ORDER_MARK.length)
    : bytes;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text));
  } catch (error) {
    return { problem: error instanceof SyntaxError ? notJson(text) : 'is not UTF-8' };
  }
  if (isDeeperThan(value, maxDepth)) return { problem: `nests deeper than ${maxDepth} levels` };
  return { value };
}

/** Own words with a position: those of `JSON.parse` quote the text, which may hold a secret. */
function notJson(text: Buffer): string {
  const end = text.length;
  const scanner = new JsonScanner();
  scanner.begin(text, end);
  const start = scanner.skipSpace(0);
  const valueEnd = start < end ? scanner.skipValue(start) : ~end;
  const brokenAt = valueEnd < 0 ? ~valueEnd : scanner.skipSpace(valueEnd);
  const lineStart = text.lastIndexOf(NEWLINE, brokenAt - 1) + 1;
  const line = text.subarray(0, brokenAt).reduce((lines, byte) => lines + (byte === NEWLINE ? 1 : 0), 1);
  const column = text.toString('utf8', brokenAt > 0 ? lineStart : 0, brokenAt).length + 1;
  return `is not valid JSON (line ${line}, column ${column})`;
}

/** The recursion ends one level below `levels`. */
function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeperThan(inner, levels - 1));
}
