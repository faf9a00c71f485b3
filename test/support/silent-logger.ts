import type { Logger } from '../../streams/logger.ts';

const nothing = (): void => undefined;

/** Logs nowhere. */
export const silentLogger: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => silentLogger,
};
