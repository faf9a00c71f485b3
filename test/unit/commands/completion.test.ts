import { beforeAll, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '../../../cli.ts';
import { RecordedOutput } from '../../support/recorded-output.ts';

async function scriptOf(shell: string): Promise<string> {
  const stdout = new RecordedOutput();
  const host = { env: {}, stdout, stderr: new RecordedOutput(), signals: new EventEmitter() };
  const code = await runCli({ ...host, args: ['completion', shell], exit: () => undefined });
  expect(code).toBe(0);
  return stdout.text;
}

describe('bash', () => {
  let script: string;

  beforeAll(async () => {
    script = await scriptOf('bash');
  });

  /** What bash offers for the last of the words, as its `complete` would call the function. */
  function offered(words: readonly string[], folder = tmpdir()): readonly string[] {
    const program = `
${script}
registered=$(complete -p datamart-replication)
COMP_WORDS=("$@") COMP_CWORD=$(( $# - 1 ))
[[ $registered =~ -F\\ ([a-z_]+) ]] && "\${BASH_REMATCH[1]}" "$1" "\${!#}" "\${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "\${COMPREPLY[@]}"`;
    const args = ['--norc', '-c', program, 'bash', 'datamart-replication', ...words];
    const text = execFileSync('bash', args, { encoding: 'utf8', cwd: folder });
    return text.split('\n').filter((line) => line !== '');
  }

  test.each([
    [['rep'], ['replications']],
    [
      ['replications', 'a'],
      ['activate', 'apply'],
    ],
    [
      ['dead-letters', ''],
      ['list', 'redrive'],
    ],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [
      ['generate', '--encoding', ''],
      ['json', 'avro'],
    ],
    [['generate', '--encoding', '=', 'a'], ['avro']],
    [
      ['generate', '--encoding', '='],
      ['json', 'avro'],
    ],
    [
      ['dead-letters', 'list', '--reason', 'm'],
      ['malformed_envelope', 'missing_id'],
    ],
    [['replications', 'apply', '--pr'], ['--prune']],
    [['generate', '--log-l'], ['--log-level']],
  ])('%j offers %j', (words, expected) => {
    expect(offered(words)).toEqual(expected);
  });

  test('offers a command’s own options first, and settings once their beginning is typed', () => {
    expect(offered(['replications', 'apply', '-'])).toContain('--dry-run');
    expect(offered(['replications', 'apply', '--'])).not.toContain('--kafka-brokers');
    expect(offered(['replications', 'apply', '--k'])).toContain('--kafka-brokers');
  });

  test('takes the value of an option for no command', () => {
    expect(offered(['replications', 'apply', '--api', 'list', '--pr'])).toEqual(['--prune']);
    expect(offered(['dead-letters', '--kafka-brokers', 'redrive', 'l'])).toEqual(['list']);
  });

  test('offers nothing where anything may follow', () => {
    expect(offered(['replications', 'create', '--name', ''])).toEqual([]);
  });

  test('offers files where a file is meant, names with spaces whole', () => {
    const folder = mkdtempSync(join(tmpdir(), 'completion-'));
    writeFileSync(join(folder, 'my replications.yaml'), '');

    expect(offered(['replications', 'apply', '--file', 'my'], folder)).toEqual(['my replications.yaml']);
    rmSync(folder, { recursive: true });
  });

  test('knows every command of the tree', () => {
    for (const command of ['start', 'topics', 'generate', 'replications', 'partitions', 'completion'])
      expect(offered([command.slice(0, -1)])).toContain(command);
  });
});

test('zsh gets the same by its own way of running completions of bash', async () => {
  const script = await scriptOf('zsh');

  expect(script).toContain('bashcompinit');
  expect(script).toContain(await scriptOf('bash'));
});

test('fish gets commands with their descriptions, options and choices', async () => {
  const lines = (await scriptOf('fish')).split('\n');

  expect(lines).toContain(
    "complete -c datamart-replication -n '__fish_seen_subcommand_from generate' -l encoding -x -a 'json avro' -d 'of the values'",
  );
  expect(lines.find((line) => line.includes('-a replications '))).toContain(
    "-d 'what is replicated, whereto, and how it goes'",
  );
  expect(lines.find((line) => line.includes('-l file') && line.includes(' apply'))).toContain(
    '-s f -l file -r -F',
  );
});
