import { expect, test } from '@jest/globals';
import { createRequire } from 'node:module';
import {
  decodeProduceResponse,
  encodeProduceRequest,
  maxProduceBytes,
} from '../../../../streams/kafka/produce-request.ts';
import { encodeRecordBatch, maxRecordBatchBytes } from '../../../../streams/kafka/record-batch-encoder.ts';
import type { ProducedRecord } from '../../../../streams/kafka-port.ts';
import { RecordArray } from '../../../../streams/record-array.ts';

const requireKafkajs = createRequire(import.meta.url);
const createRequest = requireKafkajs('kafkajs/src/protocol/request') as (
  parts: object,
) => Promise<{ buffer: Buffer }>;
const KafkajsEncoder = requireKafkajs('kafkajs/src/protocol/encoder') as new () => KafkajsEncoder;

interface KafkajsEncoder {
  writeString(text: string | null): KafkajsEncoder;
  writeInt16(value: number): KafkajsEncoder;
  writeInt32(value: number): KafkajsEncoder;
  writeInt64(value: string): KafkajsEncoder;
  writeBuffer(bytes: Buffer): KafkajsEncoder;
  readonly buffer: Buffer;
}

const NOW = 1_763_900_000_000;

function batchOf(records: readonly ProducedRecord[]): Buffer {
  const target = Buffer.alloc(maxRecordBatchBytes(new RecordArray(records)));
  return target.subarray(0, encodeRecordBatch(new RecordArray(records), target, NOW));
}

test('a request is what kafkajs would write around the same batches', async () => {
  const records = (key: string): ProducedRecord[] => [{ key: Buffer.from(key), value: null, headers: {} }];
  const batches = [
    { at: { topic: 'snapshot-ü', partition: 7 }, records: new RecordArray(records('a')) },
    { at: { topic: 'other', partition: 0 }, records: new RecordArray(records('b')) },
    { at: { topic: 'snapshot-ü', partition: 8 }, records: new RecordArray(records('c')) },
  ];
  const header = { version: 7, correlationId: 42, clientId: 'client', timeoutMs: 7_000, now: NOW };
  const target = Buffer.alloc(maxProduceBytes(batches, 'client'));
  const length = encodeProduceRequest(batches, header, target);

  const withBytes = (encoder: KafkajsEncoder, bytes: Buffer): KafkajsEncoder =>
    encoder.writeInt32(bytes.length).writeBuffer(bytes);
  const body = new KafkajsEncoder().writeString(null).writeInt16(-1).writeInt32(7_000).writeInt32(2);
  body.writeString('snapshot-ü').writeInt32(2);
  withBytes(body.writeInt32(7), batchOf(records('a')));
  withBytes(body.writeInt32(8), batchOf(records('c')));
  body.writeString('other').writeInt32(1);
  withBytes(body.writeInt32(0), batchOf(records('b')));
  const expected = await createRequest({
    correlationId: 42,
    clientId: 'client',
    request: { apiKey: 0, apiVersion: 7, encode: () => Promise.resolve(body) },
  });
  expect(target.subarray(0, length).equals(expected.buffer)).toBe(true);
});

test.each([3, 7])('an answer of version %d is read partition by partition', (version) => {
  const answer = new KafkajsEncoder().writeInt32(1).writeString('snapshot').writeInt32(2);
  const partition = (number: number, errorCode: number, baseOffset: string): void => {
    answer.writeInt32(number).writeInt16(errorCode).writeInt64(baseOffset).writeInt64('-1');
    if (version >= 5) answer.writeInt64('3');
  };
  partition(4, 0, '9007199254740990');
  partition(5, 6, '-1');
  answer.writeInt32(250);

  expect(decodeProduceResponse(answer.buffer, version)).toEqual({
    answers: [
      { topic: 'snapshot', partition: 4, errorCode: 0, baseOffset: 9_007_199_254_740_990 },
      { topic: 'snapshot', partition: 5, errorCode: 6, baseOffset: -1 },
    ],
    throttleMs: 250,
  });
  expect(() => decodeProduceResponse(answer.buffer.subarray(0, -3), version)).toThrow(/out of range/);
});
