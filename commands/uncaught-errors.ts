/** The parts of `process` that tell of errors which nobody caught. */
export interface UncaughtErrorSource {
  on(event: UncaughtEvent, listener: (error: unknown) => void): unknown;
  off(event: UncaughtEvent, listener: (error: unknown) => void): unknown;
}

type UncaughtEvent = 'uncaughtException' | 'unhandledRejection';

/** Hands over what would end the process with Node's own words, which nobody redacts, until it is disposed. */
export function listenForUncaughtErrors(
  source: UncaughtErrorSource,
  onError: (error: unknown) => void,
): Disposable {
  const listener = (error: unknown): void => {
    onError(error);
  };
  source.on('uncaughtException', listener);
  source.on('unhandledRejection', listener);
  return {
    [Symbol.dispose]() {
      source.off('uncaughtException', listener);
      source.off('unhandledRejection', listener);
    },
  };
}
