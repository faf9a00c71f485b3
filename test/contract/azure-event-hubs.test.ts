import { startFakeEventHubs, type FakeEventHubs } from '../../local/fake-event-hubs.ts';
import { azureEventHubsAdapter } from '../../sinks/azure-event-hubs/azure-event-hubs-adapter.ts';
import { describeSinkContract, type ContractFault, type SinkHarness } from './sink-contract.ts';

const HUB = 'users';
const NO_SEND_CLAIM = "Unauthorized access. 'Send' claim(s) are required to perform this operation.";

const adapter = azureEventHubsAdapter({ allowEmulators: true });

class EventHubsHarness implements SinkHarness {
  readonly #fake: FakeEventHubs;

  constructor(fake: FakeEventHubs) {
    this.#fake = fake;
  }

  async open(options: Parameters<SinkHarness['open']>[0]): ReturnType<SinkHarness['open']> {
    const config = { eventHubName: HUB };
    return adapter.open({ config, options, credentials: this.#fake.connectionString(HUB) });
  }

  async received(): ReturnType<SinkHarness['received']> {
    return this.#fake.events(HUB).map((event) => ({
      data: event.body,
      docType: textOrNull(event.properties['doc_type']),
      messageId: textOrNull(event.properties['message_id']),
      key: event.partitionKey,
    }));
  }

  async fault(kind: ContractFault): Promise<void> {
    const { faults } = this.#fake;
    const isConnected = this.#fake.connectionCount() > 0;
    switch (kind) {
      case 'unavailable':
        return faults.rejectNext(1, 'amqp:internal-error');
      case 'throttled':
        return faults.rejectNext(
          1,
          'com.microsoft:server-busy',
          'Please wait 4 seconds and try again. 50002',
        );
      case 'unauthenticated':
        return isConnected ? faults.rejectNext(1, 'amqp:unauthorized-access') : faults.denyTokens(1, 401);
      case 'permission_denied':
        return faults.rejectNext(1, 'amqp:unauthorized-access', NO_SEND_CLAIM);
      case 'not_found':
        if (isConnected) return faults.detachNext(1, 'amqp:not-found');
        return this.#fake.deleteHub(HUB);
      case 'refused_records':
        return faults.rejectNext(1, 'amqp:link:message-size-exceeded');
      case 'lost_answer':
        return faults.dropNext(1, 'after_storing');
      case 'hang':
        return isConnected ? faults.hangNext(1) : faults.hangTokens(1);
    }
  }

  stop(): Promise<void> {
    return this.#fake.stop();
  }
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

describeSinkContract(
  'AZURE_EVENT_HUBS',
  {
    version: 1,
    docType: true,
    messageId: true,
    ordering: true,
    refusesOversize: true,
    faults: [
      'unavailable',
      'throttled',
      'unauthenticated',
      'permission_denied',
      'not_found',
      'refused_records',
      'lost_answer',
      'hang',
    ],
    checkFaults: ['unauthenticated', 'not_found', 'hang'],
  },
  async () => new EventHubsHarness(await startFakeEventHubs({ hubs: [HUB] })),
);
