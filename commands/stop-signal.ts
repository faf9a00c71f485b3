/** The parts of `process` that signals need. */
export interface SignalSource {
  on(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
  off(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
}

export interface StopSignal extends Disposable {
  /** Aborts with the first SIGTERM or SIGINT, or with `stop`. */
  readonly signal: AbortSignal;
  stop(): void;
}

/** A stop that takes longer than this is forced (CONTRACT: DELIVERY_SHUTDOWN_SECONDS). */
const FORCED_AFTER_MS = 25_000;

/**
 * Turns SIGTERM and SIGINT into an `AbortSignal`. A second one, or 25 s after the first, calls `force`, which is
 * expected to end the process.
 */
export function listenForStop(source: SignalSource, force: () => void): StopSignal {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onSignal = (): void => {
    if (controller.signal.aborted) force();
    else {
      timer = setTimeout(force, FORCED_AFTER_MS);
      timer.unref();
      controller.abort(new Error('stopped by a signal'));
    }
  };
  source.on('SIGTERM', onSignal);
  source.on('SIGINT', onSignal);
  return {
    signal: controller.signal,
    stop: () => {
      controller.abort(new Error('stopped'));
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      source.off('SIGTERM', onSignal);
      source.off('SIGINT', onSignal);
    },
  };
}
