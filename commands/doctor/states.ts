import { sealedVersionOf } from '../../processors/credentials-table.ts';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import { replicationState } from '../../processors/replication-state.ts';
import type { Clock } from '../../streams/clock.ts';
import type { PartitionReader } from '../../streams/kafka-port.ts';
import type { ControlView } from '../control-view.ts';
import { failed, ok, warning, type CheckGroup, type Finding, type Prerequisite } from './check.ts';

const TIMEOUT_MS = 30_000;
/** A check takes 15 s at most, and is tried again while the destination can't be reached. */
const ACTIVATING_LONG_MS = 120_000;

export interface StateCheckOptions {
  /** Null: all. */
  readonly replicationId: string | null;
  readonly view: Prerequisite<ControlView>;
  readonly reader: Pick<PartitionReader, 'bounds'>;
  readonly clock: Pick<Clock, 'now'>;
}

/** What the processors observed of each replication, and which records of the control topic were refused. */
export function stateChecks({ replicationId, view, reader, clock }: StateCheckOptions): CheckGroup {
  const isChosen = (id: string): boolean => replicationId === null || replicationId === id;
  return {
    name: 'replications',
    concurrency: 1,
    checks: [
      {
        name: 'states',
        timeoutMs: TIMEOUT_MS,
        run: async () => {
          const read = view.get();
          const configs = [...read.replications.all()].filter(({ id }) => isChosen(id));
          const findings: Finding[] = [];
          for (const config of configs) findings.push(...(await judge(config, read, reader, clock.now())));
          return findings.length > 0
            ? findings
            : [ok('states', `of ${configs.length} replications none is in ERROR, none lags`)];
        },
      },
      {
        name: 'control records',
        timeoutMs: TIMEOUT_MS,
        run: () => {
          const refused = [...view.get().refused].filter(([id]) => isChosen(id));
          const inForce = (id: string): string =>
            view.get().replications.get(id) ? 'the last good record is in force' : 'there is no good record';
          return Promise.resolve(
            refused.length === 0
              ? [ok('control records', 'every newest record is accepted')]
              : refused.map(([id, { code, field, message }]) =>
                  warning(
                    id,
                    `its newest control record is refused: ${code}${field === null ? '' : ` (${field})`}: ${message}; ${inForce(id)}`,
                    'write the record again, corrected',
                  ),
                ),
          );
        },
      },
    ],
  };
}

async function judge(
  config: ReplicationConfig,
  { status, credentials }: ControlView,
  reader: Pick<PartitionReader, 'bounds'>,
  nowMs: number,
): Promise<readonly Finding[]> {
  const { id } = config;
  const reports = [...status.reports(id)];
  const detached = reports.filter(({ state }) => state === 'DETACHED');
  const verdict = status.verdict(id);
  const version = sealedVersionOf(config, credentials);
  const state = replicationState(config, verdict, version, detached.length > 0);
  const observed = status.status(id);
  const findings: Finding[] = [];
  if (state === 'ERROR') {
    const { reason, code, message, remedy } = verdict?.failure ?? {};
    findings.push(
      failed(
        id,
        `ERROR since ${timeOf(observed?.since)}: ${reason}, ${code}: ${message}`,
        [remedy, 'then activate it again'].filter(Boolean).join('; '),
      ),
    );
  }
  if (state === 'DETACHED') {
    const lags = await Promise.all(
      detached.map(async ({ topic, partition, offset }) => {
        const { end } = await reader.bounds({ topic, partition });
        return {
          words: `${topic}/${partition}: ${Math.max(0, end - offset)}`,
          lag: Math.max(0, end - offset),
        };
      }),
    );
    const total = lags.reduce((sum, { lag }) => sum + lag, 0);
    findings.push(
      warning(
        id,
        `DETACHED on ${detached.length} partitions, ${total} records behind (${lags.map(({ words }) => words).join(', ')})`,
        'it catches up by itself once its destination keeps up: see retries_total and publish_requests_total by code',
      ),
    );
  }
  const since = observed?.state === 'ACTIVATING' ? observed.since : null;
  if (state === 'ACTIVATING' && (since === null || nowMs - since > ACTIVATING_LONG_MS))
    findings.push(
      warning(
        id,
        since === null ? 'no processor has taken it up yet' : `ACTIVATING since ${timeOf(since)}`,
        since === null
          ? 'runs an instance with the role replicate?'
          : 'its destination answers nobody: the group destinations says why',
      ),
    );
  const lost = observed?.lostOffsets ?? 0;
  if (lost > 0)
    findings.push(
      warning(
        id,
        `needs an initial synchronization: retention took up to ${lost} records before they were sent`,
        'start an initial synchronization, and keep the mutation topic longer than the longest outage',
      ),
    );
  return findings;
}

function timeOf(ms: number | undefined): string {
  return ms === undefined ? 'an unknown time' : new Date(ms).toISOString();
}
