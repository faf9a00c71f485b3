import { pino, type Logger as PinoLogger } from 'pino';
import { prettyFactory } from 'pino-pretty';
import type { Logger } from '../streams/logger.ts';
import { redactFields, redactText } from './redaction.ts';
import type { LogSettings } from './settings.ts';

/** Where lines go: `process.stdout`, or what a test puts in its place. */
export interface LogOutput {
  readonly isTTY?: boolean;
  /** Bytes taken and not yet written, because the reader is slow. */
  readonly writableLength: number;
  write(line: string, done?: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** The program's log. */
export interface Logging {
  readonly logger: Logger;
  /** Lines left out because nobody read the output. */
  logsDropped(): number;
  /** Resolves when everything is written, at the latest after `timeoutMs`: a reader that hangs can't stop the exit. */
  flush(timeoutMs: number): Promise<void>;
}

const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;

/**
 * Opens the log: one JSON object a line with `time` (RFC 3339, UTC), `level` and `msg`, or pretty lines for people.
 * Secrets are taken out of fields, errors and messages. An output that isn't read costs 4 MiB at most, then lines
 * are dropped and counted.
 */
export function openLogging(settings: LogSettings, output: LogOutput): Logging {
  const sink = new BoundedOutput(output);
  const isPretty = settings.format === 'pretty' || (settings.format === 'auto' && output.isTTY === true);
  const prettify = isPretty
    ? prettyFactory({ colorize: output.isTTY === true, translateTime: 'SYS:HH:MM:ss.l', singleLine: true })
    : null;
  const lines = pino(
    {
      level: settings.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
    },
    {
      write(line: string): void {
        sink.write(prettify === null ? line : (prettify(line) ?? ''));
      },
    },
  );
  return {
    logger: new RedactingLogger(lines),
    logsDropped: () => sink.dropped,
    flush: (timeoutMs) => sink.flush(timeoutMs),
  };
}

/** Passes lines on while the output is read, and counts those it had to leave out. */
class BoundedOutput {
  readonly #output: LogOutput;
  #isBroken = false;
  dropped = 0;

  constructor(output: LogOutput) {
    this.#output = output;
    // The reader went away: the program's work goes on without its log.
    output.on('error', () => {
      this.#isBroken = true;
    });
  }

  write(line: string): void {
    if (this.#isBroken || this.#output.writableLength + line.length > MAX_BUFFERED_BYTES) this.dropped++;
    else this.#output.write(line);
  }

  async flush(timeoutMs: number): Promise<void> {
    if (this.#isBroken || this.#output.writableLength === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    this.#output.write('', resolve);
    await promise;
    clearTimeout(timer);
  }
}

class RedactingLogger implements Logger {
  readonly #lines: PinoLogger;

  constructor(lines: PinoLogger) {
    this.#lines = lines;
  }

  debug(fields: object, msg: string): void {
    if (this.#lines.isLevelEnabled('debug')) this.#lines.debug(redactFields(fields), redactText(msg));
  }

  info(fields: object, msg: string): void {
    if (this.#lines.isLevelEnabled('info')) this.#lines.info(redactFields(fields), redactText(msg));
  }

  warn(fields: object, msg: string): void {
    if (this.#lines.isLevelEnabled('warn')) this.#lines.warn(redactFields(fields), redactText(msg));
  }

  error(fields: object, msg: string): void {
    this.#lines.error(redactFields(fields), redactText(msg));
  }

  child(fields: object): Logger {
    return new RedactingLogger(this.#lines.child(redactFields(fields)));
  }
}
