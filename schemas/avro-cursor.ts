import { isUtf8 } from 'node:buffer';
import { isEmptyOnWire, type WireType } from './avro-wire-type.ts';

/** Nesting beyond this is refused rather than followed: recursive types nest as deep as their data says. */
const MAX_DEPTH = 256;
/** Below this a loop over a string's bytes beats the native check. */
const SHORT_TEXT = 64;

/**
 * A cursor over an Avro datum that reads numbers and ranges, and passes over values of any type.
 *
 * Every read is checked against the end. A method that fails returns false, or leaves `isBroken` true, and `at` stays
 * where the datum breaks. Strings must be UTF-8.
 */
export class AvroCursor {
  bytes: Buffer = Buffer.alloc(0);
  at = 0;
  end = 0;
  isBroken = false;
  /** The range of the last string or bytes. */
  start = 0;
  stop = 0;

  begin(bytes: Buffer, at: number): void {
    this.bytes = bytes;
    this.at = at;
    this.end = bytes.length;
    this.isBroken = false;
  }

  /** A zigzag varint that is a length, an index or a count: exact within 2^53, else broken. */
  readInteger(): number {
    const { bytes, end } = this;
    let i = this.at;
    if (i < end) {
      const byte = bytes[i] as number;
      if (byte < 0x80) {
        this.at = i + 1;
        return (byte >>> 1) ^ -(byte & 1);
      }
    }
    let raw = 0;
    let factor = 1;
    while (i < end) {
      const byte = bytes[i++] as number;
      raw += (byte & 0x7f) * factor;
      factor *= 128;
      if (byte < 0x80) {
        if (raw > Number.MAX_SAFE_INTEGER) break;
        this.at = i;
        return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2;
      }
      if (factor > 2 ** 56) break;
    }
    this.isBroken = true;
    return 0;
  }

  /** A zigzag varint of up to 64 bits. Exact, and slow: for the rare numbers beyond `readInteger`. */
  readLong(): bigint {
    let raw = 0n;
    for (let shift = 0n; shift < 70n && this.at < this.end; shift += 7n) {
      const byte = this.bytes[this.at++] as number;
      raw |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (raw >> 64n !== 0n) break;
        return (raw >> 1n) ^ -(raw & 1n);
      }
    }
    this.isBroken = true;
    return 0n;
  }

  /** Sets `start` and `stop` to the contents of a string or bytes. */
  readRange(): boolean {
    const before = this.at;
    const length = this.readInteger();
    if (this.isBroken || length < 0 || length > this.end - this.at) return this.fail(before);
    this.start = this.at;
    this.stop = this.at + length;
    this.at = this.stop;
    return true;
  }

  /** As `readRange`; the contents must be UTF-8. */
  readText(): boolean {
    return this.readRange() && (this.isText() || this.fail(this.start));
  }

  /** Whether the last range is UTF-8. */
  isText(): boolean {
    const { bytes, start, stop } = this;
    if (stop - start <= SHORT_TEXT) {
      let i = start;
      while (i < stop && (bytes[i] as number) < 0x80) i++;
      if (i === stop) return true;
    }
    return isUtf8(bytes.subarray(start, stop));
  }

  /** The index of a union's branch or an enum's symbol, one of `count`; -1 when broken. */
  readIndex(count: number): number {
    const before = this.at;
    const index = this.readInteger();
    if (!this.isBroken && index >= 0 && index < count) return index;
    this.fail(before);
    return -1;
  }

  /** Passes over one value of the type. */
  skip(type: WireType, depthLeft = MAX_DEPTH): boolean {
    switch (type.kind) {
      case 'null':
        return true;
      case 'boolean':
        return this.at < this.end && (this.bytes[this.at] as number) <= 1
          ? this.skipBytes(1)
          : this.fail(this.at);
      case 'varint':
        return this.skipVarint();
      case 'float':
        return this.skipBytes(4);
      case 'double':
        return this.skipBytes(8);
      case 'fixed':
        return this.skipBytes(type.size);
      case 'bytes':
        return this.readRange();
      case 'string':
        return this.readText();
      case 'enum':
        return this.readIndex(type.size) >= 0;
      case 'union': {
        const branch = type.branches[this.readIndex(type.branches.length)];
        return branch !== undefined && this.skip(branch, depthLeft);
      }
      case 'record':
        if (depthLeft === 0) return this.fail(this.at);
        for (const field of type.fields) {
          if (!this.skip(field.type, depthLeft - 1)) return false;
        }
        return true;
      case 'array':
      case 'map':
        return depthLeft === 0 ? this.fail(this.at) : this.skipBlocks(type, depthLeft - 1);
    }
  }

  /** Says that the datum breaks at `at`. */
  fail(at: number): false {
    this.isBroken = true;
    this.at = at;
    return false;
  }

  /** Items in blocks; a negative count is followed by the block's size, which is checked rather than trusted. */
  private skipBlocks(type: WireType, depthLeft: number): boolean {
    const item = type.branches[0] as WireType;
    for (;;) {
      const before = this.at;
      let count = this.readInteger();
      if (this.isBroken) return this.fail(before);
      if (count === 0) return true;
      let blockEnd = -1;
      if (count < 0) {
        count = -count;
        const size = this.readInteger();
        if (this.isBroken || size < 0 || size > this.end - this.at) return this.fail(before);
        blockEnd = this.at + size;
      }
      if (type.kind === 'array' && isEmptyOnWire(item)) {
        if (blockEnd >= 0 && blockEnd !== this.at) return this.fail(before);
        continue;
      }
      // A count beyond the bytes that are left fails at the end of the bytes: each turn takes one or more.
      for (let i = 0; i < count; i++) {
        if (type.kind === 'map' && !this.readText()) return false;
        if (!this.skip(item, depthLeft)) return false;
      }
      if (blockEnd >= 0 && blockEnd !== this.at) return this.fail(before);
    }
  }

  private skipVarint(): boolean {
    const { bytes, end } = this;
    const before = this.at;
    const last = Math.min(end, before + 10);
    for (let i = before; i < last; i++) {
      if ((bytes[i] as number) < 0x80) {
        this.at = i + 1;
        return true;
      }
    }
    return this.fail(before);
  }

  private skipBytes(count: number): boolean {
    if (count > this.end - this.at) return this.fail(this.at);
    this.at += count;
    return true;
  }
}
