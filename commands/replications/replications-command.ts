import { Command, InvalidArgumentError } from 'commander';
import { MAX_DOCUMENT_BYTES } from '../../config/documents.ts';
import { addAccessOptions, replicationId, type AccessFlags } from '../access-options.ts';
import type { CliProcess, CommandDefinition, SetExitCode } from '../cli-process.ts';
import { askOperator, requireTerminal, type AnswerSource } from '../confirmation.ts';
import { readInputFile } from '../input-file.ts';
import { wholeNumber } from '../option-values.ts';
import type { BodyFlags } from './body-flags.ts';
import { bodyFromText, bodyOf, documentNames, setField } from './body-flags.ts';
import { runOnReplications, type OpenReplications, type ReplicationsAction } from './connect.ts';
import type { ExplainFlags } from './explain.ts';
import type { Confirm } from './session.ts';

/** What the definitions share: how each of them is run. */
interface Definitions {
  readonly host: CliProcess;
  /** `prepare` looks at the command line and resolves with what is to be done. */
  readonly run: (command: Command, prepare: Prepare) => Promise<void>;
}

type Prepare = (flags: AccessFlags, signal: AbortSignal) => Promise<ReplicationsAction>;

/** `replications …`, over Kafka or over HTTP. */
export function replicationsCommand(openOverKafka: OpenReplications): CommandDefinition {
  return (host: CliProcess, setExitCode: SetExitCode) => {
    const definitions: Definitions = {
      host,
      run: (command, prepare) => runOnReplications(command, host, setExitCode, openOverKafka, prepare),
    };
    const group = new Command('replications').description('what is replicated, whereto, and how it goes');
    for (const define of DEFINITIONS) group.addCommand(define(definitions));
    return group;
  };
}

const DEFINITIONS: readonly ((definitions: Definitions) => Command)[] = [
  listCommand,
  getCommand,
  createCommand,
  credentialsCommand,
  activateCommand,
  pauseCommand,
  updateCommand,
  deleteCommand,
  explainCommand,
  applyCommand,
  exportCommand,
];

const EXIT_CODES = `
Exit codes: 0 done, 1 refused or failed, 2 usage.
`;

function withCommonOptions(command: Command): Command {
  return addAccessOptions(command).addHelpText('after', EXIT_CODES);
}

function listCommand({ run }: Definitions): Command {
  const command = new Command('list')
    .description('show replications, the newest first')
    .option('--keywords <words>', 'those whose name or id has all these words');
  return withCommonOptions(command).action(({ keywords = null }: { readonly keywords?: string | null }) =>
    run(command, async () => {
      const { runList } = await import('./look.ts');
      return (session) => runList({ keywords }, session);
    }),
  );
}

function getCommand({ run }: Definitions): Command {
  const command = new Command('get')
    .description('show one replication: what is desired, its state, lag and positions')
    .argument('<id>', 'of the replication', replicationId);
  return withCommonOptions(command).action((id: string) =>
    run(command, async () => {
      const { runGet } = await import('./look.ts');
      return (session) => runGet(id, session);
    }),
  );
}

interface CreateFlags extends BodyFlags {
  readonly file?: string;
}

function createCommand({ host, run }: Definitions): Command {
  const command = new Command('create')
    .description('make a replication; it is PAUSED until it is activated')
    .option('--type <type>', 'GOOGLE_PUBSUB, AZURE_EVENT_HUBS, KAFKA_TOPIC, FILE, or one of SINKS_MODULES')
    .option('--name <name>', 'for people')
    .option('--project-id <id>', 'of the Google project (GOOGLE_PUBSUB)')
    .option('--topic-id <id>', 'of the Pub/Sub topic (GOOGLE_PUBSUB)')
    .option('--event-hub-name <name>', 'of the event hub (AZURE_EVENT_HUBS)')
    .option('--topic <name>', 'of the Kafka topic (KAFKA_TOPIC)')
    .option('--path <path>', 'of the file below SINKS_FILE_DIRECTORY (FILE)')
    .option('--filter <documents>', 'USER_SEGMENT,USER_EMAIL: only these; default all', documentNames)
    .option('--version <number>', 'of the messages, 1 or 2', wholeNumber(1, 99))
    .option('--set <field=value>', 'another field; the value is JSON, or a text', setField)
    .option('-f, --file <file>', 'the fields as JSON or YAML; flags go before; - is standard input');
  return withCommonOptions(command).action((flags: CreateFlags) =>
    run(command, async () => {
      const { runCreate } = await import('./change.ts');
      const file = flags.file === undefined ? {} : bodyFromText(await fileText(flags.file, host), flags.file);
      const body = bodyOf(flags, file);
      return (session) => runCreate(body, session);
    }),
  );
}

