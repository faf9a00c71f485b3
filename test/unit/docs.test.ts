import { describe, expect, test } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { runCli } from '../../cli.ts';
import { RecordedOutput } from '../support/recorded-output.ts';

const ROOT = join(import.meta.dirname, '../..');
const FOR_USERS = ['README.md', ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)];
const ALL = [...FOR_USERS, 'DESIGN.md', 'CHANGELOG.md', 'bench/README.md'];

const textOf = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

/** Without what stands in code blocks. */
function proseOf(file: string): string {
  return textOf(file).replaceAll(/^```[^]*?^```/gm, '');
}

/** As GitHub makes anchors of headings. */
function anchorsOf(file: string): readonly string[] {
  return [...proseOf(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function linksOf(file: string): readonly string[] {
  return [...proseOf(file).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, target = '']) => target);
}

test.each(ALL)('the links of %s lead somewhere', (file) => {
  const broken = linksOf(file).filter((link) => {
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? file : relative(ROOT, join(ROOT, dirname(file), path));
    if (!existsSync(join(ROOT, target))) return true;
    return anchor !== undefined && !anchorsOf(target).includes(anchor);
  });

  expect(broken).toEqual([]);
});

test('the README leads to every document', () => {
  const linked = linksOf('README.md').map((link) => link.split('#')[0]);

  expect(FOR_USERS.filter((file) => file !== 'README.md' && !linked.includes(file))).toEqual([]);
});

/** Command lines of this program in a document's code blocks: the words of the command, and its flags. */
function commandsOf(
  file: string,
): readonly { readonly words: readonly string[]; readonly flags: readonly string[] }[] {
  const blocks = [...textOf(file).matchAll(/^```(?:sh)?\n([^]*?)^```/gm)].map(([, block = '']) =>
    block.replaceAll('\\\n', ' '),
  );
  return blocks
    .flatMap((block) => block.split('\n'))
    .flatMap((line) => {
      const called = /^(?:\$ |.*\| |source <\()?(?:datamart-replication|npx node bin\.ts) ([^#|>)]*)/.exec(
        line,
      )?.[1];
      if (called === undefined) return [];
      const tokens = called.replaceAll(/"[^"]*"/g, '').split(/\s+/);
      const end = tokens.findIndex((token) => !/^[a-z-]+$/.test(token) || token.startsWith('-'));
      return [
        {
          words: tokens.slice(0, end < 0 ? 2 : Math.min(2, end)),
          flags: tokens.filter((token) => token.startsWith('--')),
        },
      ];
    });
}

async function helpOf(words: readonly string[]): Promise<{ readonly code: number; readonly text: string }> {
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  const signals = new EventEmitter();
  const args = [...words, '--help'];
  const code = await runCli({ args, env: {}, stdout, stderr, signals, exit: () => undefined });
  return { code, text: stdout.text };
}

describe('the command lines in', () => {
  test.each(FOR_USERS.filter((file) => commandsOf(file).length > 0))(
    '%s are of commands and flags that there are',
    async (file) => {
      const unknown: string[] = [];
      for (const { words, flags } of commandsOf(file)) {
        const { code, text } = await helpOf(words);
        // A group answers for a command that it doesn't have.
        const [, command = '', takes = ''] =
          /^Usage: datamart-replication ([a-z -]*[a-z])(.*)/m.exec(text) ?? [];
        const isKnown =
          code === 0 && (command === words.join(' ') || (command === words[0] && takes.includes('<')));
        unknown.push(
          ...(isKnown ? [] : [words.join(' ')]),
          ...flags.filter((flag) => !text.includes(flag)).map((flag) => [...words, flag].join(' ')),
        );
      }

      expect(unknown).toEqual([]);
    },
  );
});
