import { expect, test } from '@jest/globals';
import type { ExecutionResource } from '../../../../api/execution-resource.ts';
import { detailsText } from '../../../../commands/initial-sync/execution-text.ts';

const SUCCEEDED: ExecutionResource = {
  id: 'sync-1',
  datamart_id: '1649',
  status: 'SUCCEEDED',
  creation_date: 1_763_900_000_000,
  start_date: 1_763_900_001_000,
  duration: 52_000,
  num_tasks: 8,
  completed_tasks: 8,
  erroneous_tasks: 0,
  user_id: 'ops',
  external_model_name: 'PUBLIC_DATAMART',
  parameters: { replication_ids: ['80'], max_operations: null },
  held: null,
  result: {
    total_failure: 0,
    replications: {
      80: {
        outcome: 'succeeded',
        documents: { UserProfile: 1_200 },
        skipped_newer: 12,
        rejected: 0,
        gap: { offsets: '40', since: null, older_than_tombstones: true },
      },
    },
  },
  error: null,
  progress: 1,
};

test('what a replication had missed, and what may not be repaired, is told with the result', () => {
  expect(detailsText(SUCCEEDED)).toContain(
    '- 80: up to 40 mutations were not sent since its last synchronization, so it also gets the deletions that the ' +
      'snapshot still holds; the gap is older than delete.retention.ms: deletions of its beginning may not be repaired\n',
  );
});
