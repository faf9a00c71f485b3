import { expect, test } from '@jest/globals';
import { crc32 } from 'node:zlib';
import { startFastPubSub } from '../../../local/fake-pubsub-fast.ts';
import { googlePubSubAdapter } from '../../../sinks/google-pubsub/google-pubsub-adapter.ts';
import { anOperationBatch, binaryOperation, bytesOf } from '../../support/operation-batch.ts';
import { aServiceAccountFile } from '../../support/service-account.ts';

test('the server for benches counts and sums what the official client sends it', async () => {
  const server = await startFastPubSub({});
  const adapter = googlePubSubAdapter({ allowEmulators: true, emulatorHost: `127.0.0.1:${server.port}` });
  const sink = await adapter.open({
    config: { projectId: 'acme', topicId: 'users', endpoint: null },
    options: { version: 2, userPointParent: false, messageId: true, ordering: true, orderingLanes: 16 },
    credentials: aServiceAccountFile(),
  });
  const batch = anOperationBatch({
    orderingLane: 7,
    operations: Array.from({ length: 1_000 }, (_, i) => binaryOperation(i, 256 + i * 3, i % 10)),
  });

  const outcomes = await Promise.all([1, 2].map(() => sink.send(batch, new AbortController().signal)));
  const totals = server.totals();
  await sink.close();
  await server.stop();

  let checksum = 0;
  for (let i = 0; i < 2_000; i++) checksum = (checksum + crc32(bytesOf(batch, i % 1_000))) >>> 0;
  expect(outcomes.map((outcome) => outcome.delivered)).toEqual([1_000, 1_000]);
  expect(totals).toMatchObject({ messages: 2_000, requests: 2, checksum });
});
