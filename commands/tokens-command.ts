import { Command, InvalidArgumentError, Option } from 'commander';
import { ConfigError } from '../config/config-error.ts';
import type { CliProcess, SetExitCode } from './cli-process.ts';
import { settingsOf } from './command-settings.ts';
import { addCommonOptions, type CommonOptions } from './setting-flags.ts';

/** `tokens create` */
export function tokensCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  return new Command('tokens')
    .description("the API's tokens")
    .addCommand(tokensCreateCommand(host, setExitCode));
}

interface TokensCreateFlags extends CommonOptions {
  readonly name: string;
  readonly datamarts: readonly string[] | '*';
  readonly role: 'customer' | 'operator';
  readonly write?: boolean;
}

const CREATE_HELP = `
The token is shown once: only its SHA-256 is kept, in the file that HTTP_TOKENS_FILE names. Running instances read the
file again within 10 s of a change. To take a token back, delete its entry.

Exit codes: 0 made; 1 the file can't be read or written, or the name is taken; 2 usage.
`;

function tokensCreateCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('create')
    .description('make a token of the API, shown once')
    .requiredOption('--name <name>', 'whose it is; the audit log says it')
    .requiredOption('--datamarts <ids>', 'which it may see: ids with commas between them, or *', datamartsOf)
    .addOption(
      new Option('--role <role>', 'an operator may use all types and set credentials_uri')
        .choices(['customer', 'operator'])
        .default('customer'),
    )
    .option('--write', 'add it to HTTP_TOKENS_FILE')
    .addHelpText('after', CREATE_HELP);
  return addCommonOptions(command).action(async (flags: TokensCreateFlags) => {
    const { http } = settingsOf(command, host);
    const { newTokenProblems } = await import('../api/tokens-file.ts');
    const problems = newTokenProblems(flags);
    if (problems.length > 0) throw new ConfigError(problems.map((problem) => `--${problem}`));
    if (flags.write && http.tokensFile === null)
      throw new ConfigError(['HTTP_TOKENS_FILE (default): not set; --write needs the file’s path']);
    const { runTokensCreate } = await import('./tokens-create.ts');
    const { name, datamarts, role } = flags;
    const options = {
      name,
      datamarts,
      role,
      writeTo: flags.write ? http.tokensFile : null,
      isJson: flags.json ?? false,
    };
    setExitCode(await runTokensCreate(options, { out: host.stdout, errors: host.stderr }));
  });
}

function datamartsOf(text: string): readonly string[] | '*' {
  if (text.trim() === '*') return '*';
  const ids = text.split(',').map((id) => id.trim());
  if (ids.every((id) => /^[1-9][0-9]{0,18}$/.test(id))) return [...new Set(ids)];
  throw new InvalidArgumentError('Allowed are ids as 1649,1650, or *.');
}
