/** How deep arrays and objects may nest; a value that holds none is 0 deep. */
export const MAX_JSON_DEPTH = 256;

const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const LETTER_E = 0x65;
const LETTER_F = 0x66;
const LETTER_N = 0x6e;
const LETTER_T = 0x74;
const LETTER_U = 0x75;

/** 1 for the bytes that end a run of plain text within a string: quote, backslash, controls. */
const ENDS_RUN = new Uint8Array(256);
ENDS_RUN.fill(1, 0, 0x20);
ENDS_RUN[QUOTE] = 1;
ENDS_RUN[BACKSLASH] = 1;

/** 1 for what may follow a backslash, `u` excepted. */
const SHORT_ESCAPE = tableOf('"\\/bfnrt');
const HEX_DIGIT = tableOf('0123456789abcdefABCDEF');

/** The containers around the one being looked through: 1 for an object. */
const OUTER_IS_OBJECT = new Uint8Array(MAX_JSON_DEPTH);

const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');
const NULL = Buffer.from('null');

/**
 * Finds where JSON texts end by one pass over their bytes, checking the whole grammar of RFC 8259 without parsing.
 *
 * `begin` sets the bytes. Every other method takes the index where its text begins and returns the index after its
 * last byte or, when the text is broken, the bitwise complement of the index where it breaks: a negative number.
 * Nothing is allocated per text. UTF-8 isn't looked at: the caller checks it in one native call.
 *
 * Most bytes of a document stand in strings, so strings are looked through four bytes at a time; it halves the cost.
 */
export class JsonScanner {
  private bytes: Buffer = Buffer.alloc(0);
  private end = 0;
  /** The memory that `bytes` is a part of, from its first byte on: records of one fetch share it, so this is made once a fetch. */
  private words = new DataView(this.bytes.buffer);
  private wordsOffset = 0;
  /** The last index at which four bytes can be read, be they of this text or behind it. */
  private lastWord = 0;

  /** Looks at `bytes[0, end)` from now on. */
  begin(bytes: Buffer, end: number): void {
    if (this.words.buffer !== bytes.buffer) this.words = new DataView(bytes.buffer);
    this.bytes = bytes;
    this.end = end;
    this.wordsOffset = bytes.byteOffset;
    this.lastWord = this.words.byteLength - bytes.byteOffset - 4;
  }

