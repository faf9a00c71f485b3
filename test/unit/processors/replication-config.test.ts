import { describe, expect, test } from '@jest/globals';
import {
  judgeConfig,
  type ConfigRules,
  type ReplicationConfig,
} from '../../../processors/replication-config.ts';
import { azureEventHubsAdapter } from '../../../sinks/azure-event-hubs/azure-event-hubs-adapter.ts';
import { credentialsUriProblem } from '../../../sinks/credentials.ts';
import { fileAdapter } from '../../../sinks/file/file-adapter.ts';
import { googlePubSubAdapter } from '../../../sinks/google-pubsub/google-pubsub-adapter.ts';
import type { SinkAdapter } from '../../../sinks/sink.ts';

const adapters = [
  googlePubSubAdapter({ allowEmulators: false, emulatorHost: null }),
  azureEventHubsAdapter({ allowEmulators: false }),
  fileAdapter({ directory: '/tmp' }),
] as readonly SinkAdapter<unknown>[];

const rules: ConfigRules = {
  types: new Map(adapters.map((adapter) => [adapter.type, adapter])),
  checkCredentialsUri: credentialsUriProblem,
};

const PUBSUB = {
  id: '80',
  datamart_id: '1649',
  name: 'to acme',
  type: 'GOOGLE_PUBSUB',
  project_id: 'acme',
  topic_id: 'users',
  credentials_uri: 'file:acme.json',
  status: 'PAUSED',
};
const EVENT_HUBS = { id: '81', datamart_id: '1649', type: 'AZURE_EVENT_HUBS', event_hub_name: 'users' };

function judge(record: unknown, previous: ReplicationConfig | null = null, key = '80') {
  const value = Buffer.isBuffer(record) ? record : Buffer.from(JSON.stringify(record));
  return judgeConfig(key, value, 7, previous, rules);
}

function accepted(record: unknown, key = '80'): ReplicationConfig {
  const judgement = judge(record, null, key);
  if (judgement.kind !== 'accepted') throw new Error(`refused: ${judgement.problem.message}`);
  return judgement.config;
}

describe('accepts', () => {
  test('a record with its defaults', () => {
    expect(accepted(PUBSUB)).toMatchObject({
      id: '80',
      datamart: 1649,
      version: 2,
      status: 'PAUSED',
      filter: null,
      ordering: false,
      orderingLanes: 16,
      messageId: false,
      userPointParent: false,
      resume: null,
    });
    expect(accepted(EVENT_HUBS, '81')).toMatchObject({ version: 1, ordering: true, name: '81' });
  });

  test('ids as JSON integers', () => {
    expect(accepted({ ...PUBSUB, id: 80, datamart_id: 1649 })).toMatchObject({
      id: '80',
      datamartId: '1649',
    });
  });

  test('an explicit version 1 on Pub/Sub: a legacy replication', () => {
    expect(accepted({ ...PUBSUB, version: 1 }).version).toBe(1);
  });

  test('filters as they come back from the API, duplicates collapsed, USER_POINT with its parent', () => {
    const filter = (document: string) => ({ id: '1', replication_id: '80', document, filter: null });
    const { filter: mask } = accepted({
      ...PUBSUB,
      replication_filters: [filter('USER_POINT'), filter('USER_SEGMENT'), filter('USER_SEGMENT')],
    });
    expect(mask).toBe((1 << 0) | (1 << 3) | (1 << 9));
  });

  test('a null field of another type', () => {
    expect(accepted({ ...PUBSUB, event_hub_name: null }).type).toBe('GOOGLE_PUBSUB');
  });

  test('ERROR as an echo of what was read: the accepted status stays', () => {
    const previous = accepted({ ...PUBSUB, status: 'ACTIVE' });
    const judgement = judge({ ...PUBSUB, status: 'ERROR' }, previous);
    expect(judgement).toMatchObject({ kind: 'accepted', config: { status: 'ACTIVE' } });
  });
});

