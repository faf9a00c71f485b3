const BACKSLASH = 0x5c;
const SURROGATE_LEAD = 0xed;
const FIRST_SURROGATE_TRAIL = 0xa0;
const LETTER_U = 0x75;
const HEX = Buffer.from('0123456789abcdef');

/** What an escaped byte needs at most: `\u0001`. */
export const MAX_ESCAPE_GROWTH = 6;

/** 1 for the bytes that may need an escape; the first byte of a surrogate is also that of other characters. */
const MAY_NEED_ESCAPE = new Uint8Array(256);
MAY_NEED_ESCAPE.fill(1, 0, 0x20);
for (const byte of [0x22, BACKSLASH, SURROGATE_LEAD]) MAY_NEED_ESCAPE[byte] = 1;

/** The letter of the short escapes of `JSON.stringify`, by byte. */
const SHORT_ESCAPE = new Uint8Array(256);
for (const [character, letter] of Object.entries({
  '"': '"',
  '\\': '\\',
  '\b': 'b',
  '\f': 'f',
  '\n': 'n',
  '\r': 'r',
  '\t': 't',
})) {
  SHORT_ESCAPE[character.charCodeAt(0)] = letter.charCodeAt(0);
}

/**
 * Writes the text `bytes[start, end)`, UTF-8 or WTF-8, to `target[at]` as `JSON.stringify` writes the inside of a string,
 * and returns the index after it. A lone surrogate becomes its `\ud800` escape.
 */
export function writeJsonEscaped(
  bytes: Buffer,
  start: number,
  end: number,
  target: Buffer,
  at: number,
): number {
  let to = at;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (MAY_NEED_ESCAPE[byte] === 0) {
      target[to++] = byte;
    } else if (byte === SURROGATE_LEAD) {
      if (isSurrogate(bytes, i)) {
        const code = 0xd000 | (((bytes[i + 1] as number) & 0x3f) << 6) | ((bytes[i + 2] as number) & 0x3f);
        to = writeUnit(code, target, to);
        i += 2;
      } else {
        target[to++] = byte;
      }
    } else if (SHORT_ESCAPE[byte] !== 0) {
      target[to++] = BACKSLASH;
      target[to++] = SHORT_ESCAPE[byte] as number;
    } else {
      to = writeUnit(byte, target, to);
    }
  }
  return to;
}

/** How many bytes `writeJsonEscaped` writes for the range. */
export function jsonEscapedLength(bytes: Buffer, start: number, end: number): number {
  let length = end - start;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (MAY_NEED_ESCAPE[byte] === 0) continue;
    if (byte === SURROGATE_LEAD) length += isSurrogate(bytes, i) ? 3 : 0;
    else length += SHORT_ESCAPE[byte] !== 0 ? 1 : 5;
  }
  return length;
}

/** Writes the text `bytes[start, end)` to `target[at]` as UTF-8: each lone surrogate becomes U+FFFD, of the same length. */
export function writeAsUtf8(bytes: Buffer, start: number, end: number, target: Buffer, at: number): number {
  let to = at;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte === SURROGATE_LEAD && isSurrogate(bytes, i)) {
      target[to++] = 0xef;
      target[to++] = 0xbf;
      target[to++] = 0xbd;
      i += 2;
    } else {
      target[to++] = byte;
    }
  }
  return to;
}

/** Whether the character at `at`, whose first byte is `SURROGATE_LEAD`, is a surrogate (WTF-8). */
function isSurrogate(bytes: Buffer, at: number): boolean {
  return (bytes[at + 1] as number) >= FIRST_SURROGATE_TRAIL;
}

function writeUnit(code: number, target: Buffer, at: number): number {
  target[at] = BACKSLASH;
  target[at + 1] = LETTER_U;
  target[at + 2] = HEX[code >> 12] as number;
  target[at + 3] = HEX[(code >> 8) & 0xf] as number;
  target[at + 4] = HEX[(code >> 4) & 0xf] as number;
  target[at + 5] = HEX[code & 0xf] as number;
  return at + 6;
}
