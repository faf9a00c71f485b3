/*
 * A gRPC message travels in a frame: a byte that says whether it is compressed, its length in four bytes, the message.
 *
 * grpc-js makes that frame in its compression filter, by copying every message into a fresh buffer. At a megabyte a
 * request this costs more than the rest of the call: fresh memory means page faults, and garbage collections that V8
 * starts for external memory. Here a request is a frame already, and the filter of its channel lets it pass as it is.
 * It may also be in pieces, so that what requests have in common is sent from one place (shared-messages.ts).
 * Both together take a third of the CPU time off a message of 1 KB at 16 replications, and half of the memory.
 *
 * The filter is no public part of grpc-js. Where a channel doesn't look as in the versions known here, it stays as it
 * is and frames by itself: slower, never wrong. A test sees to it that the installed version is a known one.
 */
import type { Client, experimental } from '@grpc/grpc-js';

type Channel = ReturnType<Client['getChannel']>;
type Filter = experimental.Filter;
type FilterFactory = experimental.FilterFactory<Filter>;

const FRAME_HEADER_BYTES = 5;

const NOT_COMPRESSED = 0;

/** The frame of a message, given in pieces. The first piece is copied, the others are sent from where they are. */
export function frameOf(first: Uint8Array, ...others: Buffer[]): readonly Buffer[] {
  const head = Buffer.allocUnsafe(FRAME_HEADER_BYTES + first.length);
  head[0] = NOT_COMPRESSED;
  head.writeUInt32BE(
    others.reduce((sum, piece) => sum + piece.length, first.length),
    1,
  );
  head.set(first, FRAME_HEADER_BYTES);
  return [head, ...others];
}

/** The message in a frame, copied. */
export function messageIn(frame: readonly Buffer[]): Buffer {
  return Buffer.concat(frame).subarray(FRAME_HEADER_BYTES);
}

/**
 * From now on what is written to a call on this channel goes out as it is: the caller writes a frame, in any pieces.
 * Returns false, and changes nothing, when the channel isn't built as known here.
 */
export function sendFramesUntouched(channel: Channel): boolean {
  const factories = filterFactoriesOf(channel);
  const compression = factories?.[0];
  if (factories?.length !== 1 || compression?.constructor.name !== 'CompressionFilterFactory') return false;
  factories[0] = { createFilter: () => new UntouchedRequests(compression.createFilter()) };
  return true;
}

/** The compression filter for all but requests. Those are the sender's own, who compresses nothing. */
class UntouchedRequests implements Filter {
  readonly #compression: Filter;

  constructor(compression: Filter) {
    this.#compression = compression;
  }

  sendMetadata(metadata: Parameters<Filter['sendMetadata']>[0]): ReturnType<Filter['sendMetadata']> {
    return this.#compression.sendMetadata(metadata);
  }

  receiveMetadata(metadata: Parameters<Filter['receiveMetadata']>[0]): ReturnType<Filter['receiveMetadata']> {
    return this.#compression.receiveMetadata(metadata);
  }

  sendMessage(frame: Parameters<Filter['sendMessage']>[0]): ReturnType<Filter['sendMessage']> {
    return frame;
  }

  receiveMessage(message: Parameters<Filter['receiveMessage']>[0]): ReturnType<Filter['receiveMessage']> {
    return this.#compression.receiveMessage(message);
  }

  receiveTrailers(status: Parameters<Filter['receiveTrailers']>[0]): ReturnType<Filter['receiveTrailers']> {
    return this.#compression.receiveTrailers(status);
  }
}

/** The list that every call of the channel makes its filters from. */
function filterFactoriesOf(channel: Channel): FilterFactory[] | null {
  const { internalChannel } = channel as unknown as {
    readonly internalChannel?: { readonly filterStackFactory?: { readonly factories?: unknown } };
  };
  const factories = internalChannel?.filterStackFactory?.factories;
  return Array.isArray(factories) ? (factories as FilterFactory[]) : null;
}