describe('refuses', () => {
  test.each([
    ['what is not JSON', Buffer.from('{"id":'), 'config_unparseable', null],
    ['what is not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'config_unparseable', null],
    ['what is not an object', [1], 'config_unparseable', null],
    ['a key that differs from the id', { ...PUBSUB, id: '79' }, 'config_key_mismatch', 'id'],
    ['a missing type', { ...PUBSUB, type: undefined }, 'missing_field', 'type'],
    ['an unknown type', { ...PUBSUB, type: 'KAFKA' }, 'unsupported_type', 'type'],
    ['an unknown field', { ...PUBSUB, projct_id: 'x' }, 'unknown_field', 'projct_id'],
    ['a field of another type', { ...PUBSUB, event_hub_name: 'x' }, 'field_not_applicable', 'event_hub_name'],
    ['version 3', { ...PUBSUB, version: 3 }, 'invalid_version', 'version'],
    ['version "2"', { ...PUBSUB, version: '2' }, 'invalid_version', 'version'],
    ['an unknown status', { ...PUBSUB, status: 'RUNNING' }, 'invalid_status', 'status'],
    ['a datamart that is no id', { ...PUBSUB, datamart_id: '01' }, 'invalid_datamart_id', 'datamart_id'],
    [
      'an empty list of filters',
      { ...PUBSUB, replication_filters: [] },
      'empty_filters',
      'replication_filters',
    ],
    [
      'an unknown document',
      { ...PUBSUB, replication_filters: [{ document: 'USER_FOO' }] },
      'unknown_document',
      'replication_filters',
    ],
    [
      'USER_POINT_PARENT in a filter',
      { ...PUBSUB, replication_filters: [{ document: 'USER_POINT_PARENT' }] },
      'unknown_document',
      'replication_filters',
    ],
    [
      'a filter that is not null',
      { ...PUBSUB, replication_filters: [{ document: 'USER_POINT', filter: 'x' }] },
      'filter_not_supported',
      'replication_filters',
    ],
    ['a project with spaces', { ...PUBSUB, project_id: 'My Project' }, 'invalid_project_id', 'project_id'],
    [
      'a topic in its long form',
      { ...PUBSUB, topic_id: 'projects/x/topics/y' },
      'invalid_topic_id',
      'topic_id',
    ],
    ['lanes out of range', { ...PUBSUB, ordering_lanes: 0 }, 'invalid_ordering_lanes', 'ordering_lanes'],
    ['an option of the wrong kind', { ...PUBSUB, ordering: 'yes' }, 'invalid_ordering', 'ordering'],
    ['metadata that is not known', { ...PUBSUB, metadata: ['trace'] }, 'invalid_metadata', 'metadata'],
    ['resume that is not known', { ...PUBSUB, resume: 'LATER' }, 'invalid_resume', 'resume'],
    [
      'user_point_parent in version 1',
      { ...PUBSUB, version: 1, user_point_parent: true },
      'field_not_applicable',
      'user_point_parent',
    ],
    ['an empty name', { ...PUBSUB, name: '' }, 'invalid_name', 'name'],
  ])('%s', (_, record, code, field) => {
    expect(judge(record)).toMatchObject({ kind: 'refused', problem: { code, field } });
  });

  test('version 2 on Event Hubs', () => {
    expect(judge({ ...EVENT_HUBS, version: 2 }, null, '81')).toMatchObject({
      problem: { code: 'version_not_supported_for_type' },
    });
  });

  test('with a suggestion for a misspelt field', () => {
    expect(judge({ ...PUBSUB, topicid: 'x' })).toMatchObject({
      problem: { message: expect.stringContaining('did you mean topic_id') as unknown },
    });
  });

  test.each([
    ['version', { version: 1 }, 'immutable_field'],
    ['datamart', { datamart_id: '7' }, 'immutable_field'],
    ['destination', { topic_id: 'others' }, 'immutable_field'],
    ['filters', { replication_filters: [{ document: 'USER_POINT' }] }, 'filters_immutable'],
  ])('a changed %s', (_, change, code) => {
    expect(judge({ ...PUBSUB, ...change }, accepted(PUBSUB))).toMatchObject({
      kind: 'refused',
      problem: { code },
    });
  });

  test('never repeats a value in its words', () => {
    const secret = 'SharedAccessKey=abcdef';
    for (const field of Object.keys(PUBSUB).filter((name) => name !== 'id' && name !== 'name')) {
      expect(JSON.stringify(judge({ ...PUBSUB, [field]: secret }))).not.toContain('abcdef');
    }
  });
});

test('a record with another `created` is another replication: nothing is immutable', () => {
  const previous = accepted({ ...PUBSUB, created: 1 });
  expect(judge({ ...PUBSUB, created: 2, topic_id: 'others' }, previous).kind).toBe('accepted');
});
