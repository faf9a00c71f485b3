import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeClientVariables } from '../../../commands/client-variables.ts';
import { openSinks } from '../../../commands/processor.ts';
import { loadSettings } from '../../../config/load.ts';
import type { Settings } from '../../../config/settings.ts';
import { startFakePubSub } from '../../../local/fake-pubsub.ts';
import { googlePubSubAdapter } from '../../../sinks/google-pubsub/google-pubsub-adapter.ts';
import type { SinkAdapter } from '../../../sinks/sink.ts';
import { checkDestination } from '../../../streams/destination-check.ts';
import { aReplicationConfig } from '../../support/replication-config.ts';
import { aServiceAccountFile } from '../../support/service-account.ts';
import { silentLogger } from '../../support/silent-logger.ts';

/* The destinations as `start` composes them where SINKS_ALLOW_EMULATORS is not set. */

const never = new AbortController().signal;
const LONG_AGO = new Date(1_000_000_000_000);
const PRODUCTION = { allowEmulators: false };
const EMULATED = { allowEmulators: true };

/** Listens where nobody should come, or as a proxy that lets nobody through; keeps the first line of who came. */
class Doorkeeper {
  readonly seen: string[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  constructor() {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('data', (bytes) => {
        this.seen.push(bytes.toString('latin1').split('\r\n')[0] ?? '');
        socket.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n');
      });
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

let directory: string;
let machineKey: string;
let stranger: Doorkeeper;
let proxy: Doorkeeper;
let strangerAddress: string;
let before: NodeJS.ProcessEnv;

// A proxy that lets nobody through is what this is about: gRPC needn't tell of it, also not after the tests, when a channel
// that is closed already makes the attempt that its backoff has planned.
setLogVerbosity(logVerbosity.NONE);

beforeEach(async () => {
  before = { ...process.env };
  directory = await mkdtemp(join(tmpdir(), 'production-sinks-'));
  machineKey = join(directory, 'machine.json');
  stranger = new Doorkeeper();
  proxy = new Doorkeeper();
  strangerAddress = await stranger.listen();
  await writeFile(
    machineKey,
    aServiceAccountFile({
      client_email: 'machine@ours.iam.gserviceaccount.com',
      token_uri: `http://${strangerAddress}`,
    }),
  );
  await utimes(machineKey, LONG_AGO, new Date());
  Object.assign(process.env, {
    GOOGLE_APPLICATION_CREDENTIALS: machineKey,
    GOOGLE_CLOUD_PROJECT: 'ours',
    GCE_METADATA_HOST: strangerAddress,
    GCE_METADATA_IP: strangerAddress,
    METADATA_SERVER_DETECTION: 'assume-present',
    PUBSUB_EMULATOR_HOST: strangerAddress,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB: `http://${strangerAddress}/`,
    // Whatever leaves for the world asks the proxy, by name; the test leaves the machine alone.
    https_proxy: `http://${await proxy.listen()}`,
    no_proxy: '127.0.0.1',
  });
});

afterEach(async () => {
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
  Object.assign(process.env, before);
  await stranger.close();
  await proxy.close();
  await rm(directory, { recursive: true });
});

const production = (): Settings =>
  loadSettings({ env: { KAFKA_BROKERS: 'localhost:9092' }, flags: {}, readFile: () => '' });

async function adapterOf(type: string): Promise<SinkAdapter> {
  const settings = production();
  expect(settings.sinks.allowEmulators).toBe(false);
  const sinks = await openSinks(settings, silentLogger, { pubsubEmulatorHost: strangerAddress });
  const adapter = sinks.get(type);
  if (!adapter) throw new Error(`there is no ${type}`);
  return adapter;
}

describe('Google Pub/Sub in production', () => {
  const topic = { project_id: 'acme', topic_id: 'users', credentials_uri: 'sealed:80' };

  test.each([
    ['with the emulator’s variables', () => undefined],
    ['with them removed, as start does', () => removeClientVariables(process.env, PRODUCTION, silentLogger)],
  ])('goes to Google alone and never by the machine’s own credentials, %s', async (_, prepare) => {
    prepare();
    const adapter = await adapterOf('GOOGLE_PUBSUB');
    const config = aReplicationConfig(adapter, topic);
    const key = aServiceAccountFile({ token_uri: `http://${strangerAddress}/token` });

    const report = await checkDestination(adapter, config, key, never);

    expect(report).toMatchObject({ code: 'unreachable', remedy: expect.stringContaining('port 443') });
    expect(new Set(proxy.seen)).toEqual(new Set(['CONNECT pubsub.googleapis.com:443 HTTP/1.1']));
    expect(stranger.seen).toEqual([]);
    expect((await stat(machineKey)).atimeMs).toBe(LONG_AGO.getTime());
  });

  test('is not opened without credentials of the replication, nor with those of another kind', async () => {
    const adapter = await adapterOf('GOOGLE_PUBSUB');
    const config = aReplicationConfig(adapter, topic);
    const foreign = { type: 'external_account', token_url: `http://${strangerAddress}` };

    expect(await checkDestination(adapter, config, null, never)).toMatchObject({
      code: 'credentials_missing',
    });
    expect(await checkDestination(adapter, config, JSON.stringify(foreign), never)).toMatchObject({
      code: 'credentials_invalid',
    });
    expect([...proxy.seen, ...stranger.seen]).toEqual([]);
    expect((await stat(machineKey)).atimeMs).toBe(LONG_AGO.getTime());
  });

  test.each(['localhost:8085', 'pubsub.googleapis.com.evil.example', 'http://169.254.169.254'])(
    'has no endpoint %s',
    async (endpoint) => {
      const adapter = await adapterOf('GOOGLE_PUBSUB');

      expect(adapter.parseConfig({ ...topic, endpoint })).toMatchObject({
        problem: { code: 'invalid_endpoint' },
      });
    },
  );
});

describe('Google Pub/Sub with an emulator', () => {
  test('is asked without the machine’s own credentials, key file, metadata server or client certificate', async () => {
    const emulator = await startFakePubSub();
    emulator.createTopic('projects/acme/topics/users');
    process.env.GOOGLE_API_USE_CLIENT_CERTIFICATE = 'true';
    removeClientVariables(process.env, EMULATED, silentLogger);
    const adapter = googlePubSubAdapter({ ...EMULATED, emulatorHost: emulator.address });
    const topic = { project_id: 'acme', topic_id: 'users', credentials_uri: 'sealed:80' };

    const report = await checkDestination(
      adapter,
      aReplicationConfig(adapter, topic),
      aServiceAccountFile(),
      never,
    );

    // A client that is to show a certificate runs a command for it, and fails where there is none.
    expect(report).toMatchObject({ code: 'ok' });
    expect([...proxy.seen, ...stranger.seen]).toEqual([]);
    expect((await stat(machineKey)).atimeMs).toBe(LONG_AGO.getTime());
    expect(process.env.PUBSUB_EMULATOR_HOST).toBe(strangerAddress);
    await emulator.stop();
  });
});

describe('Azure Event Hubs in production', () => {
  const keyOf = (endpoint: string, more = ''): string =>
    `Endpoint=${endpoint};SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0${more}`;

  test.each([
    ['an emulator', () => keyOf('sb://localhost', ';UseDevelopmentEmulator=true'), 'SINKS_ALLOW_EMULATORS'],
    ['a host of somebody’s own', () => keyOf('sb://hub.example.com/'), 'servicebus.windows.net'],
    ['an address', () => keyOf(`sb://${strangerAddress}/`), 'servicebus.windows.net'],
    ['the metadata server', () => keyOf('sb://169.254.169.254/'), 'servicebus.windows.net'],
    ['another port', () => keyOf('sb://acme-hubs.servicebus.windows.net:5672/'), 'without port'],
  ])('does not connect to %s', async (_, credentials, reason) => {
    const adapter = await adapterOf('AZURE_EVENT_HUBS');
    const config = aReplicationConfig(adapter, { event_hub_name: 'users', credentials_uri: 'sealed:80' });

    const report = await checkDestination(adapter, config, credentials(), never);

    expect(report).toMatchObject({
      code: 'credentials_invalid',
      message: expect.stringContaining(reason),
    });
    expect(JSON.stringify(report)).not.toContain('c2VjcmV0');
    expect([...proxy.seen, ...stranger.seen]).toEqual([]);
  });
});

describe('Kafka topics in production', () => {
  test.each([
    ['a cluster that the operator has not listed', { topic: 'theirs', brokers: ['127.0.0.1:9092'] }],
    ['this program’s own topics', { topic: 'replication-credentials' }],
    ['Kafka’s own topics', { topic: '__consumer_offsets' }],
  ])('are none of %s', async (_, record) => {
    const adapter = await adapterOf('KAFKA_TOPIC');

    expect(adapter.parseConfig(record)).toHaveProperty('problem');
  });
});
