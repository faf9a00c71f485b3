import { expect, jest, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { newToken } from '../../api/tokens-file.ts';
import { produce, readAll } from '../support/kafka.ts';
import { Deployment, type ProcessorProcess } from '../support/processor-process.ts';
import { aServiceAccountFile, RSA_PRIVATE_KEY } from '../support/service-account.ts';
import { waitFor } from '../support/wait-for.ts';

jest.setTimeout(120_000);

const DATAMART = '1649';
const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';
const E_MAIL = 'somebody@example.com';
const BEARER = 'ya29.a0AfH6SMBverySecretAccessToken';
const SAS = 'SharedAccessKey=c2VjcmV0c2VjcmV0c2VjcmV0';
/** What no header and no field name betrays: a line in the middle of the key. */
const PEM_LINE = RSA_PRIVATE_KEY.split('\n')[3] ?? '';

const WORDS = `no right for ${E_MAIL} and ${USER}, Authorization: Bearer ${BEARER}, ${SAS}, ${RSA_PRIVATE_KEY}`;

/** A Pub/Sub that refuses every call, and says more than it should. */
class IndiscreetPubSub implements AsyncDisposable {
  readonly #server = createServer();

  private constructor() {
    this.#server.on('stream', (stream) => {
      stream.on('error', () => stream.destroy());
      stream.resume();
      stream.respond(
        {
          ':status': 200,
          'content-type': 'application/grpc',
          'grpc-status': '7',
          'grpc-message': WORDS.replaceAll('\n', '%0A'),
        },
        { endStream: true },
      );
    });
  }

  static async start(): Promise<IndiscreetPubSub> {
    const pubsub = new IndiscreetPubSub();
    pubsub.#server.listen(0, '127.0.0.1');
    await once(pubsub.#server, 'listening');
    return pubsub;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await Promise.resolve();
  }
}

/** Calls the API, and keeps every answer with its headers. */
class RecordedCalls {
  readonly #processor: ProcessorProcess;
  readonly #token: string;
  answers = '';

  constructor(processor: ProcessorProcess, token: string) {
    this.#processor = processor;
    this.#token = token;
  }

  async call(
    method: string,
    path: string,
    body?: string | FormData,
    authorization = this.#token,
  ): Promise<{
    readonly status: number;
    readonly data: Readonly<Record<string, unknown>>;
    readonly list: readonly unknown[];
    readonly code: unknown;
  }> {
    const response = await fetch(`${this.#processor.url}/v1/datamarts/${DATAMART}/replications${path}`, {
      method,
      headers: {
        authorization,
        ...(typeof body === 'string' ? { 'content-type': 'application/json' } : {}),
      },
      body: body ?? null,
    });
    const text = await response.text();
    this.answers += `${JSON.stringify([...response.headers])}\n${text}\n`;
    const { data = {}, error_code: code } = JSON.parse(text) as {
      data?: Record<string, unknown>;
      error_code?: unknown;
    };
    return { status: response.status, data, list: Array.isArray(data) ? (data as unknown[]) : [], code };
  }
}

function formWith(text: string): FormData {
  const form = new FormData();
  form.append('file', new Blob([text]), 'key.json');
  return form;
}

function mutationOf(op: string): { key: string; value: string } {
  const fields = `"datamart_id":${DATAMART},"user_point_id":"${USER}","ts":1763900000000`;
  const value = `{"email":"${E_MAIL}"}`;
  return { key: USER, value: `{${fields},"op":"${op}","doc_type":"UserPoint","value":${value}}` };
}

function indiscreetLetter(topic: string, replicationId: string) {
  const headers = {
    dead_letter_reason: 'rejected',
    dead_letter_detail: WORDS,
    dead_letter_topic: topic,
    dead_letter_partition: '0',
    dead_letter_offset: '0',
    dead_letter_time: String(Date.now()),
    dead_letter_datamart_id: DATAMART,
    dead_letter_replication_id: replicationId,
  };
  return { ...mutationOf('UPDATE'), headers };
}

