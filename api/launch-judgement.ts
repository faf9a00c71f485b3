import type { Execution } from '../processors/initial-sync/execution.ts';
import { judgeLaunch } from '../processors/initial-sync/launch-rules.ts';
import { requestedExecution } from '../processors/initial-sync/launch.ts';
import type { LaunchRequest } from '../processors/initial-sync/sync-request.ts';
import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { ControlState } from './control-plane.ts';
import { refusedLaunch } from './launch-body.ts';
import { observedState } from './replication-resource.ts';

/** Every execution, and the requests that no processor has judged yet, as what they will be. */
export function* knownExecutions({
  executions,
  requests,
}: Pick<ControlState, 'executions' | 'requests'>): Generator<Execution> {
  yield* executions.all();
  for (const id of requests.ids()) {
    const launch = executions.get(id) ? null : requests.get(id)?.launch;
    if (launch) yield requestedExecution(id, launch);
  }
}

/**
 * The replications that a launch would be for, as far as this instance's tables tell. `windowMs`: how long a succeeded
 * one blocks the next of its replications. Throws the `ApiError` that it would be refused with.
 */
export function launchable(
  request: LaunchRequest,
  state: ControlState,
  { windowMs, nowMs }: { readonly windowMs: number; readonly nowMs: number },
): readonly ReplicationConfig[] {
  const executions = [...knownExecutions(state)].filter(
    ({ datamartId }) => datamartId === request.datamartId,
  );
  const judgement = judgeLaunch(request, {
    replications: state.replications,
    stateOf: (config) => observedState(config, state),
    executions,
    requestedAt: nowMs,
    windowMs,
  });
  if (judgement.kind === 'refused') throw refusedLaunch(judgement.problem, nowMs);
  return judgement.replications;
}
