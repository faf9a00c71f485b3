/** One unary gRPC call, its request already encoded. */
export interface UnaryCall {
  /** `/google.pubsub.v1.Publisher/Publish` and the like. */
  readonly path: string;
  /** The header `x-goog-request-params`, by which Google's front ends route the call. */
  readonly routing: string;
  /** The request's frame, in pieces: see framed-request.ts. */
  readonly request: readonly Buffer[];
}

/**
 * Carries encoded requests to Pub/Sub over an authenticated connection. It retries nothing and knows nothing of
 * messages, so that another transport (plain HTTP/2, a recording one) can take its place.
 */
export interface PublishTransport {
  /**
   * Resolves with the response's bytes; from then on the request's bytes aren't read any more. Rejects with what went
   * wrong, for `classify-error.ts` to judge; the request's bytes may then still be read for a moment.
   * When `signal` aborts, the call is cancelled and rejects.
   */
  call(call: UnaryCall, signal: AbortSignal): Promise<Buffer>;
  /** Idempotent. Cancels what is in flight and closes every connection. */
  close(): Promise<void>;
}
