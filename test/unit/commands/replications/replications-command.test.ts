import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Command } from 'commander';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { ApiError } from '../../../../api/api-error.ts';
import { runCli } from '../../../../cli.ts';
import type { CliProcess } from '../../../../commands/cli-process.ts';
import type { AnswerSource } from '../../../../commands/confirmation.ts';
import { replicationsCommand } from '../../../../commands/replications/replications-command.ts';
import { MemoryReplications } from '../../../support/memory-replications.ts';
import { RecordedOutput } from '../../../support/recorded-output.ts';

interface Run {
  readonly code: number;
  readonly out: string;
  readonly errors: string;
}

let replications: MemoryReplications;
let folder: string;
let closed: number;

beforeEach(() => {
  replications = new MemoryReplications();
  folder = mkdtempSync(join(tmpdir(), 'replications-'));
  closed = 0;
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Runs `replications …` over a Kafka that is `replications`. */
async function run(args: readonly string[], stdin?: AnswerSource): Promise<Run> {
  const stdout = new RecordedOutput();
  const stderr = new RecordedOutput();
  const host: CliProcess = {
    args,
    env: { KAFKA_BROKERS: 'broker:9092' },
    stdout,
    stderr,
    ...(stdin ? { stdin } : {}),
    signals: new EventEmitter(),
    exit: () => undefined,
  };
  let code = 0;
  const open = async () => ({
    operations: replications,
    close: async () => {
      closed += 1;
    },
  });
  const program = new Command('datamart-replication').exitOverride().configureOutput({
    writeErr: (text) => void stderr.write(text),
  });
  const group = replicationsCommand(open)(host, (set) => {
    code = set;
  });
  for (const command of [group, ...group.commands]) command.copyInheritedSettings(program);
  program.addCommand(group);
  await program.parseAsync(['replications', ...args], { from: 'user' });
  return { code, out: stdout.text, errors: stderr.text };
}

/** A terminal at which somebody has typed these lines. */
function terminal(...lines: readonly string[]): AnswerSource {
  return Object.assign(new PassThrough().end(lines.map((line) => `${line}\n`).join('')), { isTTY: true });
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const PUBSUB = { type: 'GOOGLE_PUBSUB', project_id: 'acme', topic_id: 'users', name: 'to acme' };

describe('list and get', () => {
  test('list shows each replication in one line, with what it is in ERROR for', async () => {
    replications.put({ ...PUBSUB, status: 'ACTIVE' }, '80');
    replications.put({ type: 'FILE', path: 'a.jsonl', datamart_id: '1650' }, '90');
    replications.observe('80', {
      state: 'ERROR',
      code: 'permission_denied',
      lag_records: 12,
      lag_seconds: 3.21,
    });

    const { code, out } = await run(['list']);

    expect(code).toBe(0);
    expect(out).toBe(
      [
        'id  datamart  name     type           status  state                    lag         since',
        '90  1650      90       FILE           PAUSED  PAUSED                   0           2025-11-23 12:13:20Z',
        '80  1649      to acme  GOOGLE_PUBSUB  ERROR   ERROR permission_denied  12 (3.2 s)  2025-11-23 12:13:20Z',
        '',
      ].join('\n'),
    );
    expect(closed).toBe(1);
  });

  test('list asks for page after page until it has all', async () => {
    for (let i = 0; i < 2_001; i++) replications.put({ type: 'FILE', path: `${i}` });

    const { out } = await run(['list', '--json']);

    expect(JSON.parse(out)).toHaveLength(2_001);
    expect(replications.calls).toEqual(['list all 0', 'list all 1000', 'list all 2000']);
  });

  test('list says so when there is none', async () => {
    expect(await run(['list'])).toEqual({ code: 0, out: '', errors: 'no replications\n' });
  });

  test('get shows state, positions, gap and the last refusal with words', async () => {
    replications.put(
      { ...PUBSUB, status: 'ACTIVE', replication_filters: [{ document: 'USER_SEGMENT' }] },
      '80',
    );
    replications.observe('80', {
      state: 'ERROR',
      reason: 'destination_failed',
      code: 'permission_denied',
      message: 'publishing: permission denied',
      remedy: 'grant roles/pubsub.publisher on the topic',
      refused: {
        offset: '42',
        code: 'filters_immutable',
        field: 'replication_filters',
        message: 'no',
        time: 0,
      },
      positions: [
        {
          topic: 'datamart-mutations',
          partition: 3,
          state: 'STOPPED',
          offset: '123',
          lag_records: 7,
          gap: { from: '100', to: '110' },
        },
      ],
    });

    const { out } = await run(['get', '80']);

    expect(out).toContain('project_id   acme');
    expect(out).toContain('documents    USER_SEGMENT');
    expect(out).toContain('reason       destination_failed: permission_denied');
    expect(out).toContain('remedy       grant roles/pubsub.publisher on the topic');
    expect(out).toContain(
      "the record at offset 42 (1970-01-01 00:00:00Z) isn't in force: no (filters_immutable",
    );
    expect(out).toContain('datamart-mutations          3  STOPPED  123       7  100 to 110');
  });

  test('get finds the datamart of an id by itself, and tells an unknown one', async () => {
    replications.put({ type: 'FILE', path: 'a', datamart_id: '77' }, '801');

    expect(await run(['get', '801', '--json'])).toMatchObject({ code: 0 });
    expect(await run(['get', '80'])).toMatchObject({
      code: 1,
      errors: expect.stringMatching(/no replication 80 /),
    });
  });

  test('nothing that a terminal would obey reaches it', async () => {
    replications.put({ type: 'FILE', path: 'a\u001b[2J', name: 'x\u001b[31m' }, '1');

    const { out } = await run(['get', '1']);

    expect(out + (await run(['list'])).out).not.toContain('\u001b');
  });
});

describe('create', () => {
  test('makes what the flags say, PAUSED, and tells the next steps', async () => {
    const flags = [
      '--type',
      'GOOGLE_PUBSUB',
      '--name',
      'to acme',
      '--project-id',
      'acme',
      '--topic-id',
      'users',
    ];
    const more = ['--filter', 'USER_SEGMENT,USER_EMAIL', '--set', 'ordering_lanes=4', '--set', 'resume=NOW'];

    const { code, out } = await run(['create', '--datamart-id', '1649', ...flags, ...more]);

    expect(code).toBe(0);
    expect(out).toBe(
      [
        'created r1 "to acme", GOOGLE_PUBSUB, PAUSED',
        'next:',
        '  datamart-replication replications credentials r1 --datamart-id 1649 --file service-account.json',
        '  datamart-replication replications activate r1 --datamart-id 1649',
        '',
      ].join('\n'),
    );
    expect(replications.replications.get('r1')).toMatchObject({
      project_id: 'acme',
      topic_id: 'users',
      ordering_lanes: 4,
      resume: 'NOW',
      replication_filters: [{ document: 'USER_SEGMENT' }, { document: 'USER_EMAIL' }],
    });
  });

  test('takes a file, whose datamart counts, and flags go before it', async () => {
    const path = file('r.yaml', 'datamart_id: 1650\ntype: FILE\nname: x\npath: a.jsonl\n');

    const { out } = await run(['create', '-f', path, '--name', 'y', '--json']);

    expect(JSON.parse(out)).toMatchObject({ datamart_id: '1650', name: 'y', path: 'a.jsonl' });
  });

  test.each([
    [['create', '--type', 'FILE'], '--datamart-id: not given'],
    [['create', '--set', 'x'], 'Allowed is field=value'],
    [['create', '--filter', 'A,,B'], 'names with commas'],
    [['create', '--datamart-id', '0'], 'a positive whole number'],
    [['create', '-f', '/nowhere'], '--file: reading /nowhere: no such file'],
    [['get', '../x'], 'Allowed is an id'],
    [['update', '80'], '--name or --set'],
    [['delete', '80'], 'there is no terminal to ask on'],
    [['credentials', '80', '--file', '-'], 'reads what is piped in'],
    [['explain', '80', '--partition', '3'], 'which mutation?'],
    [['apply', '-f', '/nowhere', '--yes'], '--file: reading /nowhere: no such file'],
    [['apply', '-f', '/dev/zero', '--yes'], '--file: /dev/zero is larger than 4194304 bytes'],
  ])('%j is wrong usage: 2, and nothing is written', async (args, expected) => {
    replications.put({ type: 'FILE', path: 'a' }, '80');
    let code: number | undefined;
    let errors = '';
    try {
      ({ code, errors } = await run(args));
    } catch (error) {
      // Commander's own refusals, which `runCli` turns into 2.
      errors = String(error);
    }

    expect(code ?? 2).toBe(2);
    expect(errors).toContain(expected);
    expect(replications.writes).toEqual([]);
  });

  test('a refusal is told with code, field and hint: in words, or as JSON', async () => {
    replications.beforeWrite = () => {
      throw new ApiError('invalid_topic_id', 'give the short id', { field: 'topic_id', hint: 'users' });
    };
    const args = ['create', '--datamart-id', '1', '--type', 'GOOGLE_PUBSUB'];

    expect(await run(args)).toEqual({
      code: 1,
      out: '',
      errors: 'give the short id (invalid_topic_id, topic_id)\n  users\n',
    });
    expect(JSON.parse((await run([...args, '--json'])).errors)).toEqual({
      code: 'invalid_topic_id',
      message: 'give the short id',
      field: 'topic_id',
      hint: 'users',
    });
  });
});

describe('changes', () => {
  beforeEach(() => {
    replications.put({ ...PUBSUB, status: 'PAUSED' }, '80');
  });

  test('update changes just what it is told', async () => {
    expect(await run(['update', '80', '--name', 'new', '--set', 'metadata=["message_id"]'])).toMatchObject({
      code: 0,
    });
    expect(replications.writes).toEqual(['update 80 {"name":"new","metadata":["message_id"]}']);
  });

  test('pause says what becomes of what comes meanwhile', async () => {
    expect((await run(['pause', '80'])).out).toContain('is not sent unless resume says WHERE_STOPPED');

    await run(['update', '80', '--set', 'resume=WHERE_STOPPED']);
    expect((await run(['pause', '80'])).out).toContain('is sent when it is activated');
  });

  test('credentials uploads the very bytes and shows none of them', async () => {
    const { code, out, errors } = await run(['credentials', '80', '--file', file('key', 'SECRET\n')]);

    expect(code).toBe(0);
    expect(replications.credentials.get('80')).toBe('SECRET\n');
    expect(out + errors).not.toContain('SECRET');
    expect(out).toContain('replications activate 80');
  });

  test('credentials takes what is piped in, up to 16 KiB', async () => {
    await run(['credentials', '80', '--file', '-'], new PassThrough().end('PIPED'));
    expect(replications.credentials.get('80')).toBe('PIPED');

    const tooMuch = new PassThrough().end(Buffer.alloc(16 * 1024 + 1, 97));
    expect(await run(['credentials', '80', '--file', '-'], tooMuch)).toMatchObject({
      code: 2,
      errors: '--file: the input is larger than 16384 bytes\n',
    });
  });

  test('delete asks, and a no deletes nothing', async () => {
    const { code, errors } = await run(['delete', '80'], terminal('n'));

    expect(code).toBe(1);
    expect(errors).toContain('delete 80 "to acme" of datamart 1649');
    expect(replications.replications.has('80')).toBe(true);
  });

  test.each([
    ['a yes at the terminal', [], ['y']],
    ['--yes', ['--yes'], []],
  ])('delete deletes with %s', async (_, flags, answers) => {
    expect(await run(['delete', '80', ...flags], terminal(...answers))).toMatchObject({ code: 0 });
    expect(replications.replications.has('80')).toBe(false);
  });

  test('delete leaves alone what somebody changed while it asked', async () => {
    replications.beforeWrite = (call) => {
      if (call.startsWith('delete')) replications.put({ ...PUBSUB, name: 'changed' }, '80');
    };

    expect(await run(['delete', '80', '--yes'])).toMatchObject({
      code: 1,
      errors: expect.stringContaining('precondition_failed'),
    });
  });

  test('explain asks for the record, or for the mutation itself', async () => {
    expect((await run(['explain', '80', '--partition', '3', '--offset', '7'])).out).toBe(
      'asked about 80 of whatever datamart for {"topic":"datamart-mutations","partition":3,"offset":"7"}\n',
    );
    const mutation = file('m.json', '{"datamart_id":1649,"op":"UPDATE"}');
    expect((await run(['explain', '--datamart-id', '1649', '--mutation', mutation])).out).toBe(
      'asked about all of 1649 for {"mutation":{"datamart_id":1649,"op":"UPDATE"}}\n',
    );
  });
});

test('without a broker and without --api it ends with 2 and says both ways', async () => {
  const stderr = new RecordedOutput();
  const host: CliProcess = {
    args: [],
    env: {},
    stdout: new RecordedOutput(),
    stderr,
    signals: new EventEmitter(),
    exit: () => undefined,
  };
  let code = 0;
  const group = replicationsCommand(async () => ({ operations: replications, close: async () => undefined }))(
    host,
    (set) => {
      code = set;
    },
  );

  await group.parseAsync(['list'], { from: 'user' });

  expect(code).toBe(2);
  expect(stderr.text).toContain('KAFKA_BROKERS (default): not set');
  expect(stderr.text).toContain('--api URL asks an API instead');
});

describe('over an API', () => {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    const data = [...replications.replications.values()];
    response.setHeader('connection', 'close');
    response.end(JSON.stringify({ status: 'ok', data, count: data.length, total: data.length }));
  });
  let url: string;

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve));
  });

  async function runOverApi(args: readonly string[], env: Record<string, string>): Promise<Run> {
    const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
    const signals = new EventEmitter();
    const host = { args: ['replications', ...args], env, stdout, stderr, signals, exit: () => undefined };
    return { code: await runCli(host), out: stdout.text, errors: stderr.text };
  }

  test('asks it with the token of the environment, and needs no broker', async () => {
    replications.put({ type: 'FILE', path: 'a' }, '90');

    const { code, out } = await runOverApi(['list', '--api', url, '--datamart-id', '1649', '--json'], {
      API_TOKEN: 'api:T',
    });

    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual([...replications.replications.values()]);
    expect(seen).toEqual(['GET /v1/datamarts/1649/replications?first_result=0&max_results=1000 api:T']);
  });

  test.each([
    [['list', '--api', 'http://127.0.0.1'], { API_TOKEN: 'T' }, '--datamart-id: not given'],
    [['list', '--api', 'http://127.0.0.1', '--datamart-id', '1'], {}, 'API_TOKEN: not set'],
    [['list', '--token', 'x'], {}, "unknown option '--token'"],
  ])('%j with %j ends with 2', async (args, env, expected) => {
    const { code, errors } = await runOverApi(args, env);

    expect(code).toBe(2);
    expect(errors).toContain(expected);
  });

  test('wrong usage is JSON too with --json', async () => {
    const { code, errors } = await runOverApi(['list', '--api', 'x', '--json'], { API_TOKEN: 'T' });

    expect(code).toBe(2);
    expect(JSON.parse(errors)).toMatchObject({ code: 'wrong_usage', field: null, hint: null });
  });
});
