import { EventHubProducerClient, type EventDataBatch } from '@azure/event-hubs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startFakeEventHubs, type FakeEventHubs } from '../../../../local/fake-event-hubs.ts';
import { DOCUMENT_TYPES } from '../../../../schemas/document-type.ts';
import { EventEncoder } from '../../../../sinks/azure-event-hubs/events.ts';
import type { OperationBatch } from '../../../../sinks/sink.ts';
import { anOperationBatch, bytesOf, jsonOperation } from '../../../support/operation-batch.ts';

const MEGABYTE = 1_048_576;

const allTypes = (orderingLane: number | null, padding: number): OperationBatch =>
  anOperationBatch({
    version: 1,
    orderingLane,
    operations: DOCUMENT_TYPES.map((_, docType) => jsonOperation(`"${'x'.repeat(padding)}"`, docType)),
  });

describe('EventEncoder', () => {
  let fake: FakeEventHubs;
  let client: EventHubProducerClient;

  beforeAll(async () => {
    fake = await startFakeEventHubs({ hubs: ['users'] });
    client = new EventHubProducerClient(fake.connectionString('users'));
  });

  afterAll(async () => {
    await client.close();
    await fake.stop();
  });

  /** What the official client would send for the batch. */
  const bytesOfSdk = async (batch: OperationBatch, messageId: boolean): Promise<Buffer> => {
    const options = batch.orderingLane === null ? {} : { partitionKey: String(batch.orderingLane) };
    const events = await client.createBatch(options);
    for (let i = 0; i < batch.count; i++) {
      const docType = DOCUMENT_TYPES[batch.docType(i)]!;
      const properties = messageId
        ? { doc_type: docType, message_id: batch.messageId(i) }
        : { doc_type: docType };
      events.tryAdd({ body: bytesOf(batch, i), contentType: 'application/json', properties });
    }
    return (events as EventDataBatch & { _generateMessage(): Buffer })._generateMessage();
  };

  // 0, 40 and 60 bytes lie around the lengths at which AMQP changes from one length byte to four.
  for (const padding of [0, 20, 40, 60, 120, 300, 70_000]) {
    for (const lane of [null, 0, 13, 255]) {
      for (const messageId of [false, true]) {
        test(`writes the SDK's own bytes: padding ${padding}, lane ${lane}, message id ${messageId}`, async () => {
          const batch = allTypes(lane, padding);

          const encoded = new EventEncoder({ messageId }).encode(batch, MEGABYTE);

          expect(encoded?.count).toBe(batch.count);
          expect(encoded?.bytes.equals(await bytesOfSdk(batch, messageId))).toBe(true);
        });
      }
    }
  }

  test('takes as many records as fit, by the very byte', () => {
    const encoder = new EventEncoder({ messageId: true });
    const batch = allTypes(7, 100);
    const three = anOperationBatch({
      version: 1,
      orderingLane: 7,
      operations: [0, 1, 2].map((docType) => jsonOperation(`"${'x'.repeat(100)}"`, docType)),
    });
    const size = encoder.encode(three, MEGABYTE)!.bytes.length;

    expect(encoder.encode(batch, size)?.count).toBe(3);
    expect(encoder.encode(batch, size)?.bytes.length).toBe(size);
    expect(encoder.encode(batch, size - 1)?.count).toBe(2);
    expect(encoder.encode(batch, 100)).toBeNull();
  });

  test('takes a record alone up to the greater limit', () => {
    const encoder = new EventEncoder({ messageId: false });
    const batch = allTypes(null, 5_000);

    expect(encoder.encode(batch, 1_000, 10_000)?.count).toBe(1);
    expect(encoder.encode(batch, 1_000, 2_000)).toBeNull();
  });

  test('keeps within the overheads that it states', () => {
    for (const messageId of [false, true]) {
      const encoder = new EventEncoder({ messageId });
      const batch = allTypes(255, 400);
      const stated =
        encoder.batchOverheadBytes() + batch.byteLength + batch.count * encoder.recordOverheadBytes();

      expect(encoder.encode(batch, MEGABYTE)!.bytes.length).toBeLessThanOrEqual(stated);
    }
  });
});
