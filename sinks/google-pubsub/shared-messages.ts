import type { OperationBatch } from '../sink.ts';
import type { BufferPool } from './buffer-pool.ts';
import { MessagesEncoder } from './publish-request.ts';

/** The encoded `messages` of a request. */
export interface LentMessages {
  readonly bytes: Buffer;
}

interface Entry extends LentMessages {
  readonly data: Buffer;
  readonly start: number;
  readonly count: number;
  readonly hasIds: boolean;
  readonly buffer: Buffer;
  borrowers: number;
  /** A call that failed may still read the bytes for a moment. */
  mayBeRead: boolean;
}

/**
 * Encodes the messages of requests, once for all requests in flight that publish the same operations: the replications
 * of a datamart differ in the topic alone, and mostly send the same records at the same time.
 *
 * Operations are the same when they begin at the same place of the same buffer: as long as a batch is being sent, the
 * bytes of its segment don't change. Nothing is kept beyond that, so there are never more bytes than requests in flight.
 */
export class SharedMessages {
  readonly #buffers: BufferPool;
  readonly #encoder = new MessagesEncoder({ messageId: false });
  readonly #encoderWithIds = new MessagesEncoder({ messageId: true });
  /** By the buffer that the operations lie in. */
  readonly #inFlight = new Map<Buffer, Entry[]>();

  constructor(buffers: BufferPool) {
    this.#buffers = buffers;
  }

  /** The batch's messages, to be given back when its request has ended; null when they exceed `maxBytes`. */
  lend(batch: OperationBatch, hasIds: boolean, maxBytes: number): LentMessages | null {
    const entry = this.#find(batch, hasIds) ?? this.#encode(batch, hasIds, maxBytes);
    if (entry === null || entry.bytes.length > maxBytes) return null;
    entry.borrowers += 1;
    return entry;
  }

  /** The request has ended. `mayBeRead` says that its bytes might be read all the same, as after a cancellation. */
  giveBack(messages: LentMessages, mayBeRead: boolean): void {
    const entry = messages as Entry;
    entry.borrowers -= 1;
    entry.mayBeRead ||= mayBeRead;
    if (entry.borrowers > 0) return;
    const others = this.#inFlight.get(entry.data)?.filter((other) => other !== entry) ?? [];
    if (others.length > 0) this.#inFlight.set(entry.data, others);
    else this.#inFlight.delete(entry.data);
    if (!entry.mayBeRead) this.#buffers.giveBack(entry.buffer);
  }

  #find(batch: OperationBatch, hasIds: boolean): Entry | undefined {
    return this.#inFlight
      .get(batch.data)
      ?.find(
        (entry) => entry.count === batch.count && entry.start === batch.start(0) && entry.hasIds === hasIds,
      );
  }

  #encode(batch: OperationBatch, hasIds: boolean, maxBytes: number): Entry | null {
    const encoder = hasIds ? this.#encoderWithIds : this.#encoder;
    const plan = encoder.plan(batch);
    if (plan.byteLength > maxBytes) return null;
    const buffer = this.#buffers.take(plan.byteLength);
    encoder.write(batch, plan, buffer);
    const entry = {
      data: batch.data,
      start: batch.start(0),
      count: batch.count,
      hasIds,
      buffer,
      bytes: buffer.subarray(0, plan.byteLength),
      borrowers: 0,
      mayBeRead: false,
    };
    const others = this.#inFlight.get(batch.data);
    if (others) others.push(entry);
    else this.#inFlight.set(batch.data, [entry]);
    return entry;
  }
}
