import { JsonScanner } from '../schemas/json-scanner.ts';
import { ApiError } from './api-error.ts';

/** How deep arrays and objects of a body may nest. */
export const MAX_BODY_DEPTH = 32;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * Parses a request's body; undefined when it is empty. Keys like `__proto__` become fields like any other. Throws
 * `invalid_json` with the place where the text breaks; the text itself is never repeated.
 */
export function parseJsonBody(bytes: Buffer): unknown {
  const body = bytes.subarray(0, 3).equals(BYTE_ORDER_MARK) ? bytes.subarray(3) : bytes;
  if (body.toString('latin1').trim() === '')
    throw invalidJson('the body is empty; a JSON object is expected');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    // The decoder doesn't say where.
    throw invalidJson('the body is not UTF-8');
  }
  if (isTooDeep(body)) throw invalidJson(`the body nests deeper than ${MAX_BODY_DEPTH} levels`);
  try {
    return JSON.parse(text);
  } catch {
    // V8 quotes the text, which may hold a secret.
    throw brokenJson(body);
  }
}

function isTooDeep(body: Buffer): boolean {
  let depth = 0;
  let isInString = false;
  for (let i = 0; i < body.length; i += 1) {
    const byte = body[i];
    if (isInString) {
      if (byte === BACKSLASH) i += 1;
      else if (byte === QUOTE) isInString = false;
    } else if (byte === QUOTE) {
      isInString = true;
    } else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      if (depth > MAX_BODY_DEPTH) return true;
    } else if (byte === 0x7d || byte === 0x5d) {
      depth -= 1;
    }
  }
  return false;
}

/** Says where the text breaks, and why when it is a mistake that people make. */
function brokenJson(body: Buffer): ApiError {
  const scanner = new JsonScanner();
  scanner.begin(body, body.length);
  const end = scanner.skipValue(scanner.skipSpace(0));
  const at = end < 0 ? ~end : scanner.skipSpace(end);
  const before = body.toString('utf8', 0, at).split('\n');
  const column = (before.at(-1)?.length ?? 0) + 1;
  const isCommaBefore = /,\s*$/.test(before.join('\n')) && /^[}\]]/.test(body.toString('latin1', at, at + 1));
  const hint = isCommaBefore ? 'JSON has no comma before } or ]' : null;
  return invalidJson(`body is not valid JSON (line ${before.length}, column ${column})`, hint);
}

function invalidJson(message: string, hint: string | null = null): ApiError {
  return new ApiError('invalid_json', message, { hint });
}
