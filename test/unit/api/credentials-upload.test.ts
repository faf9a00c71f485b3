import { afterEach, expect, test } from '@jest/globals';
import {
  ApiUnderTest,
  CONNECTION_STRING,
  EVENT_HUBS,
  formOf,
  PUBSUB,
  REPLICATIONS,
  type ApiUnderTestOptions,
} from '../../support/api-under-test.ts';
import { aServiceAccountFile } from '../../support/service-account.ts';

const opened: ApiUnderTest[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((api) => api.close()));
});

function anApi(fields: Record<string, unknown> = PUBSUB, options: ApiUnderTestOptions = {}): ApiUnderTest {
  const api = new ApiUnderTest(options);
  opened.push(api);
  api.plane.given({ id: '80', datamart_id: '1649', ...fields });
  return api;
}

function sealedIn(api: ApiUnderTest): unknown {
  const record = api.plane.sealed.get('80');
  return record && (JSON.parse(record.toString()) as unknown);
}

test('seals what was uploaded, and has the replication name it', async () => {
  const api = anApi();
  const file = aServiceAccountFile();

  const { status, data } = await api.upload('80', file);

  expect({ status, uri: data.credentials_uri }).toEqual({ status: 200, uri: 'sealed:80' });
  expect(sealedIn(api)).toMatchObject({ replication_id: '80', datamart_id: '1649', version: 1, text: file });
  expect(api.plane.written.at(-1)?.record).toMatchObject({ credentials_uri: 'sealed:80' });
  expect(api.destinations.tried).toEqual([]);
});

test('counts the versions, and leaves a replication alone that names them already', async () => {
  const api = anApi();
  await api.upload('80', aServiceAccountFile());
  const written = api.plane.written.length;

  const { status } = await api.upload('80', aServiceAccountFile());

  expect(status).toBe(200);
  expect(sealedIn(api)).toMatchObject({ version: 2 });
  expect(api.plane.written).toHaveLength(written);
});

test('row 32: trims byte order mark, line ends and blanks', async () => {
  const api = anApi(EVENT_HUBS);

  const { status } = await api.upload('80', `\uFEFF${CONNECTION_STRING}\r\n`);

  expect(status).toBe(200);
  expect(sealedIn(api)).toMatchObject({ text: CONNECTION_STRING });
});

test('takes the part as text too, beside parts that nobody asked for', async () => {
  const api = anApi();
  const { body, headers } = formOf(
    [
      { name: 'comment', file: 'for acme', filename: null },
      { name: 'file', file: aServiceAccountFile(), filename: null },
    ],
    'x',
  );

  const { status } = await api.call('POST', `${REPLICATIONS}/80/credentials`, { body, headers });

  expect(status).toBe(200);
});

test('takes a file of exactly 16 KiB', async () => {
  const api = anApi();
  const file = aServiceAccountFile().padEnd(16 * 1024, ' ');

  const { status } = await api.upload('80', file);

  expect(status).toBe(200);
});

test('tries the destination with the new credentials while the replication is ACTIVE, then writes', async () => {
  const api = anApi({ ...PUBSUB, status: 'ACTIVE', credentials_uri: 'file:old.json' });
  const file = aServiceAccountFile();

  const { status, data } = await api.upload('80', file);

  expect({ status, uri: data.credentials_uri }).toEqual({ status: 200, uri: 'sealed:80' });
  expect(api.destinations.tried).toEqual([{ id: '80', credentials: file }]);
});

test('writes nothing when the destination refuses the new credentials', async () => {
  const api = anApi({ ...PUBSUB, status: 'ACTIVE', credentials_uri: 'sealed:80' });
  api.destinations.refusals.set('80', { code: 'unauthenticated', message: 'unknown key', remedy: null });

  const { status, body } = await api.upload('80', aServiceAccountFile());

  expect({ status, body }).toMatchObject({
    status: 422,
    body: { error_code: 'activation_failed', details: { code: 'unauthenticated' } },
  });
  expect(sealedIn(api)).toBeUndefined();
  expect(api.plane.written).toHaveLength(1);
});

test('says that this instance has no key to seal with', async () => {
  const api = anApi(PUBSUB, { service: { sealer: null } });

  const { status, code } = await api.upload('80', aServiceAccountFile());

  expect({ status, code }).toEqual({ status: 503, code: 'credentials_key_missing' });
});

test('says that a write was not seen in time', async () => {
  const api = anApi();
  api.plane.isUnconfirmed = true;

  const { status, code } = await api.upload('80', aServiceAccountFile());

  expect({ status, code }).toEqual({ status: 504, code: 'write_not_confirmed' });
});
