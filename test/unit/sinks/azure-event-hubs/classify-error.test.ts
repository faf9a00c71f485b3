import { describe, expect, test } from '@jest/globals';
import { classifyError } from '../../../../sinks/azure-event-hubs/classify-error.ts';

const messagingError = (code: string, message = 'it failed'): Error =>
  Object.assign(new Error(message), { name: 'MessagingError', code });

const named = (name: string): Error => Object.assign(new Error('it failed'), { name });

const NO_CLAIM = "Unauthorized access. 'Send' claim(s) are required to perform this operation.";

describe('classifyError of Azure Event Hubs', () => {
  test.each([
    ['retriable', 'throttled', false, messagingError('ServerBusyError')],
    ['retriable', 'throttled', false, messagingError('TransferLimitExceededError')],
    ['retriable', 'unavailable', true, messagingError('ServiceUnavailableError')],
    ['retriable', 'unavailable', true, messagingError('InternalServerError')],
    ['retriable', 'unavailable', true, messagingError('DetachForcedError')],
    ['retriable', 'unavailable', true, messagingError('ConnectionForcedError')],
    ['retriable', 'unavailable', true, messagingError('SendOperationFailedError')],
    ['retriable', 'unavailable', true, messagingError('OperationCancelledError')],
    ['retriable', 'unavailable', false, messagingError('SenderBusyError')],
    ['retriable', 'unavailable', false, messagingError('SenderNotReadyError')],
    ['retriable', 'unavailable', false, messagingError('InsufficientCreditError')],
    ['retriable', 'timeout', true, messagingError('OperationTimeoutError')],
    ['retriable', 'timeout', true, named('AbortError')],
    ['retriable', 'timeout', true, named('TimeoutError')],
    ['retriable', 'unreachable', true, messagingError('ENOTFOUND')],
    ['retriable', 'unreachable', true, messagingError('ECONNREFUSED')],
    ['retriable', 'unreachable', true, messagingError('ECONNRESET')],
    ['retriable', 'unreachable', true, messagingError('EAI_AGAIN')],
    ['retriable', 'unreachable', true, messagingError('ERR_TLS_CERT_ALTNAME_INVALID')],
    ['fatal', 'unauthenticated', false, messagingError('UnauthorizedError', 'InvalidSignature')],
    ['fatal', 'permission_denied', false, messagingError('UnauthorizedError', NO_CLAIM)],
    ['fatal', 'permission_denied', false, messagingError('PublisherRevokedError')],
    ['fatal', 'not_found', false, messagingError('MessagingEntityNotFoundError')],
    ['fatal', 'not_found', false, messagingError('ServiceCommunicationError')],
    ['fatal', 'precondition_failed', false, messagingError('MessagingEntityDisabledError')],
    ['fatal', 'precondition_failed', false, messagingError('InvalidOperationError')],
    ['fatal', 'precondition_failed', false, messagingError('NotImplementedError')],
    ['fatal', 'quota_exceeded', false, messagingError('QuotaExceededError')],
    ['rejected', 'too_large', false, messagingError('MessageTooLargeError')],
    ['rejected', 'invalid_record', false, messagingError('ArgumentError')],
    ['rejected', 'invalid_record', false, messagingError('DecodeError')],
    ['retriable', 'unknown', true, messagingError('SomethingNewError')],
    ['retriable', 'unknown', true, new TypeError('a bug')],
    ['retriable', 'unknown', true, 'just a text'],
    ['retriable', 'unknown', true, undefined],
  ])('%s, %s, ambiguous %s', (kind, code, isAmbiguous, error) => {
    expect(classifyError(error, 'sending', 'users')).toMatchObject({ kind, code, isAmbiguous, cause: error });
  });

  test.each([
    ['throttled', 'com.microsoft:server-busy'],
    ['not_found', 'amqp:not-found'],
    ['unauthenticated', 'amqp:unauthorized-access'],
    ['quota_exceeded', 'amqp:resource-limit-exceeded'],
    ['unavailable', 'amqp:link:detach-forced'],
    ['unavailable', 'amqp:connection:forced'],
    ['too_large', 'amqp:link:message-size-exceeded'],
  ])('%s also of the raw condition %s, as a detached link carries it', (code, condition) => {
    expect(classifyError({ condition, description: 'said the service' }, 'sending', 'users')).toMatchObject({
      code,
      message: 'publishing to event hub users: said the service',
    });
  });

  test.each([
    ['too few rights', NO_CLAIM, 'permission_denied', '--rights Send'],
    [
      'a firewall',
      'Ip has been prevented to connect to the endpoint.',
      'permission_denied',
      'network-rule-set ip-rule add',
    ],
    [
      'a refused key',
      'InvalidSignature: The token has an invalid signature.',
      'unauthenticated',
      'keys list',
    ],
  ])('tells %s from the others of its condition, and says what helps', (_, message, code, remedy) => {
    const failure = classifyError(messagingError('UnauthorizedError', message), 'opening', 'users');

    expect(failure).toMatchObject({ kind: 'fatal', code, remedy: expect.stringContaining(remedy) });
  });

  test('row 46: says in plain words that the clock is wrong, and lets the destination off', () => {
    const refusal = messagingError('UnauthorizedError', 'ExpiredToken: The token is expired.');

    expect(classifyError(refusal, 'opening', 'users')).toMatchObject({
      kind: 'retriable',
      code: 'unauthenticated',
      message: expect.stringContaining("this machine's clock is wrong"),
      remedy: expect.stringContaining('NTP'),
    });
  });

  test.each([
    ['MessagingEntityNotFoundError', 'az eventhubs eventhub create', '--name users'],
    ['MessagingEntityDisabledError', 'az eventhubs eventhub update', '--status Active'],
    ['InvalidOperationError', 'settings', 'tier'],
    ['QuotaExceededError', 'quota', 'namespace'],
    ['ServerBusyError', 'throughput units', '--capacity'],
    ['ENOTFOUND', 'DNS', '5671'],
  ])('says what helps against %s', (code, ...words) => {
    const { remedy } = classifyError(messagingError(code), 'opening', 'users');

    for (const word of words) expect(remedy).toContain(word);
  });

  test('reads the last of bundled errors, which the SDK gives no code', () => {
    const bundle = new AggregateError([messagingError('ServerBusyError'), messagingError('ECONNREFUSED')]);

    expect(classifyError(bundle, 'sending', 'users').code).toBe('unreachable');
    expect(classifyError(new AggregateError([bundle]), 'sending', 'users').code).toBe('unreachable');
    expect(classifyError(new AggregateError([]), 'sending', 'users').code).toBe('unreachable');
  });

  test('while opening nothing can have been stored, and no record is to blame', () => {
    const opening = classifyError(messagingError('ECONNRESET'), 'opening', 'users');

    expect(opening.isAmbiguous).toBe(false);
    expect(opening.message).toBe('opening event hub users: it failed');
    expect(classifyError(messagingError('ArgumentError'), 'opening', 'users').kind).toBe('fatal');
  });
});
