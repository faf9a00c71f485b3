import { Command } from 'commander';
import type { SyncPlanOperations } from '../../api/sync-plan-operations.ts';
import { addAccessOptions } from '../access-options.ts';
import type { CliProcess, SetExitCode } from '../cli-process.ts';
import { wholeNumber } from '../option-values.ts';
import { runOnControlPlane, type ControlAccess } from '../run-on-control-plane.ts';
import { replicationIds } from './replication-ids.ts';

/** Opens plans over the control topics of the settings' Kafka. */
export type OpenSyncPlans = ControlAccess<SyncPlanOperations>['overKafka'];

interface PlanFlags {
  readonly replicationIds?: readonly string[] | null;
  readonly rate?: number | null;
}

const PLAN_HELP = `
Reads the snapshot and launches nothing; what a launch would be refused for, a plan is refused for too. The bytes are those
of the operations as each replication gets them, requests are as full as they can be, and what is billed follows the
published rules of the destinations' providers, which it names. Takes 26 to 53 MB of memory per million documents of the
largest snapshot partition.

Exit codes: 0 planned, 1 refused or failed, 2 usage.
`;

/** `initial-sync plan` */
export function planCommand(host: CliProcess, setExitCode: SetExitCode, overKafka: OpenSyncPlans): Command {
  const overHttp: ControlAccess<SyncPlanOperations>['overHttp'] = async (connection) => {
    const { ApiSyncPlans } = await import('../api-sync-plans.ts');
    return new ApiSyncPlans(connection);
  };
  const command = new Command('plan')
    .description('say what one would send, and what is billed for it')
    .option(
      '--replication-ids <ids>',
      '80,81: these; default every ACTIVE one of the datamart',
      replicationIds,
    )
    .option(
      '--rate <number>',
      'operations per second and replication; default INITIAL_SYNC_MAX_RATE',
      wholeNumber(1, 10_000_000),
    )
    .addHelpText('after', PLAN_HELP);
  return addAccessOptions(command).action(({ replicationIds: ids = null, rate = null }: PlanFlags) =>
    runOnControlPlane(command, host, setExitCode, { overKafka, overHttp }, async () => {
      const { runPlan } = await import('./plan.ts');
      return (session) => runPlan({ replicationIds: ids, rate }, session);
    }),
  );
}
