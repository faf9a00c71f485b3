import type { ReplicationResource } from '../../api/replication-resource.ts';
import { yamlText } from '../../config/documents.ts';
import { DONE } from '../cli-process.ts';
import { desiredStatus } from './apply-plan.ts';
import { allReplications, type ReplicationsSession } from './session.ts';

/**
 * `replications export`: the replications of the datamart, or of all, exactly as `apply` takes them: desired state only,
 * the oldest first, so that a new one is added at the end.
 */
export async function runExport(session: ReplicationsSession): Promise<number> {
  const { datamartId, isJson, out } = session;
  const resources = await allReplications(session, datamartId);
  const content = { replications: [...resources].reverse().map(exportedReplication) };
  out.write(isJson ? `${JSON.stringify(content, null, 2)}\n` : yamlText(content));
  return DONE;
}

/** What is desired of a replication. `sealed:` credentials stay where they are: an upload makes them. */
export function exportedReplication(resource: ReplicationResource): Readonly<Record<string, unknown>> {
  const {
    id,
    datamart_id,
    name,
    type,
    version,
    credentials_uri: uri,
    replication_filters: filters,
  } = resource;
  const others = Object.entries(resource).filter(([field]) => !PLACED.has(field));
  return {
    id,
    datamart_id,
    name,
    type,
    version,
    status: desiredStatus(resource),
    ...(typeof uri === 'string' && !uri.startsWith('sealed:') ? { credentials_uri: uri } : {}),
    replication_filters: filters === null ? null : filters.map(({ document }) => ({ document })),
    ...Object.fromEntries(others),
  };
}

/** Has its place in an exported replication, or none. */
const PLACED: ReadonlySet<string> = new Set([
  'id',
  'datamart_id',
  'name',
  'type',
  'version',
  'status',
  'credentials_uri',
  'replication_filters',
  'observed',
]);
