/** The parts of `process` that signals need. */
export interface SignalSource {
  on(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
  off(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
}

export interface StopSignal extends Disposable {
  /** Aborts with the first SIGTERM or SIGINT, or with `stop`. */
  readonly signal: AbortSignal;
  /** Aborts when the end is forced, its reason in words, right before the process ends: the last chance for a line. */
  readonly forced: AbortSignal;
  /** As the first signal does. */
  stop(): void;
}

/** A stop that takes longer than this is forced (CONTRACT: DELIVERY_SHUTDOWN_SECONDS). */
const FORCED_AFTER_MS = 25_000;

/**
 * Turns SIGTERM and SIGINT into an `AbortSignal`. A signal after the stop began, or 25 s after that, calls `force`,
 * which is expected to end the process.
 */
export function listenForStop(source: SignalSource, force: () => void): StopSignal {
  const stopping = new AbortController();
  const forcing = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const forceBecause = (reason: string): void => {
    forcing.abort(new Error(reason));
    force();
  };
  const begin = (reason: string): void => {
    if (stopping.signal.aborted) return;
    timer = setTimeout(
      forceBecause,
      FORCED_AFTER_MS,
      `the stop took longer than ${FORCED_AFTER_MS / 1_000} s`,
    );
    timer.unref();
    stopping.abort(new Error(reason));
  };
  const onSignal = (): void => {
    if (stopping.signal.aborted) forceBecause('a second signal came');
    else begin('stopped by a signal');
  };
  source.on('SIGTERM', onSignal);
  source.on('SIGINT', onSignal);
  return {
    signal: stopping.signal,
    forced: forcing.signal,
    stop: () => {
      begin('stopped');
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      source.off('SIGTERM', onSignal);
      source.off('SIGINT', onSignal);
    },
  };
}
