import { describe, expect, test } from '@jest/globals';
import { parseGooglePubSubConfig } from '../../../../sinks/google-pubsub/config.ts';

describe('parseGooglePubSubConfig', () => {
  test.each([
    [
      { project_id: 'acme', topic_id: 'test' },
      { projectId: 'acme', topicId: 'test', endpoint: null },
    ],
    [
      {
        project_id: 'example.com:acme-1',
        topic_id: 'Users.v2~%+-',
        endpoint: 'europe-west1-pubsub.googleapis.com',
      },
      {
        projectId: 'example.com:acme-1',
        topicId: 'Users.v2~%+-',
        endpoint: 'europe-west1-pubsub.googleapis.com',
      },
    ],
    [
      { project_id: 'acme', topic_id: 'users', endpoint: null },
      { projectId: 'acme', topicId: 'users', endpoint: null },
    ],
  ])('takes %j', (record, config) => {
    expect(parseGooglePubSubConfig(record)).toEqual({ config });
  });

  test.each([
    [{ topic_id: 'users' }, 'missing_field', 'project_id'],
    [{ project_id: 'My Project', topic_id: 'users' }, 'invalid_project_id', 'project_id'],
    [{ project_id: '../x', topic_id: 'users' }, 'invalid_project_id', 'project_id'],
    [{ project_id: 7, topic_id: 'users' }, 'invalid_project_id', 'project_id'],
    [{ project_id: 'acme\n', topic_id: 'users' }, 'invalid_project_id', 'project_id'],
    [{ project_id: 'acme' }, 'missing_field', 'topic_id'],
    [{ project_id: 'acme', topic_id: 'projects/x/topics/y' }, 'invalid_topic_id', 'topic_id'],
    [{ project_id: 'acme', topic_id: 'google' }, 'invalid_topic_id', 'topic_id'],
    [{ project_id: 'acme', topic_id: 'ab' }, 'invalid_topic_id', 'topic_id'],
    [{ project_id: 'acme', topic_id: '1users' }, 'invalid_topic_id', 'topic_id'],
    [{ project_id: 'acme', topic_id: 'u'.repeat(256) }, 'invalid_topic_id', 'topic_id'],
    [{ project_id: 'acme', topic_id: 'users', endpoint: 'evil.example' }, 'invalid_endpoint', 'endpoint'],
    [
      { project_id: 'acme', topic_id: 'users', endpoint: 'x-pubsub.googleapis.com.evil.example' },
      'invalid_endpoint',
      'endpoint',
    ],
    [{ project_id: 'acme', topic_id: 'users', endpoint: 'localhost:8085' }, 'invalid_endpoint', 'endpoint'],
    [{ project_id: 'acme', topic_id: 'users', endpoint: '' }, 'invalid_endpoint', 'endpoint'],
  ])('refuses %j', (record, code, field) => {
    const parsed = parseGooglePubSubConfig(record);

    expect(parsed).toMatchObject({ problem: { code, field } });
  });
});
