import type {
  ProducedRecord,
  RecordProducer,
  TopicDescription,
} from '../../sinks/kafka-topic/record-producer.ts';

type Fault = { readonly kind: 'reject' | 'lose_answer'; readonly error: Error } | { readonly kind: 'hang' };

/** What a Kafka client's error says besides its message. */
export interface KafkaErrorFields {
  readonly name?: string;
  readonly type?: string;
  readonly code?: string;
}

const MAX_MESSAGE_BYTES = 1_048_588;

/** A Kafka cluster as far as the sink sees it: keeps records in memory and fails the next request as told. */
export class RecordProducerInMemory implements RecordProducer {
  readonly stored: ProducedRecord[] = [];
  /** How many records each request held. */
  readonly requests: number[] = [];
  closeCount = 0;
  /** The topics' `max.message.bytes`; null: it may not be read. */
  maxMessageBytes: number | null = MAX_MESSAGE_BYTES;
  readonly #partitions: ReadonlyMap<string, number>;
  readonly #faults: Fault[] = [];

  constructor(topics: Readonly<Record<string, number>>) {
    this.#partitions = new Map(Object.entries(topics));
  }

  rejectNext(fields: KafkaErrorFields): void {
    this.#faults.push({ kind: 'reject', error: aKafkaError(fields) });
  }

  /** Stores the records of the next request, then fails. */
  loseNextAnswer(fields: KafkaErrorFields): void {
    this.#faults.push({ kind: 'lose_answer', error: aKafkaError(fields) });
  }

  /** Ignores the next request and its signal, as kafkajs does. */
  hangNext(): void {
    this.#faults.push({ kind: 'hang' });
  }

  async produce(topic: string, records: readonly ProducedRecord[]): Promise<void> {
    const fault = await this.#request();
    if (!this.#partitions.has(topic)) throw aKafkaError({ type: 'UNKNOWN_TOPIC_OR_PARTITION' });
    const byteLength = records.reduce((sum, record) => sum + record.value.length, 0);
    if (byteLength > (this.maxMessageBytes ?? MAX_MESSAGE_BYTES))
      throw aKafkaError({ type: 'MESSAGE_TOO_LARGE' });
    this.requests.push(records.length);
    this.stored.push(...records);
    if (fault?.kind === 'lose_answer') throw fault.error;
  }

  async describeTopic(topic: string): Promise<TopicDescription | null> {
    await this.#request();
    const partitions = this.#partitions.get(topic);
    return partitions === undefined ? null : { partitions, maxMessageBytes: this.maxMessageBytes };
  }

  async close(): Promise<void> {
    this.closeCount++;
  }

  async #request(): Promise<Fault | undefined> {
    const fault = this.#faults.shift();
    if (fault?.kind === 'hang') await new Promise<never>(() => {});
    if (fault?.kind === 'reject') throw fault.error;
    return fault;
  }
}

/** An error with the fields by which kafkajs' errors are told apart. */
export function aKafkaError(fields: KafkaErrorFields): Error {
  return Object.assign(new Error(fields.type ?? fields.code ?? fields.name ?? 'kafka failed'), fields);
}
