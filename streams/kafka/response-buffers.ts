const LEAST_BYTES = 256 * 1024;
const STEP_BYTES = 64 * 1024;
/** A response doesn't get a buffer that is much too large for it. */
const MOST_TIMES = 2;
const MOST_FREE = 16;

/**
 * The buffers of large responses, to be used again. Fresh memory costs several times what reading into it does, and as
 * garbage outside of V8's heap it brings on full collections.
 *
 * A free buffer is held by a weak reference: those that nobody uses go with the next full collection, so they count in
 * no budget. Responses that nobody gives back, those of the group's consumer, may take free ones too.
 */
export class ResponseBuffers {
  readonly #lent = new WeakSet<ArrayBufferLike>();
  #free: WeakRef<ArrayBufferLike>[] = [];

  /** A buffer of that size, with anything in it. */
  take(size: number): Buffer {
    if (size < LEAST_BYTES) return Buffer.allocUnsafeSlow(size);
    const bytes = this.#takeFree(size) ?? newBytes(size);
    this.#lent.add(bytes);
    return Buffer.from(bytes, 0, size);
  }

  /** Nothing looks at the bytes any more, and nobody else has views on them. Does nothing when they aren't from here. */
  giveBack(bytes: ArrayBufferLike): void {
    if (!this.#lent.delete(bytes)) return;
    this.#forgetCollected();
    if (this.#free.length < MOST_FREE) this.#free.push(new WeakRef(bytes));
  }

  #takeFree(size: number): ArrayBufferLike | null {
    this.#forgetCollected();
    const at = this.#free.findIndex((reference) => isOfUse(reference.deref(), size));
    const [found] = at < 0 ? [] : this.#free.splice(at, 1);
    return found?.deref() ?? null;
  }

  #forgetCollected(): void {
    this.#free = this.#free.filter((reference) => reference.deref() !== undefined);
  }
}

function isOfUse(bytes: ArrayBufferLike | undefined, size: number): boolean {
  return bytes !== undefined && bytes.byteLength >= size && bytes.byteLength <= size * MOST_TIMES;
}

/** Of a size that responses of the same kind, which differ by some bytes, have too. */
function newBytes(size: number): ArrayBufferLike {
  return Buffer.allocUnsafeSlow(Math.ceil(size / STEP_BYTES) * STEP_BYTES).buffer;
}

/** Of all connections: kafkajs makes them, and a response is known by its connection alone. */
export const responseBuffers = new ResponseBuffers();
