import { protos } from '@google-cloud/pubsub';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DOCUMENT_TYPES } from '../../schemas/document-type.ts';
import {
  MessagesEncoder,
  countMessageIds,
  recordOverheadBytes,
  topicField,
} from '../../sinks/google-pubsub/publish-request.ts';
import type { OperationBatch } from '../../sinks/sink.ts';
import { anOperationBatch, binaryOperation, bytesOf, messageIdOf } from '../support/operation-batch.ts';

const { PublishRequest, PublishResponse } = protos.google.pubsub.v1;

const TOPIC = 'projects/acme/topics/users';

/** Into a buffer that is dirty and too long, as those of the pool are. */
function encode(batch: OperationBatch, options = { messageId: false }): Buffer {
  const encoder = new MessagesEncoder(options);
  const plan = encoder.plan(batch);
  const target = Buffer.alloc(plan.byteLength + 50, 0xee);
  encoder.write(batch, plan, target);
  expect(target.subarray(plan.byteLength).every((byte) => byte === 0xee)).toBe(true);
  return Buffer.concat([topicField(TOPIC), target.subarray(0, plan.byteLength)]);
}

describe('the hand-written PublishRequest, read with the official protos', () => {
  test('holds the topic and, for each operation, its bytes and doc_type, and nothing else', () => {
    const batch = anOperationBatch({
      operations: DOCUMENT_TYPES.map((_, docType) => binaryOperation(docType, 300, docType)),
    });

    const request = PublishRequest.decode(encode(batch));

    const expected = PublishRequest.create({
      topic: TOPIC,
      messages: DOCUMENT_TYPES.map((docType, i) => ({
        data: bytesOf(batch, i),
        attributes: { doc_type: docType },
      })),
    });
    expect(PublishRequest.toObject(request)).toEqual(PublishRequest.toObject(expected));
  });

  test('holds the message id when asked, for ids of any length', () => {
    const ids = [messageIdOf(7), '00008-12-00000000000000000007', messageIdOf(9)];
    const batch = anOperationBatch({
      operations: ids.map((messageId, i) => ({ ...binaryOperation(i), messageId })),
    });

    const request = PublishRequest.decode(encode(batch, { messageId: true }));

    expect(request.messages.map((message) => message.attributes)).toEqual(
      ids.map((message_id) => ({ doc_type: 'UserPoint', message_id })),
    );
    expect(request.messages.map((message) => message.data)).toEqual(ids.map((_, i) => bytesOf(batch, i)));
  });

  test('holds the ordering lane in decimal as ordering key', () => {
    const encoder = new MessagesEncoder({ messageId: false });
    const keys = [0, 255, null, 0].map((orderingLane) => {
      const batch = anOperationBatch({ operations: [binaryOperation(1)], orderingLane });
      const plan = encoder.plan(batch);
      const target = Buffer.alloc(plan.byteLength);
      encoder.write(batch, plan, target);
      return PublishRequest.decode(target).messages[0]?.orderingKey;
    });

    expect(keys).toEqual(['0', '255', '', '0']);
  });

  test('is right at every length at which a length itself grows', () => {
    const edges = [0x7f, 0x80, 0x3fff, 0x4000, 0x1f_ffff, 0x20_0000];
    const lengths = [
      0,
      1,
      ...edges.flatMap((edge) => [edge - 60, edge - 40, edge - 20, edge - 1, edge, edge + 1]),
    ];
    const batch = anOperationBatch({
      operations: lengths.map((length, i) => ({ data: Buffer.alloc(length, i), docType: i % 10 })),
    });

    const request = PublishRequest.decode(encode(batch));

    expect(request.messages.map((message) => message.data?.length)).toEqual(lengths);
    const isSame = request.messages.every((message, i) =>
      bytesOf(batch, i).equals(Buffer.from(message.data ?? [])),
    );
    expect(isSame).toBe(true);
  });

  test('is right for any operations', () => {
    const operation = fc.record({
      data: fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
      docType: fc.integer({ min: 0, max: DOCUMENT_TYPES.length - 1 }),
    });
    const lane = fc.option(fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 20 }),
        lane,
        fc.boolean(),
        (operations, orderingLane, messageId) => {
          const batch = anOperationBatch({ operations, orderingLane });

          const request = PublishRequest.decode(encode(batch, { messageId }));

          expect(request.messages.map((message) => Buffer.from(message.data ?? []))).toEqual(
            operations.map(({ data }) => data),
          );
          expect(request.messages.map((message) => message.attributes?.['doc_type'])).toEqual(
            operations.map(({ docType }) => DOCUMENT_TYPES[docType]),
          );
        },
      ),
    );
  });

  test('is never longer than the limits reckon', () => {
    const options = { messageId: true, ordering: true };
    const batch = anOperationBatch({
      orderingLane: 255,
      operations: DOCUMENT_TYPES.map((_, docType) => ({
        ...binaryOperation(docType, 3_000_000 / DOCUMENT_TYPES.length, docType),
        messageId: '00008-99999-00000000000000000000',
      })),
    });

    const atMost = batch.byteLength + batch.count * recordOverheadBytes(options) + TOPIC.length + 2;

    expect(encode(batch, options).length).toBeLessThanOrEqual(atMost);
  });
});

describe('countMessageIds', () => {
  test('counts what the official protos encode', () => {
    const counts = [0, 1, 1_000].map((count) => {
      const messageIds = Array.from({ length: count }, (_, i) => (i * 1e12).toString());
      return countMessageIds(PublishResponse.encode({ messageIds }).finish());
    });

    expect(counts).toEqual([0, 1, 1_000]);
  });

  test('passes over fields of a later version', () => {
    const later = Buffer.from([0x12, 2, 1, 2, 0x18, 0x96, 0x01]);
    const response = Buffer.concat([PublishResponse.encode({ messageIds: ['a', 'b'] }).finish(), later]);

    expect(countMessageIds(response)).toBe(2);
  });

  test.each([
    ['cut in an id', Buffer.from([0x0a, 5, 1, 2])],
    ['cut in a length', Buffer.from([0x0a, 0x80])],
    ['of a wire type that was never in it', Buffer.from([0x0d, 1, 2, 3, 4])],
  ])('says null for bytes %s', (_, bytes) => {
    expect(countMessageIds(bytes)).toBeNull();
  });
});
