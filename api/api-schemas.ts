import { EXECUTION_STATUSES } from '../processors/initial-sync/execution.ts';
import { HELD_BY, PART_OUTCOMES, TASK_STATUSES } from '../processors/initial-sync/task-record.ts';
import { REPLICATION_STATES } from '../processors/replication-state.ts';
import { FILTER_NAMES } from '../schemas/document-type.ts';
import { DEAD_LETTER_REASONS } from '../schemas/mutation.ts';
import { API_ERROR_CODES } from './api-error.ts';

type Schema = Readonly<Record<string, unknown>>;

const text: Schema = { type: 'string' };
const maybeText: Schema = { type: ['string', 'null'] };
const offset: Schema = { type: 'string', pattern: '^[0-9]+$', description: 'an offset, as a decimal text' };
const maybeCount: Schema = { type: ['integer', 'null'] };
const countsByType: Schema = { type: 'object', additionalProperties: { type: 'integer' } };
const time: Schema = { type: 'integer', description: 'ms since 1970 UTC' };
const id: Schema = { type: 'string', pattern: '^[A-Za-z0-9_.-]{1,64}$' };
const datamartId: Schema = { type: 'string', pattern: '^[1-9][0-9]{0,18}$' };
const name: Schema = { type: 'string', minLength: 1, maxLength: 255 };
const projectId: Schema = { type: 'string', pattern: '^[a-z0-9.:-]{1,100}$', description: 'GOOGLE_PUBSUB' };
const topicId: Schema = {
  type: 'string',
  pattern: '^(?!goog)[A-Za-z][A-Za-z0-9._~%+-]{2,254}$',
  description: 'GOOGLE_PUBSUB: the short id',
};
const endpoint: Schema = {
  type: 'string',
  pattern: '^[a-z0-9-]+-pubsub\\.googleapis\\.com$',
  description: 'GOOGLE_PUBSUB: a regional host, for data residency',
};
const eventHubName: Schema = {
  type: 'string',
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,255}$',
  description: 'AZURE_EVENT_HUBS',
};
const document: Schema = { type: 'string', enum: FILTER_NAMES };

/** What can be changed later. */
const OPTIONS: Readonly<Record<string, Schema>> = {
  credentials_uri: {
    ...maybeText,
    description: 'set by uploading credentials; operators may set file:<path>',
  },
  resume: {
    type: ['string', 'null'],
    enum: ['WHERE_STOPPED', 'NOW', null],
    description: 'where an activation goes on; null: from now, and where it stopped after an ERROR',
  },
  metadata: { type: ['array', 'null'], items: { type: 'string', enum: ['message_id'] }, maxItems: 1 },
  user_point_parent: { type: ['boolean', 'null'], description: 'version 2 only' },
  ordering: { type: ['boolean', 'null'] },
  ordering_lanes: { type: ['integer', 'null'], minimum: 1, maximum: 256 },
};

const DESTINATION: Readonly<Record<string, Schema>> = {
  project_id: projectId,
  topic_id: topicId,
  endpoint,
  event_hub_name: eventHubName,
};

/** What an answer repeats; it is ignored, or has to be the same. */
const ECHO: Readonly<Record<string, Schema>> = {
  id: { type: ['string', 'integer'] },
  datamart_id: { type: ['string', 'integer'], description: 'as in the path' },
  observed: { type: 'object', description: 'ignored' },
};

const givenFilters: Schema = {
  type: ['array', 'null'],
  minItems: 1,
  description: 'null: every document',
  items: {
    type: 'object',
    properties: { document, filter: { type: 'null' }, id: text, replication_id: text },
    required: ['document'],
    additionalProperties: false,
  },
};

const type: Schema = {
  type: 'string',
  examples: ['GOOGLE_PUBSUB', 'AZURE_EVENT_HUBS'],
  description: 'operators may use further types, which bring their own fields',
};

const gap = {
  type: 'object',
  description: 'what was not sent since its last initial synchronization',
  properties: {
    offsets: { ...offset, description: 'mutations at most' },
    since: { ...time, type: ['integer', 'null'], description: 'when the oldest was stored, at the latest' },
    older_than_tombstones: {
      type: ['boolean', 'null'],
      description: 'true: deletions of its beginning may not be repaired',
    },
  },
  required: ['offsets', 'since', 'older_than_tombstones'],
} as const;

