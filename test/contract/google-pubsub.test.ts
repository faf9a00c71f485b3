import { startFakePubSub, type FakePubSub } from '../../local/fake-pubsub.ts';
import { GRPC_STATUS } from '../../sinks/google-pubsub/classify-error.ts';
import { googlePubSubAdapter } from '../../sinks/google-pubsub/google-pubsub-adapter.ts';
import { aServiceAccountFile } from '../support/service-account.ts';
import {
  describeSinkContract,
  type ContractFault,
  type SinkFeatures,
  type SinkHarness,
} from './sink-contract.ts';

const config = { projectId: 'acme', topicId: 'users', endpoint: null };

const credentials = aServiceAccountFile();

class PubSubHarness implements SinkHarness {
  readonly #fake: FakePubSub;

  constructor(fake: FakePubSub) {
    this.#fake = fake;
  }

  open(options: Parameters<SinkHarness['open']>[0]): ReturnType<SinkHarness['open']> {
    const adapter = googlePubSubAdapter({ allowEmulators: true, emulatorHost: this.#fake.address });
    return adapter.open({ config, options, credentials });
  }

  async received(): ReturnType<SinkHarness['received']> {
    return this.#fake.messages.map(({ data, attributes, orderingKey }) => ({
      data,
      docType: attributes['doc_type'] ?? null,
      messageId: attributes['message_id'] ?? null,
      key: orderingKey === '' ? null : orderingKey,
    }));
  }

  async fault(kind: ContractFault): Promise<void> {
    const { faults } = this.#fake;
    switch (kind) {
      case 'unavailable':
        return faults.failNext(1, GRPC_STATUS.UNAVAILABLE);
      case 'throttled':
        return faults.failNext(1, GRPC_STATUS.RESOURCE_EXHAUSTED);
      case 'unauthenticated':
        return faults.failNext(1, GRPC_STATUS.UNAUTHENTICATED);
      case 'permission_denied':
        return faults.failNext(1, GRPC_STATUS.PERMISSION_DENIED);
      case 'not_found':
        return faults.failNext(1, GRPC_STATUS.NOT_FOUND);
      case 'refused_records':
        return faults.failNext(1, GRPC_STATUS.INVALID_ARGUMENT);
      case 'lost_answer':
        return faults.loseAnswerNext(1);
      case 'hang':
        return faults.hangNext(1);
    }
  }

  stop(): Promise<void> {
    return this.#fake.stop();
  }
}

const features: Omit<SinkFeatures, 'version'> = {
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
  checkFaults: ['unavailable', 'throttled', 'unauthenticated', 'permission_denied', 'not_found', 'hang'],
};

for (const version of [2, 1] as const) {
  describeSinkContract(`Google Pub/Sub, version ${version},`, { version, ...features }, async () => {
    const fake = await startFakePubSub();
    fake.createTopic('projects/acme/topics/users');
    return new PubSubHarness(fake);
  });
}
