import { randomBytes } from 'node:crypto';
import { openSinks, openTable } from '../commands/processor.ts';
import { loadSettings } from '../config/load.ts';
import { judgementKey, writeJudgement } from '../processors/config-judgement.ts';
import { writeCredentialsRecord } from '../processors/credentials-record.ts';
import { replicationKey, writeReplicationStatus } from '../processors/status-record.ts';
import { KeyRing, sealCredentials } from '../sinks/sealed-credentials.ts';
import type { Logger } from '../streams/logger.ts';

export interface ControlRecord {
  readonly key: string;
  readonly value: Buffer;
}

/** What lies on the control and state topics, one list for each, in their order. */
export interface ControlRecords {
  readonly configs: readonly ControlRecord[];
  readonly credentials: readonly ControlRecord[];
  readonly statuses: readonly ControlRecord[];
}

export interface ControlRecordsOptions {
  readonly replications: number;
  readonly datamarts: number;
  /** Settings that the program runs with. */
  readonly settings: Readonly<Record<string, string>>;
  /** The text that each replication has sealed. */
  readonly credentialsText: string;
  readonly logger: Logger;
}

/** The id of the nth replication, as the API draws them. */
export function replicationId(n: number): string {
  return String(1_763_900_000_000_000 + n);
}

/** Spread evenly over the datamarts. */
export function datamartOf(n: number, datamarts: number): string {
  return String(3_000_000 + (n % datamarts));
}

/**
 * ACTIVE Pub/Sub replications with sealed credentials, as the API has made them and an earlier start has activated them:
 * with verdict and judgement. Their control records are the first on a new topic.
 */
export async function controlRecords(options: ControlRecordsOptions): Promise<ControlRecords> {
  const { replications, datamarts, credentialsText, logger } = options;
  const settings = loadSettings({ env: options.settings, flags: {}, readFile: () => '' });
  const table = openTable(await openSinks(settings, logger, { pubsubEmulatorHost: null }), settings);
  const keys = new KeyRing(settings.credentials);
  const configs: ControlRecord[] = [];
  const credentials: ControlRecord[] = [];
  const statuses: ControlRecord[] = [];
  for (let offset = 0; offset < replications; offset += 1) {
    const [id, datamartId] = [replicationId(offset), datamartOf(offset, datamarts)];
    const value = Buffer.from(JSON.stringify(configOf(id, datamartId, offset)));
    const change = table.apply(id, value, offset, 0);
    const judgement = table.judgement(id);
    if (change.kind !== 'changed' || !judgement)
      throw new Error(`a replication of the bench is refused: ${JSON.stringify(change)}`);
    configs.push({ key: id, value });
    const owner = { replicationId: id, datamartId, version: 1 };
    const sealed = sealCredentials(owner, credentialsText, { keys, randomBytes, now: Date.now });
    credentials.push({ key: id, value: writeCredentialsRecord(sealed) });
    const status = {
      replicationId: id,
      datamartId,
      state: 'ACTIVE',
      verdict: { configOffset: offset, credentialsVersion: 1, failure: null },
      since: Date.now(),
      lostOffsets: 0,
      deferredStatus: null,
    } as const;
    statuses.push({ key: replicationKey(id), value: writeReplicationStatus(status, Date.now()) });
    statuses.push({ key: judgementKey(id), value: writeJudgement(id, judgement) });
  }
  return { configs, credentials, statuses };
}

function configOf(id: string, datamartId: string, n: number): object {
  return {
    datamart_id: datamartId,
    name: `replication ${n} of ${datamartId}`,
    type: 'GOOGLE_PUBSUB',
    project_id: `customer-${datamartId}`,
    topic_id: `datamart-operations-${n}`,
    replication_filters: n % 2 === 0 ? null : [{ document: 'USER_SEGMENT', filter: null }],
    id,
    created: 1_763_900_000_000 + n,
    version: 2,
    status: 'ACTIVE',
    credentials_uri: `sealed:${id}`,
  };
}
