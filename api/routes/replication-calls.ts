import type { ApiCall } from '../api-call.ts';
import type { ApiErrorCode } from '../api-error.ts';
import { FIRST_RESULT, MAX_RESULTS, textParameter } from '../query-parameters.ts';
import type { ReplicationOperations, Versioned } from '../replication-operations.ts';
import type { ReplicationResource } from '../replication-resource.ts';

const COLLECTION = '/replications';
const ONE = '/replications/:replicationId';

const KEYWORDS = textParameter('keywords', 'Words that all must be in the name or the id');

/** What a record can be refused for. */
const RECORD_ERRORS: readonly ApiErrorCode[] = [
  'missing_field',
  'unknown_field',
  'field_not_applicable',
  'datamart_mismatch',
  'unsupported_type',
  'version_not_supported_for_type',
  'invalid_name',
  'invalid_version',
  'invalid_status',
  'invalid_project_id',
  'invalid_topic_id',
  'invalid_endpoint',
  'invalid_event_hub_name',
  'invalid_topic',
  'invalid_brokers',
  'invalid_path',
  'invalid_credentials_uri',
  'invalid_resume',
  'invalid_metadata',
  'invalid_user_point_parent',
  'invalid_ordering',
  'invalid_ordering_lanes',
  'invalid_replication_filters',
  'empty_filters',
  'unknown_document',
  'filter_not_supported',
  'invalid_field',
  'forbidden',
  'not_ready',
  'write_not_confirmed',
];

/** List, create, read, change and delete replications. */
export function replicationCalls(operations: ReplicationOperations): readonly ApiCall[] {
  return [
    {
      name: 'listReplications',
      method: 'GET',
      path: COLLECTION,
      summary: 'The datamart’s replications, the newest first',
      parameters: [FIRST_RESULT, MAX_RESULTS, KEYWORDS],
      body: { kind: 'none' },
      takesIfMatch: false,
      answer: { status: 200, schema: 'Replication', isList: true },
      errors: ['not_ready'],
      change: null,
      handle: async ({ datamartId, query }) => {
        const firstResult = query.get(FIRST_RESULT) ?? 0;
        const maxResults = query.get(MAX_RESULTS) ?? 50;
        const keywords = query.get(KEYWORDS);
        const { items, total } = await operations.list(datamartId, { firstResult, maxResults, keywords });
        return { data: items, page: { total, firstResult, maxResults } };
      },
    },
    {
      name: 'createReplication',
      method: 'POST',
      path: COLLECTION,
      summary: 'Create a replication, PAUSED',
      parameters: [],
      body: {
        kind: 'json',
        schema: 'NewReplication',
        isRequired: true,
        example: { name: 'to acme', type: 'GOOGLE_PUBSUB', project_id: 'acme', topic_id: 'users' },
      },
      takesIfMatch: false,
      answer: { status: 201, schema: 'Replication', isList: false },
      errors: [
        ...RECORD_ERRORS,
        'initial_status_must_be_paused',
        'version_not_allowed',
        'too_many_replications',
      ],
      change: 'created a replication',
      handle: async ({ datamartId, body, caller }) => {
        const created = await operations.create(datamartId, body, caller);
        return { ...answerOf(created), createdId: created.value.id };
      },
    },
    {
      name: 'getReplication',
      method: 'GET',
      path: ONE,
      summary: 'One replication, with the positions of its partitions',
      parameters: [],
      body: { kind: 'none' },
      takesIfMatch: false,
      answer: { status: 200, schema: 'Replication', isList: false },
      errors: ['not_ready'],
      change: null,
      handle: async ({ datamartId, id }) => answerOf(await operations.get(datamartId, id)),
    },
    {
      name: 'updateReplication',
      method: 'PUT',
      path: ONE,
      summary: 'Change name, status and options. Activating tries the destination first',
      parameters: [],
      body: {
        kind: 'json',
        schema: 'ReplicationChange',
        isRequired: true,
        example: { status: 'ACTIVE' },
      },
      takesIfMatch: true,
      answer: { status: 200, schema: 'Replication', isList: false },
      errors: [
        ...RECORD_ERRORS,
        'config_key_mismatch',
        'filters_immutable',
        'immutable_field',
        'credentials_missing',
        'sync_in_progress',
        'activation_failed',
        'precondition_failed',
      ],
      change: 'changed a replication',
      handle: async ({ datamartId, id, body, caller, ifMatch }) =>
        answerOf(await operations.update(datamartId, id, body, caller, ifMatch)),
    },
    {
      name: 'deleteReplication',
      method: 'DELETE',
      path: ONE,
      summary: 'Delete a replication; answers it as it was',
      parameters: [],
      body: { kind: 'none' },
      takesIfMatch: true,
      answer: { status: 200, schema: 'Replication', isList: false },
      errors: ['precondition_failed', 'not_ready', 'write_not_confirmed'],
      change: 'deleted a replication',
      handle: async ({ datamartId, id, caller, ifMatch }) => ({
        data: await operations.delete(datamartId, id, caller, ifMatch),
      }),
    },
  ];
}

function answerOf({ value, etag }: Versioned<ReplicationResource>) {
  return { data: value, etag };
}
