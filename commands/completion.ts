import type { Command, Option } from 'commander';
import { isSettingFlag } from './setting-flags.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** One command as a shell completes it. */
interface CompletedCommand {
  /** The words that lead to it, without the program's own. */
  readonly words: readonly string[];
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly CompletedOption[];
  /** What its first argument may be; empty when anything. */
  readonly choices: readonly string[];
}

interface CompletedOption {
  readonly flags: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  /** Empty when anything may follow. */
  readonly choices: readonly string[];
  readonly isFile: boolean;
  /** One of the many that every command takes: offered once its beginning is typed. */
  readonly isSetting: boolean;
}

/** The script that has a shell complete the program's commands, options and choices, as the tree has them. */
export function completionScript(shell: Shell, program: Command): string {
  const commands = commandsOf(program, []);
  const name = program.name();
  switch (shell) {
    case 'bash':
      return bashScript(name, commands);
    case 'zsh':
      // zsh runs completions of bash, once it has been told so.
      return [
        'autoload -U +X compinit && compinit',
        'autoload -U +X bashcompinit && bashcompinit',
        bashScript(name, commands),
      ].join('\n');
    case 'fish':
      return fishScript(name, commands);
  }
}

function commandsOf(command: Command, words: readonly string[]): readonly CompletedCommand[] {
  const [argument] = command.registeredArguments;
  const own: CompletedCommand = {
    words,
    subcommands: command.commands.map((sub) => ({ name: sub.name(), description: sub.description() })),
    options: [...command.options.filter(({ hidden }) => !hidden).map(optionOf), HELP],
    choices: argument?.argChoices ?? [],
  };
  return [own, ...command.commands.flatMap((sub) => commandsOf(sub, [...words, sub.name()]))];
}

function optionOf(option: Option): CompletedOption {
  const { short, long, description, required, argChoices, flags } = option;
  return {
    flags: [short, long].filter((flag) => flag !== undefined),
    description,
    takesValue: required,
    choices: argChoices ?? [],
    isFile: /<(?:file|path|directory)>/.test(flags),
    isSetting: isSettingFlag(option),
  };
}

const HELP: CompletedOption = {
  flags: ['-h', '--help'],
  description: 'display help for command',
  takesValue: false,
  choices: [],
  isFile: false,
  isSetting: false,
};

function bashScript(name: string, commands: readonly CompletedCommand[]): string {
  const fn = `_${name.replaceAll('-', '_')}`;
  const settings = commands.flatMap(({ options }) => options.filter(({ isSetting }) => isSetting));
  const takingSettings = flagsOf(settings.filter(({ takesValue }) => takesValue)).join('|');
  return `# completion of ${name}
${fn}() {
  local word=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local command='' next own='' words='' i skip=0
  # --flag=value is three words here.
  if [[ $word == '=' ]]; then word=''
  elif [[ $previous == '=' ]]; then previous=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  for (( i = 1; i < COMP_CWORD; i++ )); do
    next=\${COMP_WORDS[i]}
    if (( skip )); then
      skip=0
      if [[ $next == '=' ]]; then skip=1; fi
      continue
    fi
    case "$command $next" in
${commands.flatMap(commandCase).join('\n')}
${commands.flatMap(valueCase).join('\n')}
    esac
    case "$next" in
      ${takingSettings}) skip=1 ;;
    esac
  done
  COMPREPLY=()
  case "$command $previous" in
${commands.flatMap(choiceCases).join('\n')}
  esac
  case "$previous" in
    ${takingSettings}) ${FILES} return ;;
  esac
  case "$command" in
${commands.map(wordsCase).join('\n')}
  esac
  if [[ $word == --?* ]]; then own+=' ${flagsOf(settings).join(' ')}'; fi
  if [[ $word == -* ]]; then words=$own; fi
  COMPREPLY=( $(compgen -W "$words" -- "$word") )
}
complete -o filenames -F ${fn} ${name}
`;
}

/** Names with spaces stay whole. */
const FILES = `local IFS=$'\\n'; COMPREPLY=( $(compgen -f -- "$word") );`;

function commandCase({ words }: CompletedCommand): readonly string[] {
  const path = bashWord(pathOf(words));
  return words.length === 0 ? [] : [`      ${path}) command=${path} ;;`];
}

/** What follows an option that takes a value is no command. */
function valueCase({ words, options }: CompletedCommand): readonly string[] {
  const flags = flagsOf(options.filter(({ takesValue, isSetting }) => takesValue && !isSetting));
  if (flags.length === 0) return [];
  return [`      ${flags.map((flag) => bashWord(pathOf([...words, flag]))).join('|')}) skip=1 ;;`];
}

/** What may follow an option that takes a value. */
function choiceCases({ words, options }: CompletedCommand): readonly string[] {
  return options
    .filter(({ takesValue, isSetting }) => takesValue && !isSetting)
    .map(({ flags, choices, isFile }) => {
      const chosen = `COMPREPLY=( $(compgen -W ${bashWord(choices.join(' '))} -- "$word") );`;
      const reply = choices.length > 0 ? `${chosen} ` : isFile ? `${FILES} ` : '';
      return `    ${flags.map((flag) => bashWord(pathOf([...words, flag]))).join('|')}) ${reply}return ;;`;
    });
}

function wordsCase({ words, subcommands, options, choices }: CompletedCommand): string {
  const own = flagsOf(options.filter(({ isSetting }) => !isSetting)).filter(isLong);
  const next = [...subcommands.map(({ name }) => name), ...choices];
  return `    ${bashWord(pathOf(words))}) own=${bashWord(own.join(' '))} words=${bashWord(next.join(' '))} ;;`;
}

function fishScript(name: string, commands: readonly CompletedCommand[]): string {
  const lines = [`# completion of ${name}`, `complete -c ${name} -f`];
  for (const { words, subcommands, options, choices } of commands) {
    const under = words.map((word) => `__fish_seen_subcommand_from ${word}`);
    const names = subcommands.map((sub) => sub.name);
    const notYet = names.length > 0 ? [`not __fish_seen_subcommand_from ${names.join(' ')}`] : [];
    const condition = [...under, ...notYet].join('; and ');
    const when = condition === '' ? '' : ` -n ${fishWord(condition)}`;
    const add = (text: string, description: string): void => {
      const described = description === '' ? '' : ` -d ${fishWord(description)}`;
      lines.push(`complete -c ${name}${when} ${text}${described}`);
    };
    for (const sub of subcommands) add(`-a ${sub.name}`, sub.description);
    if (choices.length > 0) add(`-a ${fishWord(choices.join(' '))}`, '');
    for (const option of options) add(fishOption(option), option.description);
  }
  return `${lines.join('\n')}\n`;
}

function fishOption({ flags, takesValue, choices, isFile }: CompletedOption): string {
  const named = flags.map((flag) => (isLong(flag) ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  const value = takesValue ? [isFile ? '-r -F' : '-x'] : [];
  const chosen = choices.length > 0 ? [`-a ${fishWord(choices.join(' '))}`] : [];
  return [...named, ...value, ...chosen].join(' ');
}

function flagsOf(options: readonly CompletedOption[]): readonly string[] {
  return [...new Set(options.flatMap(({ flags }) => flags))];
}

function isLong(flag: string): boolean {
  return flag.startsWith('--');
}

/** As the script keeps where it is: a space in front of each word. */
function pathOf(words: readonly string[]): string {
  return words.map((word) => ` ${word}`).join('');
}

function bashWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function fishWord(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
