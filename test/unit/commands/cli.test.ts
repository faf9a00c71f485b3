import { expect, test } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { runCli } from '../../../cli.ts';
import type { CliProcess } from '../../../commands/cli-process.ts';
import { RecordedOutput } from '../../support/recorded-output.ts';

interface Run {
  readonly code: number;
  readonly out: string;
  readonly errors: string;
}

async function run(args: readonly string[], env: Record<string, string> = {}): Promise<Run> {
  const stdout = new RecordedOutput();
  const stderr = new RecordedOutput();
  const host: CliProcess = { args, env, stdout, stderr, signals: new EventEmitter(), exit: () => undefined };
  const code = await runCli(host);
  return { code, out: stdout.text, errors: stderr.text };
}

const COMMANDS = [
  ['start'],
  ['demo'],
  ['kafka'],
  ['topics', 'create'],
  ['generate'],
  ['dead-letters', 'list'],
  ['dead-letters', 'redrive'],
  ['partitions', 'adopt'],
  ['snapshot', 'rebuild'],
  ['snapshot', 'verify'],
  ['replications', 'list'],
  ['replications', 'create'],
  ['replications', 'apply'],
  ['credentials', 'rotate'],
  ['doctor'],
  ['tokens', 'create'],
];

test.each(COMMANDS)('answers `%s %s --help`, and lists the settings', async (...command) => {
  const { code, out } = await run([...command.filter(Boolean), '--help']);

  expect(code).toBe(0);
  expect(out).toContain('--config <file>');
  expect(out).toContain('--json');
  expect(out).toContain('--yes');
  expect(out).toContain('--kafka-brokers');
  expect(out).toContain('--log-format');
});

test('prints the version of the package', async () => {
  expect(await run(['--version'])).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
  });
});

test.each([
  [[], 'Usage:'],
  [['strat'], 'Did you mean start?'],
  [['topics', 'craete'], 'Did you mean create?'],
  [['start', '--kafka-broker', 'a:1'], 'Did you mean --kafka-brokers?'],
  [['generate', '--cuont', '3'], 'Did you mean --count?'],
  [['start', 'now'], 'too many arguments'],
  [['kafka', '--port', '99999'], 'Allowed is a whole number from 0 to 65535'],
  [['generate', '--rate', 'fast'], 'Allowed is a number per second'],
  [['generate', '--encoding', 'xml'], 'Allowed choices are json, avro'],
  [['generate', '--stdout', '--encoding', 'avro'], '--stdout writes JSON'],
  [['dead-letters', 'list', '--reason', 'bad'], 'Allowed choices are malformed_envelope'],
  [['dead-letters', 'list', '--since', 'yesterday'], 'Allowed is a time as'],
  [['dead-letters', 'redrive', '--kafka-brokers', 'a:1'], 'there is no terminal to ask on'],
  [['replications', 'creat'], 'Did you mean create?'],
  [['completion', 'cmd'], 'Allowed choices are bash, zsh, fish'],
])('ends with 2 and says what is wrong with %j', async (args, expected) => {
  const { code, errors } = await run(args);

  expect(code).toBe(2);
  expect(errors).toContain(expected);
});

test.each([
  [['start'], 'demo'],
  [['topics', 'create'], 'kafka'],
  [['generate'], '--stdout'],
  [['dead-letters', 'list'], 'kafka'],
  [['dead-letters', 'redrive', '--yes'], 'kafka'],
  [['credentials', 'rotate'], 'kafka'],
  [['doctor'], 'kafka'],
])('%j without brokers ends with 2 and a hint', async (args, hint) => {
  const { code, errors } = await run(args);

  expect(code).toBe(2);
  expect(errors).toContain('KAFKA_BROKERS (default): not set');
  expect(errors).toContain(hint);
});

test('reports wrong settings of all sources at once', async () => {
  const { code, errors } = await run(['start', '--http-port', '70000'], { LOG_LEVEL: 'loud' });

  expect(code).toBe(2);
  expect(errors.trimEnd().split('\n')).toHaveLength(2);
  expect(errors).toContain('HTTP_PORT (flag --http-port)');
  expect(errors).toContain('LOG_LEVEL (environment variable LOG_LEVEL)');
});

test('needs the key that credentials are to be put under', async () => {
  const { code, errors } = await run(['credentials', 'rotate', '--kafka-brokers', 'a:1']);

  expect(code).toBe(2);
  expect(errors).toContain('CREDENTIALS_KEY (default): not set');
});

test('needs a registry to register a schema', async () => {
  const { code, errors } = await run(['topics', 'create', '--register-schema', '--kafka-brokers', 'a:1']);

  expect(code).toBe(2);
  expect(errors).toContain('KAFKA_SCHEMA_REGISTRY_URL (default): not set');
});

test('takes every kind of setting as a flag', async () => {
  const flags = [
    '--kafka-ssl',
    '--sinks-allow-emulators',
    'false',
    '--roles',
    'api',
    '--credentials-key-file',
    '/none',
  ];

  const { code, errors } = await run(['generate', '--stdout', '--count', '1', ...flags]);

  expect(code).toBe(2);
  expect(errors).toBe(
    'CREDENTIALS_KEY_FILE (flag --credentials-key-file): reading /none: no such file; allowed is a readable file\n',
  );
});

test('writes the same sample lines for the same seed', async () => {
  const args = ['generate', '--stdout', '--count', '20', '--seed', '7'];

  const [one, other] = [await run(args), await run(args)];

  expect(one).toMatchObject({ code: 0, errors: expect.stringContaining('20 mutations') });
  expect(one.out).toBe(other.out);
  expect(one.out.trimEnd().split('\n')).toHaveLength(20);
});

test.each([
  [['--name', 'acme'], '--datamarts'],
  [['--datamarts', '1649'], '--name'],
  [['--name', 'acme', '--datamarts', '01'], '--datamarts'],
  [['--name', 'a/b', '--datamarts', '*'], '--name'],
  [['--name', 'acme', '--datamarts', '*', '--role', 'root'], '--role'],
  [['--name', 'acme', '--datamarts', '*', '--write'], 'HTTP_TOKENS_FILE'],
])('refuses `tokens create %j`, naming %s', async (flags, named) => {
  const { code, out, errors } = await run(['tokens', 'create', ...flags]);

  expect(code).toBe(2);
  expect(errors).toContain(named);
  expect(out).not.toContain('api:');
});
