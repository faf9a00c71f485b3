import { generateKeyPairSync } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExpectedOperation } from './arrivals.ts';
import {
  decodeAvroOperation,
  expectedAvro,
  expectedJson,
  operationSchemaText,
} from './expected-operations.ts';
import { startFakeEventHubs } from './fake-event-hubs.ts';
import { startFakePubSub } from './fake-pubsub.ts';
import type { SampleMutation } from './sample-mutations.ts';

/** One destination of the demo: a replication and what has arrived there. */
export interface DemoDestination {
  readonly id: string;
  /** For people: where it delivers to. */
  readonly title: string;
  /** The record for the control topic. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly expected: (mutation: SampleMutation) => ExpectedOperation;
  /** What has arrived, in its order, each as latin1 text of its bytes. */
  readonly arrived: () => Promise<readonly string[]>;
  /** A message as a person would like to read it. */
  readonly show: (message: string) => string;
}

export interface DemoDestinations extends AsyncDisposable {
  readonly destinations: readonly DemoDestination[];
  /** `host:port` of the fake Pub/Sub. */
  readonly pubsubHost: string;
  readonly fileDirectory: string;
  readonly credentialsDirectory: string;
}

const PUBSUB_TOPIC = { project_id: 'demo-project', topic_id: 'datamart' };
const HUB = 'datamart';
const FILE = 'demo/operations.jsonl';

/** Starts a fake Pub/Sub and a fake Event Hubs, and makes the folders and credentials under `directory` that the replications need. */
export async function startDemoDestinations(
  directory: string,
  datamartId: string,
): Promise<DemoDestinations> {
  const fileDirectory = join(directory, 'files');
  const credentialsDirectory = join(directory, 'credentials');
  await mkdir(fileDirectory, { recursive: true });
  await mkdir(credentialsDirectory, { recursive: true });
  const pubsub = await startFakePubSub();
  const eventHubs = await startFakeEventHubs({ hubs: [HUB] });
  pubsub.createTopic(`projects/${PUBSUB_TOPIC.project_id}/topics/${PUBSUB_TOPIC.topic_id}`, {
    schema: { definition: operationSchemaText(), encoding: 'BINARY' },
  });
  await writeFile(join(credentialsDirectory, 'google.json'), serviceAccountFile(), { mode: 0o600 });
  await writeFile(join(credentialsDirectory, 'azure.txt'), eventHubs.connectionString(), { mode: 0o600 });
  const common = { datamart_id: datamartId, status: 'ACTIVE', created: Date.now() };
  const showText = (message: string): string => Buffer.from(message, 'latin1').toString('utf8');
  return {
    pubsubHost: pubsub.address,
    fileDirectory,
    credentialsDirectory,
    destinations: [
      {
        id: 'demo-file',
        title: `file ${join(fileDirectory, FILE)} (version 1, JSON lines)`,
        config: { ...common, id: 'demo-file', name: 'to a file', type: 'FILE', path: FILE },
        expected: expectedJson,
        arrived: async () => {
          const text = await readFile(join(fileDirectory, FILE), 'latin1').catch(() => '');
          return text.split('\n').slice(0, -1);
        },
        show: showText,
      },
      {
        id: 'demo-pubsub',
        title: `Google Pub/Sub topic ${PUBSUB_TOPIC.topic_id}, a fake on ${pubsub.address} (version 2, Avro)`,
        config: {
          ...common,
          id: 'demo-pubsub',
          name: 'to Pub/Sub',
          type: 'GOOGLE_PUBSUB',
          ...PUBSUB_TOPIC,
          credentials_uri: 'file:google.json',
          user_point_parent: true,
        },
        expected: expectedAvro,
        arrived: () => Promise.resolve(pubsub.messages.map(({ data }) => data.toString('latin1'))),
        show: (message) => JSON.stringify(decodeAvroOperation(Buffer.from(message, 'latin1'))),
      },
      {
        id: 'demo-event-hubs',
        title: `Azure Event Hubs hub ${HUB}, a fake on 127.0.0.1:${eventHubs.port} (version 1, JSON)`,
        config: {
          ...common,
          id: 'demo-event-hubs',
          name: 'to Event Hubs',
          type: 'AZURE_EVENT_HUBS',
          event_hub_name: HUB,
          credentials_uri: 'file:azure.txt',
        },
        expected: expectedJson,
        arrived: () => Promise.resolve(eventHubs.events(HUB).map(({ body }) => body.toString('latin1'))),
        show: showText,
      },
    ],
    async [Symbol.asyncDispose]() {
      await Promise.all([pubsub.stop(), eventHubs.stop()]);
    },
  };
}

/** A key file of the form that Google hands out, with a key that nobody else has. */
function serviceAccountFile(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  return JSON.stringify({
    type: 'service_account',
    project_id: PUBSUB_TOPIC.project_id,
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    client_email: `replication@${PUBSUB_TOPIC.project_id}.iam.gserviceaccount.com`,
  });
}