test('no secret and nothing of a user is in logs at debug level, metrics, status records or answers', async () => {
  await using pubsub = await IndiscreetPubSub.start();
  await using deployment = await Deployment.create();
  const keyOfKeys = randomBytes(32).toString('base64');
  const { token, entry } = newToken('acme', [DATAMART], 'customer', randomBytes);
  await deployment.putCredentials('tokens.json', JSON.stringify([entry]));
  const processor = await deployment.startReady({
    LOG_LEVEL: 'debug',
    CREDENTIALS_KEY: keyOfKeys,
    HTTP_TOKENS_FILE: join(deployment.credentialsDirectory, 'tokens.json'),
    PUBSUB_EMULATOR_HOST: pubsub.address,
    // What the redrive sends is noted there.
    XDG_STATE_HOME: deployment.credentialsDirectory,
  });
  const api = new RecordedCalls(processor, token);

  // What people do, and what they do wrong, with their secrets in it.
  const created = await api.call(
    'POST',
    '',
    JSON.stringify({ name: 'to acme', type: 'GOOGLE_PUBSUB', project_id: 'acme', topic_id: 'users' }),
  );
  const id = String(created.data.id);
  expect((await api.call('POST', `/${id}/credentials`, formWith(SAS))).code).toBe('invalid_json');
  expect((await api.call('POST', `/${id}/credentials`, formWith(`${aServiceAccountFile()}}`))).status).toBe(
    400,
  );
  expect((await api.call('PUT', `/${id}`, `{"name":"${RSA_PRIVATE_KEY}"}`)).code).toBe('invalid_json');
  expect((await api.call('PUT', `/${id}`, JSON.stringify({ [token]: 1 }))).code).toBe('unknown_field');
  expect((await api.call('GET', '', undefined, `${token}x`)).status).toBe(401);
  expect((await api.call('POST', `/${id}/credentials`, formWith(aServiceAccountFile()))).status).toBe(200);
  expect(await api.call('PUT', `/${id}`, '{"status":"ACTIVE"}')).toMatchObject({
    status: 422,
    code: 'activation_failed',
  });
  expect(
    (await api.call('POST', `/${id}/explain`, `{"mutation":${mutationOf('UPDATE').value}}`)).status,
  ).toBe(200);

  // The processor's own check of the same: its verdict goes into a status record.
  const records = await readAll(deployment.topics.replicationConfig);
  const record = JSON.parse(String(records.findLast(({ key }) => key?.toString() === id)?.value)) as {
    id: string;
  };
  await deployment.configure({ ...record, status: 'ACTIVE' });
  await waitFor(async () => (await api.call('GET', `/${id}`)).data.status === 'ERROR', {
    message: 'the processor’s verdict',
    timeoutMs: 30_000,
  });
  // Records that are delivered to nobody, and such that can't be decoded.
  await produce(deployment.mutations, [
    mutationOf('UPDATE'),
    mutationOf('EXPLODE'),
    { key: USER, value: `{"user_point_id":"${USER}", "value": ${E_MAIL}` },
  ]);
  await waitFor(async () => (await readAll(deployment.topics.deadLetters)).length === 2, {
    message: 'the dead letters',
    timeoutMs: 20_000,
  });
  const details = (await readAll(deployment.topics.deadLetters)).map(
    ({ headers }) => headers.dead_letter_detail,
  );
  // One whose detail says too much, as whoever else writes the topic may have stored it, and its redrive.
  await produce(deployment.topics.deadLetters, [indiscreetLetter(deployment.mutations, id)]);
  expect(await api.call('GET', `/${id}/dead_letters`)).toMatchObject({
    status: 200,
    list: [{ reason: 'rejected', detail: expect.stringContaining('no right for <e-mail> and <id>') }],
  });
  expect(await api.call('POST', `/${id}/dead_letters/redrive`, '{"force":true}')).toMatchObject({
    status: 200,
    data: { complete: true, results: { failed: 1 } },
  });
  await api.call(
    'POST',
    `/${id}/explain`,
    JSON.stringify({ topic: deployment.mutations, partition: 0, offset: 1 }),
  );
  const metrics = await (await fetch(`${processor.url}/metrics`)).text();
  expect(await processor.stop()).toBe(0);

  const status = await readAll(deployment.topics.replicationStatus);
  const control = [
    ...(await readAll(deployment.topics.replicationConfig)),
    ...(await readAll(deployment.topics.replicationCredentials)),
  ];
  const places = {
    log: processor.log(),
    metrics,
    answers: api.answers,
    'status records': status.map(({ key, value }) => `${String(key)} ${String(value)}`).join('\n'),
    'control records': control.map(({ value }) => String(value)).join('\n'),
    'reasons of dead letters': details.join('\n'),
  };
  const secrets = {
    'the private key': PEM_LINE,
    'the key-encryption key': keyOfKeys,
    'the API token': token.slice('api:'.length),
    'an access token': BEARER,
    'a shared access key': SAS.slice('SharedAccessKey='.length),
    'a user point': USER,
    'an e-mail address': E_MAIL,
  };

  // It was about something: the destination's words came through, and the debug level was on.
  expect(places.log).toContain('"level":"debug"');
  for (const place of [places.log, places.answers, places['status records']])
    expect(place).toContain('no right for <e-mail> and <id>');
  expect(details).toHaveLength(2);
  const found = Object.entries(places).flatMap(([place, text]) =>
    Object.entries(secrets).flatMap(([what, secret]) =>
      text.includes(secret) ? [`${what} in the ${place}`] : [],
    ),
  );
  expect(found).toEqual([]);
});
