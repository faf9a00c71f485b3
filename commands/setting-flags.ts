import { Help, Option, type Command } from 'commander';
import { SETTINGS } from '../config/settings-schema.ts';

/** The options that every command takes, beside its own. */
export interface CommonOptions {
  readonly config?: string;
  readonly json?: boolean;
  readonly yes?: boolean;
}

/** The setting that an option sets, by flag without dashes. */
const FLAG_OF = new WeakMap<Option, string>();

/** Gives a command `--config`, `--json`, `--yes` and one flag per setting. */
export function addCommonOptions(command: Command): Command {
  command
    .option('--config <file>', 'settings as JSON or YAML (also CONFIG_FILE)')
    .option('--json', 'print JSON for scripts')
    .option('--yes', "don't ask back");
  for (const { flag, doc, isBoolean, isSecret } of SETTINGS) {
    addSettingFlag(command, flag, isBoolean ? '[boolean]' : '<value>', doc);
    if (isSecret) addSettingFlag(command, `${flag}-file`, '<path>', `a file that holds ${doc}`);
  }
  return command;
}

/** The setting flags that were given, as `loadSettings` takes them. */
export function givenSettingFlags(command: Command): Record<string, string | boolean> {
  const values: Record<string, unknown> = command.opts();
  const flags: Record<string, string | boolean> = {};
  for (const option of command.options) {
    const flag = FLAG_OF.get(option);
    const value = values[option.attributeName()];
    if (flag !== undefined && (typeof value === 'string' || typeof value === 'boolean')) flags[flag] = value;
  }
  return flags;
}

function addSettingFlag(command: Command, flag: string, argument: string, doc: string): void {
  const option = new Option(`--${flag} ${argument}`, doc);
  FLAG_OF.set(option, flag);
  command.addOption(option);
}

/** Whether the option is a setting, which every command takes. */
export function isSettingFlag(option: Option): boolean {
  return FLAG_OF.has(option);
}

/** Commander's help, but of settings the names only: 50 lines more would hide a command's own options. */
export function compactHelp(command: Command, help: Help): string {
  if (!command.options.some((option) => FLAG_OF.has(option)))
    return Help.prototype.formatHelp.call(help, command, help);
  // Hiding the options themselves would also keep them from being suggested for a mistyped one.
  const withoutSettings = Object.assign(new Help(), help, {
    visibleOptions: (shown: Command) => help.visibleOptions(shown).filter((option) => !FLAG_OF.has(option)),
  });
  const width = help.helpWidth ?? 80;
  return `${Help.prototype.formatHelp.call(withoutSettings, command, withoutSettings)}\n${settingsHelp(width)}`;
}

function settingsHelp(width: number): string {
  const lines: string[] = [];
  let line = '';
  let group = '';
  for (const { key, flag } of SETTINGS) {
    const [nextGroup = ''] = key.split('.');
    if (line !== '' && (nextGroup !== group || line.length + flag.length + 3 > width)) {
      lines.push(line);
      line = '';
    }
    group = nextGroup;
    line += `${line === '' ? '  ' : ' '}--${flag}`;
  }
  const intro =
    'Settings (--a-b-c is also the variable A_B_C and a.b_c in the file; a secret can come as --a-b-c-file PATH):';
  return [intro, ...lines, line, ''].join('\n');
}