function credentialsCommand({ host, run }: Definitions): Command {
  const command = new Command('credentials')
    .description('upload the credentials of a destination; they are kept sealed and never shown')
    .argument('<id>', 'of the replication', replicationId)
    .requiredOption(
      '--file <file>',
      'a Google service account key, an Azure connection string; - is standard input',
    );
  return withCommonOptions(command).action((id: string, { file }: { readonly file: string }) =>
    run(command, async () => {
      const { MAX_CREDENTIALS_BYTES, runCredentials } = await import('./change.ts');
      const input = { path: file, flag: '--file', maxBytes: MAX_CREDENTIALS_BYTES };
      const bytes = await readInputFile(input, host.stdin);
      return (session) => runCredentials(id, bytes, session);
    }),
  );
}

interface ActivateFlags {
  readonly wait: boolean;
  readonly timeout: number;
}

function activateCommand({ run }: Definitions): Command {
  const command = new Command('activate')
    .description('check the destination and send; waits until the processors say ACTIVE or ERROR')
    .argument('<id>', 'of the replication', replicationId)
    .option('--timeout <seconds>', 'how long to wait', wholeNumber(1, 3_600), 60)
    .option('--no-wait', "don't wait for the processors");
  return withCommonOptions(command).action((id: string, { wait, timeout }: ActivateFlags) =>
    run(command, async () => {
      const { runActivate } = await import('./activate.ts');
      return (session) => runActivate(id, { waitMs: wait ? timeout * 1_000 : null }, session);
    }),
  );
}

function pauseCommand({ run }: Definitions): Command {
  const command = new Command('pause')
    .description('stop sending, at once')
    .argument('<id>', 'of the replication', replicationId);
  return withCommonOptions(command).action((id: string) =>
    run(command, async () => {
      const { runPause } = await import('./change.ts');
      return (session) => runPause(id, session);
    }),
  );
}

function updateCommand({ run }: Definitions): Command {
  const command = new Command('update')
    .description('change the name or options')
    .argument('<id>', 'of the replication', replicationId)
    .option('--name <name>', 'for people')
    .option(
      '--set <field=value>',
      'another field; the value is JSON, or a text; null is the default',
      setField,
    );
  return withCommonOptions(command).action((id: string, { name, set }: Pick<BodyFlags, 'name' | 'set'>) =>
    run(command, async () => {
      const { runUpdate } = await import('./change.ts');
      const body = bodyOf({ ...(name === undefined ? {} : { name }), ...(set ? { set } : {}) }, {});
      return (session) => runUpdate(id, body, session);
    }),
  );
}

function deleteCommand({ host, run }: Definitions): Command {
  const command = new Command('delete')
    .description('delete a replication and its credentials, for good')
    .argument('<id>', 'of the replication', replicationId);
  return withCommonOptions(command).action((id: string) =>
    run(command, async (flags, signal) => {
      const { runDelete } = await import('./change.ts');
      const confirm = confirmationOf(flags.yes !== true, host, signal);
      return (session) => runDelete(id, session, confirm);
    }),
  );
}

