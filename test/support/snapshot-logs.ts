import { documentKey } from '../../schemas/document-key.ts';
import { JsonMutationDecoder } from '../../schemas/json-mutation-decoder.ts';
import { formatMutationSource } from '../../schemas/mutation-source.ts';
import { DELETE, MutationView } from '../../schemas/mutation.ts';
import { RecordDecoder } from '../../schemas/record-decoder.ts';
import type { PartitionReader, PartitionWriter } from '../../streams/kafka-port.ts';
import type { LogRange } from '../../streams/partition-scan.ts';
import { InMemoryKafka, type StoredRecord } from './in-memory-kafka.ts';
import { ManualClock } from './manual-clock.ts';

export const MUTATIONS = 'datamart-mutations';
export const SNAPSHOT = 'datamart-snapshot';
export const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';

/** A mutation topic and its snapshot in memory, filled by hand, and what reads and writes them. */
export class SnapshotLogs {
  readonly clock = new ManualClock();
  readonly kafka = new InMemoryKafka(this.clock);
  readonly partitionCount: number;
  readonly reader: PartitionReader;
  readonly writer: PartitionWriter;
  readonly signal = new AbortController().signal;
  /** Why appends failed. */
  readonly failures: Error[] = [];

  constructor(partitionCount: number) {
    this.partitionCount = partitionCount;
    this.reader = this.kafka.instance().port.partitionReader();
    this.writer = this.kafka.partitionWriter();
  }

  get ports() {
    const { reader, writer, clock } = this;
    const schemas = {
      get: () => 'unknown' as const,
      load: () => Promise.resolve({ status: 'unknown' as const, detail: '' }),
    };
    return { reader, writer, clock, random: () => 0.5, decoder: new RecordDecoder(schemas), schemas };
  }

  readonly listener = {
    onProgress: (): void => undefined,
    onFailed: (error: Error): void => void this.failures.push(error),
  };

  /** Appends a mutation of the user, and returns its offset. */
  mutate(fields: Record<string, unknown>, partition = 0): number {
    const mutation = {
      datamart_id: 1649,
      user_point_id: USER,
      ts: 1_676_627_112_685,
      op: 'UPDATE',
      ...fields,
    };
    return this.kafka.append(
      { topic: MUTATIONS, partition },
      { key: Buffer.from(String(mutation.user_point_id)), value: Buffer.from(JSON.stringify(mutation)) },
    );
  }

  /** Appends a mutation of one of the user's activities. */
  activity(id: string, n: number, fields: Record<string, unknown> = {}, partition = 0): number {
    const value = { n };
    return this.mutate({ doc_type: 'UserActivity', user_activity_id: id, value, ...fields }, partition);
  }

  /** Copies the mutation to the snapshot, as its owner does. */
  copy(offset: number, partition = 0): void {
    const value = this.kafka.log({ topic: MUTATIONS, partition })[offset]?.value ?? null;
    const view = new MutationView();
    if (!value || new JsonMutationDecoder().decode(value, view, () => true) !== 'ok')
      throw new Error(`there is no mutation at ${offset}`);
    const source = formatMutationSource({ partitionCount: this.partitionCount, partition, offset });
    this.kafka.append(
      { topic: SNAPSHOT, partition },
      {
        key: Buffer.from(documentKey(view)),
        value: view.op === DELETE ? null : value,
        headers: { source: Buffer.from(source) },
      },
    );
  }

  /** What the snapshot is to be compared with, or built from. */
  scope(partition = 0, end = this.kafka.log({ topic: MUTATIONS, partition }).length) {
    const at = { topic: MUTATIONS, partition };
    const mutations: LogRange = { ...at, start: this.kafka.startOf(at), end };
    return { mutations, partitionCount: this.partitionCount, snapshotTopic: SNAPSHOT };
  }

  /** The last record of each document of a snapshot partition, by the last part of its key. */
  rows(partition = 0): Record<string, StoredRecord> {
    const rows: Record<string, StoredRecord> = {};
    for (const record of this.kafka.log({ topic: SNAPSHOT, partition }))
      rows[record.key?.toString().split(/[:/]/).at(-1) ?? ''] = record;
    return rows;
  }

  /** Of those, the `n` of each value; null where it has none. */
  values(partition = 0): Record<string, number | null> {
    return Object.fromEntries(
      Object.entries(this.rows(partition)).map(([key, { value }]) => [
        key,
        value && (JSON.parse(value.toString()) as { value: { n: number } }).value.n,
      ]),
    );
  }
}
