import type { Command } from 'commander';
import type { ReplicationOperations } from '../../api/replication-operations.ts';
import type { CliProcess, SetExitCode } from '../cli-process.ts';
import {
  runOnControlPlane,
  type ControlAccess,
  type ControlAction,
  type PrepareAction,
} from '../run-on-control-plane.ts';

/** Opens replications over the control topics of the settings' Kafka. */
export type OpenReplications = ControlAccess<ReplicationOperations>['overKafka'];

/** What a command does, once replications can be reached. Resolves with the exit code. */
export type ReplicationsAction = ControlAction<ReplicationOperations>;

/** Runs a command on replications, as `runOnControlPlane` does. */
export function runOnReplications(
  command: Command,
  host: CliProcess,
  setExitCode: SetExitCode,
  overKafka: OpenReplications,
  prepare: PrepareAction<ReplicationOperations>,
): Promise<void> {
  const overHttp: ControlAccess<ReplicationOperations>['overHttp'] = async (connection) => {
    const { ApiReplications } = await import('../api-client.ts');
    return new ApiReplications(connection);
  };
  return runOnControlPlane(command, host, setExitCode, { overKafka, overHttp }, prepare);
}
