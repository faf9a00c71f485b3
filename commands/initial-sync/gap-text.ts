import type { GapJson } from '../../processors/initial-sync/gap-finding.ts';

/** What a replication has missed, and what of that an initial synchronization makes up for. */
export function gapText(
  replicationId: string,
  { offsets, since, older_than_tombstones: isOlder }: GapJson,
): string {
  const from = since === null ? '' : ` (from ${new Date(since).toISOString()} on)`;
  return (
    `${replicationId}: up to ${offsets} mutations were not sent since its last synchronization${from}, ` +
    `so it also gets the deletions that the snapshot still holds${repairText(isOlder)}`
  );
}

function repairText(isOlderThanTombstones: boolean | null): string {
  if (isOlderThanTombstones === false) return '';
  return isOlderThanTombstones === null
    ? '; whether those are all of them is not known'
    : '; the gap is older than delete.retention.ms: deletions of its beginning may not be repaired';
}
