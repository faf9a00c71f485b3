import { RecordTooLargeError, type ProducedRecord, type Producer, type StoredBatch } from '../kafka-port.ts';
import { safeOffset } from './cluster.ts';
import {
  Partitioners,
  type IHeaders,
  type KafkaClient,
  type Producer as KafkajsProducer,
} from './kafkajs.ts';

/** kafkajs makes one record batch of all messages of a call for one partition: these keep it under a broker's 1 MiB. */
const MAX_SEND_RECORDS = 500;
const MAX_SEND_BYTES = 900_000;

/** `Producer` over kafkajs: acks by all in-sync replicas, one try per call. */
export class KafkajsRecordProducer implements Producer {
  readonly #producer: KafkajsProducer;
  #connecting: Promise<void> | null = null;

  constructor(kafka: KafkaClient) {
    this.#producer = kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
      retry: { retries: 0 },
    });
  }

  async send(topic: string, records: readonly ProducedRecord[]): Promise<readonly StoredBatch[]> {
    await this.#connect();
    const stored: StoredBatch[] = [];
    for (const chunk of chunksOf(records)) {
      try {
        const batches = await this.#producer.send({
          topic,
          acks: -1,
          messages: chunk.map((record) => ({
            key: record.key,
            value: record.value,
            headers: record.headers as IHeaders,
            ...(record.timestamp === undefined ? {} : { timestamp: String(record.timestamp) }),
          })),
        });
        for (const { partition, baseOffset } of batches)
          stored.push({ partition, baseOffset: safeOffset(baseOffset ?? '-1') });
      } catch (error) {
        if (isTooLarge(error))
          throw new RecordTooLargeError(`storing in ${topic}: too large`, { cause: error });
        throw error;
      }
    }
    return stored;
  }

  async close(): Promise<void> {
    if (!this.#connecting) return;
    await this.#connecting.catch(() => undefined);
    await this.#producer.disconnect();
  }

  #connect(): Promise<void> {
    this.#connecting ??= this.#producer.connect().catch((error: unknown) => {
      this.#connecting = null;
      throw error;
    });
    return this.#connecting;
  }
}

function isTooLarge(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { type } = cause as { type?: string };
    if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE') return true;
  }
  return false;
}

function* chunksOf(records: readonly ProducedRecord[]): Generator<readonly ProducedRecord[]> {
  let chunk: ProducedRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const size = (record.key?.length ?? 0) + (record.value?.length ?? 0) + 256;
    if (chunk.length > 0 && (chunk.length >= MAX_SEND_RECORDS || bytes + size > MAX_SEND_BYTES)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(record);
    bytes += size;
  }
  if (chunk.length > 0) yield chunk;
}