  /** The index of the first byte from `at` on that isn't JSON's white space, or the end. */
  skipSpace(at: number): number {
    const { bytes, end } = this;
    let i = at;
    while (i < end) {
      const byte = bytes[i] as number;
      if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) break;
      i++;
    }
    return i;
  }

  /** The index of the first quote, backslash or control from `at` on, or the end. */
  plainTextEnd(at: number): number {
    const { words, wordsOffset, lastWord, end } = this;
    let i = at;
    while (i <= lastWord) {
      const word = words.getInt32(wordsOffset + i, true);
      const quotes = word ^ 0x22222222;
      const backslashes = word ^ 0x5c5c5c5c;
      // The lowest bit that is set marks the first byte that is zero in `quotes` or `backslashes`, or below 0x20 in `word`.
      const marks =
        (((quotes - 0x01010101) & ~quotes) |
          ((backslashes - 0x01010101) & ~backslashes) |
          ((word - 0x20202020) & ~word)) &
        0x80808080;
      if (marks !== 0) {
        i += (31 - Math.clz32(marks & -marks)) >> 3;
        return i < end ? i : end;
      }
      i += 4;
    }
    if (i >= end) return end;
    const { bytes } = this;
    while (i < end && ENDS_RUN[bytes[i] as number] === 0) i++;
    return i;
  }

  /** The rest of a string; `at` is the index after its opening quote, or anywhere between two of its characters. */
  skipString(at: number): number {
    const { bytes, end } = this;
    let i = this.plainTextEnd(at);
    for (;;) {
      if (i >= end) return ~end;
      const byte = bytes[i] as number;
      if (byte === QUOTE) return i + 1;
      if (byte !== BACKSLASH) return ~i;
      i = this.skipEscape(i);
      if (i < 0) return i;
      i = this.plainTextEnd(i);
    }
  }

  /**
   * Any value that nests at most `MAX_JSON_DEPTH` deep; `at` is the index of its first byte.
   *
   * One loop with a stack of its own rather than a function per kind of value: calls cost a fifth of the whole.
   * Each turn takes one value, or one key with its colon, and then all that closes behind it.
   */
  skipValue(at: number): number {
    const { bytes, end, words, wordsOffset, lastWord } = this;
    let i = at;
    let depth = 0;
    let isInObject = false;
    let isKeyNext = false;
    for (;;) {
      let byte = i < end ? (bytes[i] as number) : 0;
      if (byte === QUOTE) {
        i++;
        while (i <= lastWord) {
          // The same as in plainTextEnd, by hand: V8 doesn't inline it here, and this is where the time goes.
          const word = words.getInt32(wordsOffset + i, true);
          const quotes = word ^ 0x22222222;
          const backslashes = word ^ 0x5c5c5c5c;
          const marks =
            (((quotes - 0x01010101) & ~quotes) |
              ((backslashes - 0x01010101) & ~backslashes) |
              ((word - 0x20202020) & ~word)) &
            0x80808080;
          if (marks !== 0) {
            i += (31 - Math.clz32(marks & -marks)) >> 3;
            break;
          }
          i += 4;
        }
        if (i < end && bytes[i] === QUOTE) {
          i++;
        } else {
          i = this.skipString(i);
          if (i < 0) return i;
        }
        if (isKeyNext) {
          if (i < end && (bytes[i] as number) <= SPACE) i = this.skipSpace(i);
          if (i >= end || bytes[i] !== COLON) return ~i;
          i++;
          if (i < end && (bytes[i] as number) <= SPACE) i = this.skipSpace(i);
          isKeyNext = false;
          continue;
        }
      } else if (isKeyNext) {
        return ~i;
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        if (depth === MAX_JSON_DEPTH) return ~i;
        OUTER_IS_OBJECT[depth++] = isInObject ? 1 : 0;
        isInObject = byte === OPEN_BRACE;
        i++;
        if (i < end && (bytes[i] as number) <= SPACE) i = this.skipSpace(i);
        if (i >= end) return ~i;
        if (bytes[i] !== (isInObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
          isKeyNext = isInObject;
          continue;
        }
        i++;
        isInObject = OUTER_IS_OBJECT[--depth] === 1;
      } else {
        i = this.skipScalar(i);
        if (i < 0) return i;
      }
      for (;;) {
        if (depth === 0) return i;
        byte = i < end ? (bytes[i] as number) : 0;
        if (byte <= SPACE) {
          i = this.skipSpace(i);
          byte = i < end ? (bytes[i] as number) : 0;
        }
        if (byte === COMMA) {
          i++;
          if (i < end && (bytes[i] as number) <= SPACE) i = this.skipSpace(i);
          isKeyNext = isInObject;
          break;
        }
        if (byte !== (isInObject ? CLOSE_BRACE : CLOSE_BRACKET)) return ~i;
        i++;
        isInObject = OUTER_IS_OBJECT[--depth] === 1;
      }
    }
  }

  /** A number, true, false or null. */
  private skipScalar(at: number): number {
    const { bytes, end } = this;
    const byte = at < end ? (bytes[at] as number) : 0;
    if (byte === LETTER_N) return this.skipLiteral(at, NULL);
    if (byte === LETTER_T) return this.skipLiteral(at, TRUE);
    if (byte === LETTER_F) return this.skipLiteral(at, FALSE);
    if (byte === MINUS || (byte >= ZERO && byte <= NINE)) return this.skipNumber(at);
    return ~at;
  }

  private skipNumber(at: number): number {
    const { bytes, end } = this;
    let i = bytes[at] === MINUS ? at + 1 : at;
    if (i < end && bytes[i] === ZERO) {
      i++;
    } else {
      i = this.skipDigits(i);
      if (i < 0) return i;
    }
    if (i < end && bytes[i] === DOT) {
      i = this.skipDigits(i + 1);
      if (i < 0) return i;
    }
    if (i < end && ((bytes[i] as number) | 0x20) === LETTER_E) {
      i++;
      if (i < end && (bytes[i] === PLUS || bytes[i] === MINUS)) i++;
      i = this.skipDigits(i);
    }
    return i;
  }

  /** One digit or more. */
  private skipDigits(at: number): number {
    const { bytes, end } = this;
    let i = at;
    while (i < end) {
      const byte = bytes[i] as number;
      if (byte < ZERO || byte > NINE) break;
      i++;
    }
    return i === at ? ~i : i;
  }

  private skipEscape(at: number): number {
    const { bytes, end } = this;
    if (at + 1 >= end) return ~end;
    const byte = bytes[at + 1] as number;
    if (SHORT_ESCAPE[byte] === 1) return at + 2;
    if (byte !== LETTER_U) return ~(at + 1);
    for (let i = at + 2; i < at + 6; i++) {
      if (i >= end || HEX_DIGIT[bytes[i] as number] === 0) return ~i;
    }
    return at + 6;
  }

  private skipLiteral(at: number, literal: Buffer): number {
    const { bytes, end } = this;
    for (let i = 0; i < literal.length; i++) {
      if (at + i >= end || bytes[at + i] !== literal[i]) return ~(at + i);
    }
    return at + literal.length;
  }
}

/** Whether the number at `[start, end)` is written without fraction and exponent. */
export function isJsonInteger(bytes: Buffer, start: number, end: number): boolean {
  for (let i = bytes[start] === MINUS ? start + 1 : start; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte < ZERO || byte > NINE) return false;
  }
  return true;
}

function tableOf(characters: string): Uint8Array {
  const table = new Uint8Array(256);
  for (const byte of Buffer.from(characters)) table[byte] = 1;
  return table;
}
