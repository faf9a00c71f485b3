import { describe, expect, test } from '@jest/globals';
import { classifyError } from '../../../../sinks/kafka-topic/classify-error.ts';
import { aKafkaError } from '../../../support/record-producer-in-memory.ts';

describe('classifyError of KAFKA_TOPIC', () => {
  test.each([
    ['fatal', 'permission_denied', false, { type: 'TOPIC_AUTHORIZATION_FAILED' }],
    ['fatal', 'permission_denied', false, { type: 'CLUSTER_AUTHORIZATION_FAILED' }],
    ['fatal', 'unauthenticated', false, { type: 'SASL_AUTHENTICATION_FAILED' }],
    ['fatal', 'unauthenticated', false, { type: 'UNSUPPORTED_SASL_MECHANISM' }],
    ['fatal', 'unauthenticated', false, { name: 'KafkaJSSASLAuthenticationError' }],
    ['fatal', 'not_found', false, { type: 'UNKNOWN_TOPIC_OR_PARTITION' }],
    ['fatal', 'not_found', false, { type: 'INVALID_TOPIC_EXCEPTION' }],
    ['fatal', 'precondition_failed', false, { type: 'POLICY_VIOLATION' }],
    ['fatal', 'precondition_failed', false, { type: 'UNSUPPORTED_FOR_MESSAGE_FORMAT' }],
    ['rejected', 'too_large', true, { type: 'MESSAGE_TOO_LARGE' }],
    ['rejected', 'too_large', true, { type: 'RECORD_LIST_TOO_LARGE' }],
    ['rejected', 'too_large', true, { name: 'RecordTooLargeError' }],
    ['rejected', 'invalid_record', true, { type: 'INVALID_RECORD' }],
    ['rejected', 'invalid_record', true, { type: 'INVALID_TIMESTAMP' }],
    ['retriable', 'throttled', true, { type: 'THROTTLING_QUOTA_EXCEEDED' }],
    ['retriable', 'timeout', true, { type: 'REQUEST_TIMED_OUT' }],
    ['retriable', 'timeout', true, { name: 'KafkaJSRequestTimeoutError' }],
    ['retriable', 'unavailable', true, { type: 'NOT_LEADER_FOR_PARTITION' }],
    ['retriable', 'unavailable', true, { type: 'LEADER_NOT_AVAILABLE' }],
    ['retriable', 'unavailable', true, { type: 'NOT_ENOUGH_REPLICAS' }],
    ['retriable', 'unavailable', true, { type: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND' }],
    ['retriable', 'unreachable', true, { name: 'KafkaJSConnectionError' }],
    ['retriable', 'unreachable', true, { name: 'KafkaJSConnectionClosedError' }],
    ['retriable', 'unreachable', true, { name: 'KafkaJSBrokerNotFound' }],
    ['retriable', 'unreachable', true, { code: 'ECONNREFUSED' }],
    ['retriable', 'unknown', true, { type: 'KAFKAJS_UNKNOWN_ERROR_CODE' }],
    ['retriable', 'unknown', true, { name: 'KafkaJSError' }],
  ])('%s, %s, ambiguous %s: %j', (kind, code, isAmbiguous, fields) => {
    const error = aKafkaError(fields);

    expect(classifyError(error, 'sending', 'users')).toMatchObject({ kind, code, isAmbiguous, cause: error });
    expect(classifyError(error, 'opening', 'users').isAmbiguous).toBe(false);
  });

  test('looks through wrappers to their cause', () => {
    const cause = aKafkaError({ type: 'TOPIC_AUTHORIZATION_FAILED' });
    const retried = Object.assign(aKafkaError({ name: 'KafkaJSNumberOfRetriesExceeded' }), { cause });
    const wrapped = Object.assign(aKafkaError({ name: 'KafkaJSNonRetriableError' }), {
      originalError: retried,
    });
    const bundled = Object.assign(aKafkaError({ name: 'KafkaJSAggregateError' }), { errors: [wrapped] });

    expect(classifyError(bundled, 'sending', 'users')).toMatchObject({
      code: 'permission_denied',
      message: 'publishing to topic users: TOPIC_AUTHORIZATION_FAILED',
    });
  });

  test.each(['just a text', undefined, null, 7])('calls %j unknown', (error) => {
    expect(classifyError(error, 'sending', 'users')).toMatchObject({ kind: 'retriable', code: 'unknown' });
  });

  test('ends with causes that lead in a circle', () => {
    const error = aKafkaError({ name: 'KafkaJSError' });
    Object.assign(error, { cause: error });

    expect(classifyError(error, 'sending', 'users').code).toBe('unknown');
  });
});
