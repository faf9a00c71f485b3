const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
const SHORT_ESCAPES = '"\\/bfnrt';
const UNESCAPED = Buffer.from('"\\/\b\f\n\r\t');

/**
 * Writes the characters of the valid JSON string contents `bytes[start, end)` to `target[at]` as UTF-8, and returns the
 * index after them. They are never longer than their escaped form. A lone surrogate becomes its three WTF-8 bytes.
 */
export function unescapeJson(bytes: Buffer, start: number, end: number, target: Buffer, at: number): number {
  let to = at;
  let i = start;
  while (i < end) {
    const byte = bytes[i] as number;
    if (byte !== BACKSLASH) {
      target[to++] = byte;
      i++;
      continue;
    }
    const letter = bytes[i + 1] as number;
    if (letter !== LETTER_U) {
      target[to++] = UNESCAPED[SHORT_ESCAPES.indexOf(String.fromCharCode(letter))] as number;
      i += 2;
      continue;
    }
    let code = hexUnit(bytes, i);
    i += 6;
    if (isHighSurrogate(code) && i < end && bytes[i] === BACKSLASH && bytes[i + 1] === LETTER_U) {
      const low = hexUnit(bytes, i);
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        i += 6;
      }
    }
    to = writeCodePoint(code, target, to);
  }
  return to;
}

/** The four digits of the escape at `at`. */
function hexUnit(bytes: Buffer, at: number): number {
  return Number.parseInt(bytes.toString('latin1', at + 2, at + 6), 16);
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code < 0xdc00;
}

function writeCodePoint(code: number, target: Buffer, at: number): number {
  let to = at;
  if (code < 0x80) {
    target[to++] = code;
  } else if (code < 0x800) {
    target[to++] = 0xc0 | (code >> 6);
    target[to++] = 0x80 | (code & 0x3f);
  } else if (code < 0x10000) {
    target[to++] = 0xe0 | (code >> 12);
    target[to++] = 0x80 | ((code >> 6) & 0x3f);
    target[to++] = 0x80 | (code & 0x3f);
  } else {
    target[to++] = 0xf0 | (code >> 18);
    target[to++] = 0x80 | ((code >> 12) & 0x3f);
    target[to++] = 0x80 | ((code >> 6) & 0x3f);
    target[to++] = 0x80 | (code & 0x3f);
  }
  return to;
}
