import { InvalidArgumentError, type Command } from 'commander';
import { addCommonOptions, type CommonOptions } from './setting-flags.ts';

/** The flags that say where replications are and whose. */
export interface AccessFlags extends CommonOptions {
  readonly api?: string;
  readonly datamartId?: string;
}

const ID_PATTERN = /^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,64}$/;
const DATAMART_ID_PATTERN = /^[1-9][0-9]{0,18}$/;

const ACCESS_HELP = `
Talks to Kafka, or with --api to an API; its token comes from API_TOKEN or API_TOKEN_FILE.
`;

/** Gives a command `--api` and `--datamart-id`, and what every command takes. */
export function addAccessOptions(command: Command): Command {
  command
    .option('--api <url>', 'ask this API instead of Kafka')
    .option('--datamart-id <id>', 'whose replications; needed with --api', datamartId)
    .addHelpText('after', ACCESS_HELP);
  return addCommonOptions(command);
}

/** Whether an id can be asked for over HTTP: no path is made of it that leads elsewhere. */
export function isReplicationId(text: string): boolean {
  return ID_PATTERN.test(text);
}

/** Parses a replication's id. */
export function replicationId(text: string): string {
  if (isReplicationId(text)) return text;
  throw new InvalidArgumentError('Allowed is an id: 1 to 64 of A-Z a-z 0-9 _ . -');
}

function datamartId(text: string): string {
  if (DATAMART_ID_PATTERN.test(text)) return text;
  throw new InvalidArgumentError('Allowed is a positive whole number of at most 19 digits.');
}
