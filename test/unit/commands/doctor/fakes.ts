import type { ControlView } from '../../../../commands/control-view.ts';
import { Prerequisite, type CheckGroup, type Finding } from '../../../../commands/doctor/check.ts';
import { runChecks } from '../../../../commands/doctor/run-checks.ts';
import { CredentialsTable } from '../../../../processors/credentials-table.ts';
import { ReplicationTable } from '../../../../processors/replication-table.ts';
import { writeReplicationStatus, type ReplicationStatus } from '../../../../processors/status-record.ts';
import { StatusTable } from '../../../../processors/status-table.ts';
import type { BrokerAnswer } from '../../../../streams/inspection-port.ts';
import { PartitionPins } from '../../../../streams/partition-pins.ts';
import { PositionLists } from '../../../../streams/position-lists.ts';
import { TableWriter } from '../../../../streams/table-writer.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { ScriptedSinks } from '../../../support/scripted-sink.ts';
import { silentLogger } from '../../../support/silent-logger.ts';

export const NOW = 1_763_900_000_000;

/** Runs one group on a clock that stands still; its findings. */
export async function findingsOf(group: CheckGroup): Promise<readonly Finding[]> {
  const options = { clock: new ManualClock(NOW), onCheck: () => undefined };
  const [report] = await runChecks([group], options, new AbortController().signal);
  return report?.findings ?? [];
}

/** `result name`, what most tests look at. */
export function outlines(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ result, name }) => `${result} ${name}`);
}

export function found<Value>(value: Value): Prerequisite<Value> {
  const prerequisite = new Prerequisite<Value>('missing');
  prerequisite.set(value);
  return prerequisite;
}

export function missing<Value>(why: string): Prerequisite<Value> {
  return new Prerequisite<Value>(why);
}

export const BROKER: BrokerAnswer = {
  clusterId: 'one',
  advertised: ['kafka-1:9092'],
  unsupported: [],
  newestFetchVersion: 17,
};

interface ViewOptions {
  /** By id, the fields of a record of the control topic. */
  readonly replications?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly statuses?: readonly Partial<ReplicationStatus>[];
  readonly records?: Readonly<Record<string, object>>;
  readonly pins?: Readonly<Record<string, number>>;
  readonly newestStatusMs?: number | null;
}

/** What would have been read of the control topics. Control records have offset 7. */
export function aView({
  replications = {},
  statuses = [],
  records = {},
  pins = {},
  newestStatusMs = null,
}: ViewOptions): ControlView {
  const adapter = { ...new ScriptedSinks().adapter, credentials: 'optional' as const };
  const table = new ReplicationTable({
    types: new Map([[adapter.type, adapter]]),
    checkCredentialsUri: () => null,
  });
  const refused = new Map<string, { code: string; field: string | null; message: string }>();
  for (const [id, fields] of Object.entries(replications)) {
    const record = { id, datamart_id: '1649', type: 'SCRIPTED', target: 'a', status: 'ACTIVE', ...fields };
    const change = table.apply(id, Buffer.from(JSON.stringify(record)), 7, NOW);
    if (change.kind === 'refused') refused.set(id, change.problem);
  }
  const writer = new TableWriter({
    topic: 'status',
    producer: { send: () => Promise.reject(new Error('nothing is written')), close: async () => undefined },
    clock: new ManualClock(NOW),
    random: () => 0.5,
    logger: silentLogger,
    signal: AbortSignal.abort(),
  });
  const status = new StatusTable();
  for (const changes of statuses) {
    const complete: ReplicationStatus = {
      replicationId: '80',
      datamartId: '1649',
      state: 'ACTIVE',
      verdict: { configOffset: 7, credentialsVersion: null, failure: null },
      since: NOW - 1_000,
      lostOffsets: 0,
      deferredStatus: null,
      ...changes,
    };
    status.apply(`replication/${complete.replicationId}`, writeReplicationStatus(complete, NOW));
  }
  for (const [key, record] of Object.entries(records))
    status.apply(key, Buffer.from(JSON.stringify({ v: 1, ...record })));
  const pinned = new PartitionPins(writer);
  for (const [topic, count] of Object.entries(pins))
    pinned.apply(`partitions/${topic}`, Buffer.from(JSON.stringify({ v: 1, topic, count })));
  return {
    replications: table,
    credentials: new CredentialsTable(),
    refused,
    status,
    pins: pinned,
    lists: new PositionLists(writer),
    newestStatusMs,
  };
}
