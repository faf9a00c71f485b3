import { expect, jest, test } from '@jest/globals';
import { runDemo, type DemoOptions } from '../../commands/demo.ts';
import { loadSettings } from '../../config/load.ts';
import type { Logging } from '../../config/logging.ts';
import { startDemoDestinations } from '../../local/demo-destinations.ts';
import { brokersUnderTest, uniqueTopic } from '../support/kafka.ts';

jest.setTimeout(120_000);

const NAMED_TOPICS = [
  'TOPICS_MUTATIONS',
  'TOPICS_SNAPSHOT',
  'TOPICS_REPLICATION_CONFIG',
  'TOPICS_REPLICATION_CREDENTIALS',
  'TOPICS_REPLICATION_STATUS',
  'TOPICS_INITIAL_SYNC_REQUESTS',
  'TOPICS_INITIAL_SYNC_EXECUTIONS',
  'TOPICS_DEAD_LETTERS',
];

/** Runs `demo --once` on the run's broker with topics of its own. */
async function demoOnce(
  startDestinations?: DemoOptions['startDestinations'],
): Promise<{ readonly code: number; readonly output: string }> {
  const topics = Object.fromEntries(NAMED_TOPICS.map((name) => [name, uniqueTopic('demo')]));
  const env = { ...topics, KAFKA_BROKERS: brokersUnderTest().join(','), HTTP_PORT: '0', LOG_LEVEL: 'error' };
  const settings = loadSettings({ env, flags: {}, readFile: () => '' });
  let output = '';
  const out = {
    write: (text: string) => {
      output += text;
      return true;
    },
    once: () => undefined,
  };
  const options = { settings, logging: LOGGING, isOnce: true, out };
  const code = await runDemo(
    startDestinations ? { ...options, startDestinations } : options,
    new AbortController().signal,
  );
  return { code, output };
}

const LOGGING: Logging = {
  logger: {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
    child: () => LOGGING.logger,
  },
  logsDropped: () => 0,
  flush: () => Promise.resolve(),
};

/** Destinations of which one stores one message with one bit turned. */
function withWrongByte(id: string): typeof startDemoDestinations {
  return async (...args) => {
    const cloud = await startDemoDestinations(...args);
    const destinations = cloud.destinations.map((destination) => {
      if (destination.id !== id) return destination;
      const arrived = async (): Promise<readonly string[]> =>
        (await destination.arrived()).map((message, index) => (index === 700 ? turnBit(message) : message));
      return { ...destination, arrived };
    });
    return { ...cloud, destinations, [Symbol.asyncDispose]: () => cloud[Symbol.asyncDispose]() };
  };
}

function turnBit(message: string): string {
  const bytes = Buffer.from(message, 'latin1');
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  return bytes.toString('latin1');
}

test('the demo delivers its sample to all three destinations and ends with exit code 0', async () => {
  const { code, output } = await demoOnce();
  expect(output).toContain('Everything arrived, byte for byte and in order.');
  expect(code).toBe(0);
  for (const id of ['demo-file', 'demo-pubsub', 'demo-event-hubs']) {
    expect(output).toMatch(new RegExp(`${id}: 2000 operations, each in its bytes and order, 0 sent twice`));
    expect(output).toContain(`The first messages at ${id}:\n  {"ts":`);
  }
});

test.each(['demo-file', 'demo-pubsub', 'demo-event-hubs'])(
  'one wrong bit at %s makes the demo end with exit code 1 and say where',
  async (id) => {
    const { code, output } = await demoOnce(withWrongByte(id));
    expect(code).toBe(1);
    expect(output).toContain(`${id}: of 2000 operations 1 lost, 1 unexpected,`);
    expect(output).toContain('The demo FAILED: see above.');
    expect(output).not.toContain('Everything arrived');
  },
);
