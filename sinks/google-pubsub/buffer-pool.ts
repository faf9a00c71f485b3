/** Sizes that requests fall into: few records, a short linger, a full segment of 1 KB records, Pub/Sub's maximum. */
const SIZE_CLASSES = [16_384, 131_072, 1_310_720, 10_000_000] as const;

/** How many idle bytes each class may hold. */
const MAX_IDLE_BYTES = 20_000_000;

/**
 * Lends buffers for requests. A fresh megabyte per request costs more in garbage collection and page faults than
 * everything else in a request together.
 */
export class BufferPool {
  readonly #idle: readonly Buffer[][] = SIZE_CLASSES.map(() => []);

  /** A buffer of at least `byteLength` bytes, with anything in it. */
  take(byteLength: number): Buffer {
    const sizeClass = SIZE_CLASSES.findIndex((bytes) => bytes >= byteLength);
    const bytes = SIZE_CLASSES[sizeClass];
    if (bytes === undefined) return Buffer.allocUnsafeSlow(byteLength);
    return this.#idle[sizeClass]?.pop() ?? Buffer.allocUnsafeSlow(bytes);
  }

  /** Takes back a buffer that nobody reads any more. One that is never given back is simply collected. */
  giveBack(buffer: Buffer): void {
    const sizeClass = SIZE_CLASSES.findIndex((bytes) => bytes === buffer.length);
    const idle = this.#idle[sizeClass];
    if (idle !== undefined && (idle.length + 1) * buffer.length <= MAX_IDLE_BYTES) idle.push(buffer);
  }
}