function explainCommand({ host, run }: Definitions): Command {
  const command = new Command('explain')
    .description('say whether replications got a mutation, or get it, and why not')
    .argument('[id]', 'only of this one; default all of the mutation’s datamart', replicationId)
    .option('--topic <name>', 'where its record is; default the mutation topic')
    .option('--partition <number>', 'of its record', wholeNumber(0, 1_000_000))
    .option('--offset <number>', 'of its record', offset)
    .option('--mutation <file>', 'the mutation itself, as JSON; - is standard input');
  return withCommonOptions(command).action((id: string | undefined, flags: ExplainFlags) =>
    run(command, async () => {
      const { explainRequest, runExplain } = await import('./explain.ts');
      const request = (topics: readonly string[]): Promise<object> => {
        const [topic = null] = topics.length === 1 ? topics : [];
        return explainRequest(flags, topic, (path) => fileText(path, host, '--mutation'));
      };
      return async (session, settings) =>
        runExplain(id ?? null, await request(settings.topics.mutations), session);
    }),
  );
}

const APPLY_HELP = `
The file holds a replication, a list of them, or {replications: […]}, in one document or several, as \`replications export\`
writes it. One is known by its id, or by datamart_id and name: then it is created when there is none. Fields that the file
leaves out stay as they are; null is the default. What can't be changed is refused, with everything else.

Credentials are never in it: credentials_file names a file, from the file's own directory. It is uploaded when the
replication is created or has none, and again with --credentials.
`;

interface ApplyFlags {
  readonly file: string;
  readonly dryRun?: boolean;
  readonly prune?: boolean;
  readonly credentials?: boolean;
}

function applyCommand({ host, run }: Definitions): Command {
  const command = new Command('apply')
    .description('make replications as a file wants them: shows the plan, asks, changes what differs')
    .requiredOption('-f, --file <file>', 'JSON or YAML; - is standard input')
    .option('--dry-run', 'only show the plan')
    .option('--prune', "delete what isn't in the file, within the datamarts that it names")
    .option('--credentials', 'upload the credentials files again')
    .addHelpText('after', APPLY_HELP);
  return withCommonOptions(command).action(
    ({ file, dryRun: isDryRun = false, prune = false, credentials = false }: ApplyFlags) =>
      run(command, async ({ yes = false, datamartId: id = null }, signal) => {
        const { parseDesiredReplications } = await import('./desired-file.ts');
        const { runApply } = await import('./apply.ts');
        const { MAX_CREDENTIALS_BYTES } = await import('./change.ts');
        const confirm = confirmationOf(!yes && !isDryRun, host, signal, '--dry-run only looks');
        const path = file === '-' ? null : file;
        const source = path ?? 'standard input';
        const desired = parseDesiredReplications({ text: await fileText(file, host), source, path }, id);
        const readCredentials = (from: string): Promise<Buffer> =>
          readInputFile({ path: from, flag: 'credentials_file', maxBytes: MAX_CREDENTIALS_BYTES }, undefined);
        const options = { isDryRun, prunes: prune, uploadsCredentials: credentials };
        return (session) => runApply(desired, options, session, { confirm, readCredentials });
      }),
  );
}

function exportCommand({ run }: Definitions): Command {
  const command = new Command('export').description(
    'write replications as `replications apply` takes them, without secrets and observed state',
  );
  return withCommonOptions(command).action(() =>
    run(command, async () => {
      const { runExport } = await import('./export.ts');
      return (session) => runExport(session);
    }),
  );
}

async function fileText(path: string, { stdin }: CliProcess, flag = '--file'): Promise<string> {
  return (await readInputFile({ path, flag, maxBytes: MAX_DOCUMENT_BYTES }, stdin)).toString('utf8');
}

function confirmationOf(
  asks: boolean,
  { stdin, stderr }: { readonly stdin?: AnswerSource; readonly stderr: CliProcess['stderr'] },
  signal: AbortSignal,
  hint?: string,
): Confirm {
  if (!asks) return null;
  const terminal = requireTerminal(stdin, hint);
  return (question) => askOperator(question, terminal, stderr, signal);
}

function offset(text: string): string {
  if (/^\d{1,15}$/.test(text)) return text;
  throw new InvalidArgumentError('Allowed is a whole number of at most 15 digits.');
}