/** The JSON schemas of what the API takes and answers, as its documentation shows them. Nothing is validated by them. */
export const API_SCHEMAS = {
  Replication: {
    type: 'object',
    properties: {
      id,
      version: { type: 'integer', enum: [1, 2] },
      status: { type: 'string', enum: ['ACTIVE', 'PAUSED', 'ERROR'] },
      name,
      type,
      datamart_id: datamartId,
      ...DESTINATION,
      credentials_uri: OPTIONS.credentials_uri,
      replication_filters: {
        type: ['array', 'null'],
        description: 'null: every document',
        items: {
          type: 'object',
          properties: { id: text, replication_id: id, document, filter: { type: 'null' } },
          required: ['id', 'replication_id', 'document', 'filter'],
        },
      },
      resume: OPTIONS.resume,
      metadata: { type: 'array', items: { type: 'string', enum: ['message_id'] } },
      user_point_parent: { type: 'boolean' },
      ordering: { type: 'boolean' },
      ordering_lanes: { type: 'integer', minimum: 1, maximum: 256 },
      observed: { $ref: '#/components/schemas/Observed' },
    },
    required: [
      'id',
      'version',
      'status',
      'name',
      'type',
      'datamart_id',
      'replication_filters',
      'resume',
      'observed',
    ],
  },
  Observed: {
    type: 'object',
    description: 'what the processors see',
    properties: {
      state: { type: 'string', enum: REPLICATION_STATES.filter((state) => state !== 'DELETED') },
      reason: { type: ['string', 'null'], enum: ['activation_failed', 'destination_failed', null] },
      code: maybeText,
      message: maybeText,
      remedy: maybeText,
      since: { ...time, type: ['integer', 'null'] },
      deferred_status: maybeText,
      needs_initial_sync: { type: 'boolean' },
      lost_offsets: offset,
      lag_records: { type: ['integer', 'null'] },
      lag_seconds: { type: ['number', 'null'] },
      refused: {
        type: ['object', 'null'],
        description: 'why the newest record on the control topic isn’t in force',
        properties: { offset, code: text, field: maybeText, message: text, time },
      },
      positions: {
        type: 'array',
        description: 'not in lists',
        items: { $ref: '#/components/schemas/Position' },
      },
    },
    required: [
      'state',
      'reason',
      'code',
      'message',
      'remedy',
      'since',
      'deferred_status',
      'needs_initial_sync',
      'lost_offsets',
      'lag_records',
      'lag_seconds',
      'refused',
    ],
  },
  Position: {
    type: 'object',
    properties: {
      topic: text,
      partition: { type: 'integer' },
      state: { type: 'string', enum: ['ACTIVE', 'ACTIVATING', 'DETACHED', 'STOPPED', 'PAUSED'] },
      offset: { ...offset, type: ['string', 'null'] },
      lag_records: { type: ['integer', 'null'] },
      gap: {
        type: ['object', 'null'],
        description: 'the last interval that was not sent',
        properties: { from: offset, to: offset },
      },
    },
    required: ['topic', 'partition', 'state', 'offset', 'lag_records', 'gap'],
  },
  NewReplication: {
    type: 'object',
    description: 'also a replication as it was answered',
    properties: {
      ...ECHO,
      name,
      type,
      version: { type: ['integer', 'null'], enum: [1, 2, null] },
      status: { type: ['string', 'null'], enum: ['PAUSED', null] },
      ...DESTINATION,
      replication_filters: givenFilters,
      ...OPTIONS,
    },
    required: ['name', 'type'],
  },
  ReplicationChange: {
    type: 'object',
    description: 'what is left out stays, null is the default; what can’t be changed may be repeated',
    properties: {
      ...ECHO,
      name,
      status: { type: ['string', 'null'], enum: ['ACTIVE', 'PAUSED', 'ERROR', null] },
      ...OPTIONS,
      type,
      version: { type: 'integer', enum: [1, 2] },
      ...DESTINATION,
      replication_filters: givenFilters,
    },
  },
  DeadLetter: {
    type: 'object',
    properties: {
      time,
      reason: { type: 'string', enum: DEAD_LETTER_REASONS },
      code: maybeText,
      replication_id: maybeText,
      datamart_id: maybeText,
      topic: text,
      partition: { type: 'integer' },
      offset,
      schema_id: { type: ['integer', 'null'] },
      truncated: { type: 'boolean' },
      detail: text,
      dead_letter_partition: { type: 'integer' },
      dead_letter_offset: offset,
    },
  },
  RedriveRequest: {
    type: 'object',
    properties: {
      reason: { type: ['string', 'null'], enum: [...DEAD_LETTER_REASONS, null] },
      since: { type: ['string', 'integer', 'null'], description: 'stored then or later' },
      until: { type: ['string', 'integer', 'null'], description: 'stored before' },
      force: { type: 'boolean', description: 'send also what may be older than what the destination has' },
      dry_run: { type: 'boolean', description: 'only say what would be sent' },
      limit: { type: 'integer', minimum: 1, maximum: 10_000, default: 1_000 },
    },
    additionalProperties: false,
  },
  RedriveResult: {
    type: 'object',
    properties: {
      dry_run: { type: 'boolean' },
      complete: {
        type: 'boolean',
        description: 'false: more match than limit, or it took too long; call again for the rest',
      },
      results: {
        type: 'object',
        additionalProperties: { type: 'integer' },
        description: 'how many, by result',
      },
    },
    required: ['dry_run', 'complete', 'results'],
  },
  ExplainRequest: {
    oneOf: [
      {
        type: 'object',
        properties: {
          topic: text,
          partition: { type: ['integer', 'string'] },
          offset: { type: ['integer', 'string'] },
        },
        required: ['topic', 'partition', 'offset'],
        additionalProperties: false,
      },
      {
        type: 'object',
        properties: { mutation: { type: 'object' } },
        required: ['mutation'],
        additionalProperties: false,
      },
    ],
  },
  Explanation: { type: 'object', description: 'what became of the mutation, or will, and why' },
  LaunchRequest: {
    type: 'object',
    properties: {
      replication_ids: {
        type: ['array', 'null'],
        items: { type: ['string', 'integer'] },
        minItems: 1,
        maxItems: 1_000,
        description: 'null: every ACTIVE replication of the datamart',
      },
      max_operations: {
        type: ['integer', 'null'],
        minimum: 1,
        description: 'a budget: what is beyond it waits until the same id is launched with a higher one',
      },
      id: { ...id, description: 'the same one again launches nothing twice; left out, one is made' },
      datamart_id: { type: ['string', 'integer'], description: 'as in the path' },
    },
    additionalProperties: false,
  },
  Plan: {
    type: 'object',
    properties: {
      replications: {
        type: 'object',
        description: 'by replication',
        additionalProperties: { $ref: '#/components/schemas/PlanPart' },
      },
      rate: { ...maybeCount, description: 'operations per second and replication' },
      superseded_rows: {
        type: 'integer',
        description: 'rows that may be sent beside those, until compaction has removed them',
      },
      unreadable_rows: { type: 'integer', description: 'rows that are no mutations, and are left out' },
    },
    required: ['replications', 'rate', 'superseded_rows', 'unreadable_rows'],
  },
  PlanPart: {
    type: 'object',
    description: 'null: not known, or not billed by it',
    properties: {
      documents: { ...countsByType, description: 'of the filter’s, by type' },
      messages: { type: 'integer' },
      bytes: { type: 'integer', description: 'of the operations, in the replication’s version' },
      requests: { ...maybeCount, description: 'at least' },
      billed_bytes: { ...maybeCount, description: 'at least, by the rules of the destination’s provider' },
      throughput_unit_seconds: { ...maybeCount, description: 'of one unit that is used whole' },
      seconds: { ...maybeCount, description: 'at the rate' },
      billed_events: maybeCount,
      billing_source: { ...maybeText, description: 'where the provider says by what it bills' },
      deletions: { ...countsByType, description: 'of what was deleted in a gap, among the messages' },
      not_in_schema: { type: 'integer', description: 'documents that the schema can’t hold' },
      gap: { ...gap, type: ['object', 'null'] },
    },
    required: [
      'documents',
      'messages',
      'bytes',
      'requests',
      'billed_bytes',
      'throughput_unit_seconds',
      'seconds',
      'billed_events',
      'billing_source',
      'deletions',
      'not_in_schema',
      'gap',
    ],
  },
  Execution: {
    type: 'object',
    properties: {
      id,
      datamart_id: datamartId,
      status: { type: 'string', enum: EXECUTION_STATUSES },
      creation_date: time,
      start_date: { ...time, description: 'ms since 1970 UTC; absent before it runs' },
      duration: { type: 'integer', description: 'ms, until its end or until now; absent before it runs' },
      num_tasks: { type: 'integer', description: 'one for each partition of the snapshot' },
      completed_tasks: { type: 'integer' },
      erroneous_tasks: { type: 'integer' },
      user_id: maybeText,
      external_model_name: { type: 'string', const: 'PUBLIC_DATAMART' },
      parameters: {
        type: 'object',
        properties: {
          replication_ids: { type: 'array', items: id },
          max_operations: { type: ['integer', 'null'] },
        },
        required: ['replication_ids', 'max_operations'],
      },
      held: {
        type: ['string', 'null'],
        enum: [...HELD_BY, null],
        description: 'why nothing is sent for now',
      },
      result: {
        type: 'object',
        properties: {
          total_failure: { type: 'integer', description: 'replications that didn’t get everything' },
          replications: {
            type: 'object',
            description: 'by replication',
            additionalProperties: { $ref: '#/components/schemas/ExecutionPart' },
          },
        },
        required: ['total_failure', 'replications'],
      },
      error: {
        type: ['object', 'null'],
        description: 'why it FAILED',
        properties: {
          code: text,
          message: text,
          replication_ids: { type: 'array', items: id },
          next_date: { ...time, description: 'when it may be launched' },
        },
        required: ['code', 'message', 'replication_ids'],
      },
      progress: { type: 'number', minimum: 0, maximum: 1 },
      tasks: {
        type: 'array',
        description: 'not in lists',
        items: { $ref: '#/components/schemas/ExecutionTask' },
      },
    },
    required: [
      'id',
      'datamart_id',
      'status',
      'creation_date',
      'num_tasks',
      'completed_tasks',
      'erroneous_tasks',
      'user_id',
      'external_model_name',
      'parameters',
      'held',
      'result',
      'error',
      'progress',
    ],
  },
  ExecutionPart: {
    type: 'object',
    description: 'what one replication got; a row that is sent twice counts twice',
    properties: {
      outcome: { type: ['string', 'null'], enum: [...PART_OUTCOMES, null] },
      documents: {
        type: 'object',
        additionalProperties: { type: 'integer' },
        description: 'how many were sent, by document type',
      },
      skipped_newer: { type: 'integer', description: 'changed or deleted since the start: not sent' },
      rejected: { type: 'integer', description: 'refused by the destination: stored as dead letters' },
      gap: { ...gap, description: 'what it had missed when this was launched; absent: nothing' },
    },
    required: ['outcome', 'documents', 'skipped_newer', 'rejected'],
  },
  ExecutionTask: {
    type: 'object',
    properties: {
      topic: text,
      partition: { type: 'integer' },
      status: { type: 'string', enum: TASK_STATUSES },
      offset,
      end_offset: offset,
      operations: { type: 'integer' },
      held: { type: ['string', 'null'], enum: [...HELD_BY, null] },
      error: maybeText,
      updated_at: time,
    },
    required: [
      'topic',
      'partition',
      'status',
      'offset',
      'end_offset',
      'operations',
      'held',
      'error',
      'updated_at',
    ],
  },
  Error: {
    type: 'object',
    properties: {
      status: { type: 'string', const: 'error' },
      error: { type: 'string', description: 'for people' },
      error_code: { type: 'string', enum: API_ERROR_CODES },
      error_id: { type: 'string', format: 'uuid', description: 'the log knows it' },
      field: { type: 'string', description: 'the field or parameter that is wrong' },
      hint: { type: 'string', description: 'what helps' },
      details: { type: 'object' },
    },
    required: ['status', 'error', 'error_code', 'error_id', 'details'],
  },
} as const satisfies Readonly<Record<string, Schema>>;

export type SchemaName = keyof typeof API_SCHEMAS;
