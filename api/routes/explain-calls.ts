import type { ApiCall } from '../api-call.ts';
import type { ReplicationOperations } from '../replication-operations.ts';

/** Explain what becomes of a mutation. */
export function explainCalls(operations: ReplicationOperations): readonly ApiCall[] {
  return [
    {
      name: 'explain',
      method: 'POST',
      path: '/replications/:replicationId/explain',
      summary: 'Why the replication gets a mutation, or doesn’t',
      parameters: [],
      body: {
        kind: 'json',
        schema: 'ExplainRequest',
        isRequired: true,
        example: { topic: 'datamart-mutations', partition: 3, offset: '123456' },
      },
      takesIfMatch: false,
      readsLog: true,
      answer: { status: 200, schema: 'Explanation', isList: false },
      errors: ['invalid_mutation', 'not_ready'],
      change: null,
      handle: async ({ datamartId, id, body }) => ({ data: await operations.explain(datamartId, id, body) }),
    },
  ];
}
