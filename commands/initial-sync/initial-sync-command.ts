import { Command, InvalidArgumentError, Option } from 'commander';
import type { ExecutionOperations } from '../../api/execution-operations.ts';
import { EXECUTION_STATUSES, type ExecutionStatus } from '../../processors/initial-sync/execution.ts';
import { addAccessOptions, isReplicationId } from '../access-options.ts';
import type { CliProcess, CommandDefinition, SetExitCode } from '../cli-process.ts';
import { wholeNumber } from '../option-values.ts';
import { runOnControlPlane, type ControlAccess } from '../run-on-control-plane.ts';
import { planCommand, type OpenSyncPlans } from './plan-command.ts';
import { replicationIds } from './replication-ids.ts';
import type { ExecutionsAction, OpenExecutions } from './session.ts';
import { verifyCommand } from './verify-command.ts';

type Run = (command: Command, prepare: () => Promise<ExecutionsAction>) => Promise<void>;

/** `initial-sync …`, over Kafka or over HTTP. */
export function initialSyncCommand(
  overKafka: OpenExecutions,
  plansOverKafka: OpenSyncPlans,
): CommandDefinition {
  const overHttp: ControlAccess<ExecutionOperations>['overHttp'] = async (connection) => {
    const { ApiExecutions } = await import('../api-executions.ts');
    return new ApiExecutions(connection);
  };
  return (host: CliProcess, setExitCode: SetExitCode) => {
    const run: Run = (command, prepare) =>
      runOnControlPlane(command, host, setExitCode, { overKafka, overHttp }, prepare);
    return new Command('initial-sync')
      .description('bring replications to the full state of their datamart')
      .addCommand(planCommand(host, setExitCode, plansOverKafka))
      .addCommand(startCommand(run))
      .addCommand(listCommand(run))
      .addCommand(getCommand(run))
      .addCommand(watchCommand(run))
      .addCommand(cancelCommand(run))
      .addCommand(verifyCommand(host, setExitCode));
  };
}

const EXIT_CODES = `
Exit codes: 0 done, 1 refused or failed, 2 usage.
`;

const WATCH_EXIT_CODES = `
Ctrl-C ends the watching, not the synchronization. With --json every change is a line.

Exit codes: 0 everything was sent, or stopped watching; 1 refused, failed, canceled, or a replication didn't get everything;
2 usage.
`;

const START_HELP = `
Sends an UPDATE for every document of the datamart that a replication's filter selects, beside what comes live. That may be
many messages, and a destination's bill: \`initial-sync plan\` tells beforehand. A replication can have one in seven days
(INITIAL_SYNC_WINDOW_HOURS), and a datamart one at a time; statuses of its replications can't change meanwhile.

--max-operations is a budget: what is beyond it waits. The same --id with a higher one goes on; the same --id launches
nothing twice.
`;

interface StartFlags {
  readonly replicationIds?: readonly string[];
  readonly maxOperations?: number;
  readonly id?: string;
  readonly watch?: boolean;
}

function startCommand(run: Run): Command {
  const command = new Command('start')
    .description('launch one')
    .option(
      '--replication-ids <ids>',
      '80,81: these; default every ACTIVE one of the datamart',
      replicationIds,
    )
    .option(
      '--max-operations <number>',
      'send at most so many in all',
      wholeNumber(1, Number.MAX_SAFE_INTEGER),
    )
    .option('--id <id>', 'of the execution; default one is made', executionId)
    .option('--watch', 'show how it goes until its end')
    .addHelpText('after', START_HELP);
  return addAccessOptions(command)
    .addHelpText('after', EXIT_CODES)
    .action((flags: StartFlags) =>
      run(command, async () => {
        const { runStart } = await import('./change.ts');
        const { replicationIds: ids = null, maxOperations = null, id = null, watch = false } = flags;
        return (session) => runStart({ replicationIds: ids, maxOperations, id, watches: watch }, session);
      }),
    );
}

function listCommand(run: Run): Command {
  const command = new Command('list')
    .description('show them, the newest first')
    .option('--keywords <words>', 'those whose id has all these words')
    .addOption(new Option('--status <status>', 'those of this status').choices(EXECUTION_STATUSES));
  return addAccessOptions(command)
    .addHelpText('after', EXIT_CODES)
    .action(
      ({ keywords = null, status = null }: { keywords?: string | null; status?: ExecutionStatus | null }) =>
        run(command, async () => {
          const { runList } = await import('./look.ts');
          return (session) => runList({ keywords, status }, session);
        }),
    );
}

function getCommand(run: Run): Command {
  const command = new Command('get')
    .description('show one: what was sent to each replication, and how far each partition is')
    .argument('<id>', 'of the execution', executionId);
  return addAccessOptions(command)
    .addHelpText('after', EXIT_CODES)
    .action((id: string) =>
      run(command, async () => {
        const { runGet } = await import('./look.ts');
        return (session) => runGet(id, session);
      }),
    );
}

function watchCommand(run: Run): Command {
  const command = new Command('watch')
    .description('show how one goes until its end: progress, rate, estimated end, counts')
    .argument('<id>', 'of the execution', executionId);
  return addAccessOptions(command)
    .addHelpText('after', WATCH_EXIT_CODES)
    .action((id: string) =>
      run(command, async () => {
        const { runWatch } = await import('./watch.ts');
        return (session) => runWatch(id, session);
      }),
    );
}

function cancelCommand(run: Run): Command {
  const command = new Command('cancel')
    .description('end one; what was sent stays')
    .argument('<id>', 'of the execution', executionId);
  return addAccessOptions(command)
    .addHelpText('after', EXIT_CODES)
    .action((id: string) =>
      run(command, async () => {
        const { runCancel } = await import('./change.ts');
        return (session) => runCancel(id, session);
      }),
    );
}

/** An execution's id has the form of a replication's. */
function executionId(text: string): string {
  if (isReplicationId(text)) return text;
  throw new InvalidArgumentError('Allowed is an id: 1 to 64 of A-Z a-z 0-9 _ . -');
}
