import { Argument, Command } from 'commander';
import type { CliProcess } from './cli-process.ts';
import { completionScript, SHELLS, type Shell } from './completion.ts';

const INSTALL_HELP = `
bash   datamart-replication completion bash > ~/.local/share/bash-completion/completions/datamart-replication
zsh    source <(datamart-replication completion zsh)     # a line of ~/.zshrc
fish   datamart-replication completion fish > ~/.config/fish/completions/datamart-replication.fish
`;

/** `completion` */
export function completionCommand(host: CliProcess): Command {
  const command = new Command('completion')
    .description('print the script that has a shell complete commands, options and choices')
    .addArgument(new Argument('<shell>', 'whose').choices(SHELLS))
    .addHelpText('after', INSTALL_HELP);
  return command.action((shell: Shell) => {
    host.stdout.write(completionScript(shell, command.parent ?? command));
  });
}
