import { describe, expect, test } from '@jest/globals';
import { GRPC_STATUS, classifyPubSubError } from '../../../../sinks/google-pubsub/classify-error.ts';

type Row = readonly [name: string, error: unknown, kind: string, code: string, isAmbiguous: boolean];

function grpc(code: number, details = 'said so'): Error {
  return Object.assign(new Error(`${code}: ${details}`), { code, details });
}

function httpError(message: string, code?: string): Error {
  const request = {
    config: { data: 'assertion=eyJhbGciOi', headers: { authorization: 'Bearer ya29.secret' } },
  };
  return Object.assign(new Error(message), request, code === undefined ? {} : { code });
}

const TOKEN = 'Getting metadata from plugin failed with error:';

const ROWS: readonly Row[] = [
  ['CANCELLED', grpc(GRPC_STATUS.CANCELLED), 'retriable', 'timeout', true],
  ['UNKNOWN', grpc(GRPC_STATUS.UNKNOWN), 'retriable', 'unknown', true],
  ['INVALID_ARGUMENT', grpc(GRPC_STATUS.INVALID_ARGUMENT), 'rejected', 'invalid_record', false],
  ['DEADLINE_EXCEEDED', grpc(GRPC_STATUS.DEADLINE_EXCEEDED), 'retriable', 'timeout', true],
  ['NOT_FOUND', grpc(GRPC_STATUS.NOT_FOUND), 'fatal', 'not_found', false],
  ['ALREADY_EXISTS', grpc(GRPC_STATUS.ALREADY_EXISTS), 'retriable', 'unknown', true],
  ['PERMISSION_DENIED', grpc(GRPC_STATUS.PERMISSION_DENIED), 'fatal', 'permission_denied', false],
  ['RESOURCE_EXHAUSTED', grpc(GRPC_STATUS.RESOURCE_EXHAUSTED), 'retriable', 'throttled', false],
  ['FAILED_PRECONDITION', grpc(GRPC_STATUS.FAILED_PRECONDITION), 'fatal', 'precondition_failed', false],
  ['ABORTED', grpc(GRPC_STATUS.ABORTED), 'retriable', 'unavailable', true],
  ['OUT_OF_RANGE', grpc(GRPC_STATUS.OUT_OF_RANGE), 'retriable', 'unknown', true],
  ['UNIMPLEMENTED', grpc(GRPC_STATUS.UNIMPLEMENTED), 'retriable', 'unknown', true],
  ['INTERNAL', grpc(GRPC_STATUS.INTERNAL), 'retriable', 'unavailable', true],
  ['UNAVAILABLE', grpc(GRPC_STATUS.UNAVAILABLE, 'Connection dropped'), 'retriable', 'unavailable', true],
  ['DATA_LOSS', grpc(GRPC_STATUS.DATA_LOSS), 'retriable', 'unknown', true],
  ['UNAUTHENTICATED', grpc(GRPC_STATUS.UNAUTHENTICATED), 'fatal', 'unauthenticated', false],
  [
    'a refused connection',
    grpc(GRPC_STATUS.UNAVAILABLE, 'No connection established. Last error: connect ECONNREFUSED 127.0.0.1:1'),
    'retriable',
    'unreachable',
    false,
  ],
  [
    'an unknown host',
    grpc(GRPC_STATUS.UNAVAILABLE, 'Name resolution failed for target dns:nowhere'),
    'retriable',
    'unreachable',
    false,
  ],
  [
    'a token that the service refuses',
    grpc(GRPC_STATUS.UNKNOWN, `${TOKEN} invalid_grant: account not found`),
    'fatal',
    'unauthenticated',
    false,
  ],
  [
    'a token refused with an HTTP status',
    grpc(400, `${TOKEN} unauthorized_client`),
    'fatal',
    'unauthenticated',
    false,
  ],
  [
    'a token service that is away',
    grpc(GRPC_STATUS.UNKNOWN, `${TOKEN} request to https://oauth2.googleapis.com failed, reason: ENOTFOUND`),
    'retriable',
    'unreachable',
    false,
  ],
  ['invalid_grant without a status', httpError('invalid_grant'), 'fatal', 'unauthenticated', false],
  [
    'a network error without a status',
    httpError('connect failed', 'ECONNRESET'),
    'retriable',
    'unreachable',
    false,
  ],
  ['a defect of our own', new TypeError('x is not a function'), 'retriable', 'unknown', true],
  ['nothing at all', undefined, 'retriable', 'unknown', true],
];

const classify = (error: unknown) =>
  classifyPubSubError(error, 'publishing to', 'projects/acme/topics/users');

describe('classifyPubSubError', () => {
  test.each(ROWS)('%s', (_, error, kind, code, isAmbiguous) => {
    const failure = classify(error);

    expect({ kind: failure.kind, code: failure.code, isAmbiguous: failure.isAmbiguous }).toEqual({
      kind,
      code,
      isAmbiguous,
    });
    expect(failure.message).toMatch(/^publishing to projects\/acme\/topics\/users: ./);
  });

  test.each([
    [
      'permission denied',
      grpc(GRPC_STATUS.PERMISSION_DENIED),
      'gcloud pubsub topics add-iam-policy-binding users --project=acme --member="serviceAccount:<client_email of the key file>" --role=roles/pubsub.publisher',
    ],
    ['not found', grpc(GRPC_STATUS.NOT_FOUND), 'gcloud pubsub topics create users --project=acme'],
    ['a refused key', grpc(GRPC_STATUS.UNAUTHENTICATED), 'gcloud iam service-accounts keys create'],
    ['a failed precondition', grpc(GRPC_STATUS.FAILED_PRECONDITION), 'billing'],
    ['a spent quota', grpc(GRPC_STATUS.RESOURCE_EXHAUSTED), 'quota'],
    [
      'an API that is off',
      grpc(
        GRPC_STATUS.PERMISSION_DENIED,
        'Cloud Pub/Sub API has not been used in project 12 before or it is disabled.',
      ),
      'gcloud services enable pubsub.googleapis.com',
    ],
    ['an unknown host', grpc(GRPC_STATUS.UNAVAILABLE, 'Name resolution failed for target dns:x'), 'port 443'],
  ])('says what helps against %s', (_, error, remedy) => {
    expect(classify(error).remedy).toContain(remedy);
  });

  test.each([
    grpc(
      GRPC_STATUS.UNKNOWN,
      `${TOKEN} invalid_grant: Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.`,
    ),
    grpc(GRPC_STATUS.UNAUTHENTICATED, 'Token used too early'),
  ])('row 46: says in plain words that the clock is wrong, and lets the destination off: %s', (error) => {
    expect(classify(error)).toMatchObject({
      kind: 'retriable',
      code: 'unauthenticated',
      message: expect.stringContaining("this machine's clock is wrong"),
      remedy: expect.stringContaining('NTP'),
    });
  });

  test('keeps the request of an HTTP error, which holds tokens, out of the cause', () => {
    const failure = classify(httpError('invalid_grant'));

    expect(Object.keys(failure.cause as Error)).toEqual([]);
    expect(JSON.stringify(failure)).not.toContain('ya29');
  });

  test('keeps the gRPC error as the cause', () => {
    const error = grpc(GRPC_STATUS.UNAVAILABLE);

    expect(classify(error).cause).toBe(error);
  });
});
