import { expect, test } from '@jest/globals';
import { openLogging, type LogOutput } from '../../../config/logging.ts';

/** Keeps what is written; `stall()` makes it an output that nobody reads. */
class RecordingOutput implements LogOutput {
  readonly isTTY: boolean;
  writableLength = 0;
  text = '';
  #isStalled = false;
  #fail: (error: Error) => void = () => undefined;

  constructor(isTTY = false) {
    this.isTTY = isTTY;
  }

  write(line: string, done?: () => void): void {
    if (this.#isStalled) this.writableLength += line.length;
    else {
      this.text += line;
      done?.();
    }
  }

  on(_event: 'error', listener: (error: Error) => void): void {
    this.#fail = listener;
  }

  stall(): void {
    this.#isStalled = true;
  }

  breakPipe(): void {
    this.#fail(new Error('EPIPE'));
  }
}

test('writes one JSON object a line with time, level and msg', () => {
  const output = new RecordingOutput();
  const { logger } = openLogging({ level: 'info', format: 'auto' }, output);

  logger.child({ topic: 't' }).warn({ partition: 3, error: new Error('boom') }, 'held up');
  logger.debug({}, 'not logged');

  const lines = output.text.trimEnd().split('\n');
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    level: 'warn',
    msg: 'held up',
    topic: 't',
    partition: 3,
    error: { message: 'boom' },
  });
  expect(lines[0]).not.toContain('"pid"');
});

test('takes secrets out of messages and of the fields of children', () => {
  const output = new RecordingOutput();
  const { logger } = openLogging({ level: 'debug', format: 'json' }, output);

  logger
    .child({ authorization: 'hunter2' })
    .info({ text: 'SharedAccessKey=hunter2' }, 'Bearer hunter2hunter2');

  expect(output.text).not.toContain('hunter2');
});

test('is pretty on a terminal, unless JSON is asked for', () => {
  const pretty = new RecordingOutput(true);
  const json = new RecordingOutput(true);

  openLogging({ level: 'info', format: 'auto' }, pretty).logger.info({}, 'hello');
  openLogging({ level: 'info', format: 'json' }, json).logger.info({}, 'hello');

  expect(pretty.text).toContain('INFO');
  expect(JSON.parse(json.text)).toMatchObject({ msg: 'hello' });
});

test('drops and counts lines when the output is not read, and still ends', async () => {
  const output = new RecordingOutput();
  const logging = openLogging({ level: 'info', format: 'json' }, output);
  output.stall();
  const text = 'x'.repeat(8_000);

  for (let i = 0; i < 1_000; i++) logging.logger.info({ text }, 'big');
  await logging.flush(1);

  expect(logging.logsDropped()).toBeGreaterThan(400);
  expect(output.writableLength).toBeLessThan(4 * 1024 * 1024);
});

test('goes on without its reader', () => {
  const output = new RecordingOutput();
  const logging = openLogging({ level: 'info', format: 'json' }, output);
  output.breakPipe();

  logging.logger.info({}, 'lost');

  expect(logging.logsDropped()).toBe(1);
});
