import { SinkError, type OpenOptions, type SinkAdapter } from '../sink.ts';
import { BufferPool } from './buffer-pool.ts';
import { GOOGLE_PUBSUB_FIELDS, parseGooglePubSubConfig, type GooglePubSubConfig } from './config.ts';
import { pubSubCosts } from './costs.ts';
import { checkServiceAccount, parseServiceAccount, type ServiceAccount } from './credentials.ts';
import { GrpcTransport, type GrpcTarget } from './grpc-transport.ts';
import type { PublishTransport } from './publish-transport.ts';
import { NEW_KEY } from './remedies.ts';
import { SharedMessages } from './shared-messages.ts';
import { GooglePubSubSink } from './sink.ts';

/** The adapter's slice of the settings. */
export interface GooglePubSubSettings {
  readonly allowEmulators: boolean;
  /** `host:port` of a Pub/Sub emulator, or null; used only when emulators are allowed. */
  readonly emulatorHost: string | null;
  /** Makes the transport; the default is the official client's gRPC channel. */
  readonly openTransport?: (target: GrpcTarget, account: ServiceAccount) => PublishTransport;
}

const GLOBAL_HOST = 'pubsub.googleapis.com';
const TLS_PORT = 443;

/** Google Cloud Pub/Sub: one topic, as version 2 (Avro) or, for older replications, version 1 (JSON). */
export function googlePubSubAdapter(settings: GooglePubSubSettings): SinkAdapter<GooglePubSubConfig> {
  const emulator = settings.allowEmulators ? emulatorTarget(settings.emulatorHost) : null;
  const openTransport = settings.openTransport ?? ((target, account) => new GrpcTransport(target, account));
  const messages = new SharedMessages(new BufferPool());
  return {
    type: 'GOOGLE_PUBSUB',
    versions: [2, 1],
    fields: GOOGLE_PUBSUB_FIELDS,
    options: { messageId: true, ordering: false, orderingLanes: true },
    credentials: 'required',
    parseConfig: parseGooglePubSubConfig,
    checkCredentials: checkServiceAccount,
    costs: pubSubCosts,
    open: async ({ config, options, credentials }: OpenOptions<GooglePubSubConfig>) => {
      const account = accountOf(credentials);
      const target = emulator ?? { host: config.endpoint ?? GLOBAL_HOST, port: TLS_PORT, isEmulator: false };
      return new GooglePubSubSink({ config, options, transport: openTransport(target, account), messages });
    },
  };
}

function accountOf(credentials: string | null): ServiceAccount {
  if (credentials === null) {
    throw new SinkError(
      'fatal',
      'credentials_missing',
      'opening Pub/Sub: the replication has no credentials',
      { remedy: NEW_KEY },
    );
  }
  const parsed = parseServiceAccount(credentials);
  if ('account' in parsed) return parsed.account;
  throw new SinkError('fatal', 'credentials_invalid', `opening Pub/Sub: ${parsed.problem.message}`, {
    remedy: NEW_KEY,
  });
}

function emulatorTarget(hostAndPort: string | null): GrpcTarget | null {
  if (hostAndPort === null) return null;
  const parts = /^(?<host>\[[0-9a-fA-F:]+\]|[^:/\s]+):(?<port>\d{1,5})$/.exec(hostAndPort)?.groups;
  const { host, port } = parts ?? {};
  if (host === undefined || port === undefined) {
    throw new Error(`the Pub/Sub emulator's address must be host:port, it is ${JSON.stringify(hostAndPort)}`);
  }
  return { host, port: Number(port), isEmulator: true };
}
