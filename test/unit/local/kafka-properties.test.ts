import { expect, test } from '@jest/globals';
import { serverProperties } from '../../../local/kafka-properties.ts';

const settings = { port: 1, controllerPort: 2, logDirectory: '/data', properties: {} };

test('the broker listens on the loopback address only', () => {
  expect(linesOf(settings)).toContain('listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2');
});

test('given properties win over the development defaults', () => {
  const lines = linesOf({ ...settings, properties: { 'num.io.threads': 9, 'message.max.bytes': 5 } });

  expect(lines).toContain('message.max.bytes=5');
  expect(lines.filter((line) => line.startsWith('num.io.threads='))).toEqual(['num.io.threads=9']);
});

test('a backslash stays a backslash', () => {
  expect(linesOf({ ...settings, logDirectory: 'a\\b' })).toContain('log.dirs=a\\\\b');
});

function linesOf(broker: typeof settings): string[] {
  return serverProperties(broker).split('\n');
}
