import { SinkError, type FieldProblem, type OpenOptions, type Sink, type SinkAdapter } from '../sink.ts';
import { eventHubsCosts } from './costs.ts';
import { connectionStringOf, parseConnectionString } from './credentials.ts';
import { grantSend } from './remedies.ts';
import { AzureEventHubsSink } from './sink.ts';

/** What a replication of this kind names: the hub; the namespace comes with the credentials. */
export interface AzureEventHubsConfig {
  readonly eventHubName: string;
}

export interface AzureEventHubsSettings {
  /** Whether connection strings may name hosts other than Azure's, and the emulator's mode. */
  readonly allowEmulators: boolean;
}

const EVENT_HUB_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,255}$/;

/** Azure Event Hubs, over AMQP through the official client. One connection per replication and instance. */
export function azureEventHubsAdapter({
  allowEmulators,
}: AzureEventHubsSettings): SinkAdapter<AzureEventHubsConfig> {
  const checkCredentials = (text: string, config: AzureEventHubsConfig): FieldProblem | null => {
    const parsed = parseConnectionString(text, config.eventHubName, allowEmulators);
    return 'problem' in parsed ? parsed.problem : null;
  };
  return {
    type: 'AZURE_EVENT_HUBS',
    versions: [1],
    fields: ['event_hub_name'],
    options: { messageId: true, ordering: true, orderingLanes: true },
    credentials: 'required',
    parseConfig,
    checkCredentials,
    costs: eventHubsCosts,
    open: async (options) => open(options, allowEmulators),
  };
}

function parseConfig(
  record: Readonly<Record<string, unknown>>,
): { readonly config: AzureEventHubsConfig } | { readonly problem: FieldProblem } {
  const field = 'event_hub_name';
  const name = record[field] ?? null;
  if (name === null) {
    const message = `${field} is missing; an AZURE_EVENT_HUBS replication needs it`;
    return { problem: { code: 'missing_field', field, message } };
  }
  if (typeof name === 'string' && EVENT_HUB_NAME.test(name)) return { config: { eventHubName: name } };
  const message = `${field} must match ${EVENT_HUB_NAME.source}: the hub's name without its namespace`;
  return { problem: { code: 'invalid_event_hub_name', field, message } };
}

function open(
  { config, options, credentials }: OpenOptions<AzureEventHubsConfig>,
  allowEmulators: boolean,
): Sink {
  const doing = `opening event hub ${config.eventHubName}`;
  if (credentials === null) {
    throw new SinkError('fatal', 'credentials_missing', `${doing}: the replication has no credentials`, {
      remedy: grantSend(config.eventHubName),
    });
  }
  const parsed = parseConnectionString(credentials, config.eventHubName, allowEmulators);
  if ('problem' in parsed) {
    const { code, message } = parsed.problem;
    throw new SinkError('fatal', 'credentials_invalid', `${doing}: ${code}: ${message}`, {
      remedy: grantSend(config.eventHubName),
    });
  }
  const connectionString = connectionStringOf(parsed.credentials);
  return new AzureEventHubsSink({ connectionString, eventHubName: config.eventHubName }, options);
}
