import type { ReplicationConfig } from '../../processors/replication-config.ts';
import { ReplicationTable } from '../../processors/replication-table.ts';
import type { SinkAdapter } from '../../sinks/sink.ts';

/** The config that the table makes of a record with these fields over those of a plain ACTIVE replication. */
export function aReplicationConfig<Config>(
  adapter: SinkAdapter<Config>,
  fields: Readonly<Record<string, unknown>> = {},
  offset = 0,
): ReplicationConfig {
  const table = new ReplicationTable({
    types: new Map([[adapter.type, adapter]]),
    checkCredentialsUri: () => null,
  });
  const record = { id: '80', datamart_id: '1649', type: adapter.type, status: 'ACTIVE', ...fields };
  const change = table.apply('80', Buffer.from(JSON.stringify(record)), offset, 0);
  const config = table.get('80');
  if (!config) throw new Error(`the table took no such record: ${JSON.stringify(change)}`);
  return config;
}
