import type { ReplicationConfig } from '../../processors/replication-config.ts';
import type { ActivationReport } from '../../streams/activation-report.ts';
import type { ControlView } from '../control-view.ts';
import type { DestinationProbe } from '../destination-probe.ts';
import { failed, ok, skipped, warning, type CheckGroup, type Finding, type Prerequisite } from './check.ts';

/** A check of a destination takes 15 s at most by itself. */
const TIMEOUT_MS = 20_000;
const CONCURRENCY = 8;

/** Which replications' destinations are tried. */
export interface DestinationChoice {
  /** Null: all that want to be ACTIVE. */
  readonly replicationId: string | null;
  /** PAUSED ones too. */
  readonly isAll: boolean;
}

/** Each replication's destination, as an activation would check it. */
export function destinationChecks(
  choice: DestinationChoice,
  view: Prerequisite<ControlView>,
  probe: DestinationProbe,
): CheckGroup {
  const group = { name: 'destinations', concurrency: CONCURRENCY };
  const read = view.find();
  const configs = read ? chosen(choice, read) : [];
  if (configs.length === 0) {
    const run = async (): Promise<readonly Finding[]> => {
      view.get();
      return [nothingToTry(choice)];
    };
    return { ...group, checks: [{ name: 'replications', timeoutMs: TIMEOUT_MS, run }] };
  }
  return {
    ...group,
    checks: configs.map((config) => ({
      name: config.id,
      timeoutMs: TIMEOUT_MS,
      run: async (signal) => judge(config, await probe(config, null, signal)),
    })),
  };
}

function nothingToTry({ replicationId, isAll }: DestinationChoice): Finding {
  return replicationId === null
    ? skipped('replications', isAll ? 'there is none' : 'none wants to be ACTIVE; --all tries all')
    : failed(replicationId, 'there is no such replication', '`replications list` shows those that there are');
}

function chosen(
  { replicationId, isAll }: DestinationChoice,
  { replications }: ControlView,
): readonly ReplicationConfig[] {
  if (replicationId !== null) {
    const config = replications.get(replicationId);
    return config ? [config] : [];
  }
  return [...replications.all()].filter(({ status }) => isAll || status === 'ACTIVE');
}

function judge(
  { id, type }: ReplicationConfig,
  { code, message, remedy, warnings }: ActivationReport,
): readonly Finding[] {
  if (code !== 'ok') return [failed(id, `${type}: ${code}: ${message}`, remedy)];
  if (warnings.length > 0) return warnings.map((words) => warning(id, `${type}: ${words}`, null));
  return [ok(id, `${type}: can be used`)];
}
