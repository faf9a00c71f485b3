import { parseMutationSource, type MutationSource } from '../../schemas/mutation-source.ts';
import { OperationReader, OperationView } from '../../schemas/operation-reader.ts';
import type { ConsumedRecord, RecordHeaders } from '../kafka-port.ts';
import { scanRange, type LogRange, type ScanPorts } from '../partition-scan.ts';
import type { ArrivalListener, Arrivals } from './arrivals.ts';
import type { ScanProgress } from './scan-progress.ts';

/**
 * What a `KAFKA_TOPIC` destination got. All operations of a user point lie in one partition, in the order in which they
 * arrived, as long as neither the topic's partitions nor the replication's `ordering_lanes` have changed.
 */
export class TopicArrivals implements Arrivals {
  readonly #ranges: readonly LogRange[];
  readonly #ports: ScanPorts;

  constructor(ranges: readonly LogRange[], ports: ScanPorts) {
    this.#ranges = ranges;
    this.#ports = ports;
  }

  async read(
    listener: ArrivalListener,
    onProgress: (progress: ScanProgress) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const reader = new OperationReader();
    const operation = new OperationView();
    const total = this.#ranges.reduce((sum, { start, end }) => sum + end - start, 0);
    let before = 0;
    for (const range of this.#ranges) {
      const onRecord = ({ offset, value, headers }: ConsumedRecord): void => {
        if (value && reader.read(value, operation)) listener.onArrival(operation, sourceOf(headers));
        else
          listener.onForeign(
            `${range.topic}/${range.partition} offset ${offset}`,
            value ? reader.detail : 'it has no value',
          );
      };
      await scanRange(
        range,
        this.#ports,
        onRecord,
        (offset) => {
          onProgress({ reading: range.topic, read: before + offset - range.start, total });
        },
        signal,
      );
      before += range.end - range.start;
    }
  }
}

function sourceOf({ message_id: id }: RecordHeaders): MutationSource | null {
  const last = [id].flat().at(-1);
  return last === undefined ? null : parseMutationSource(String(last));
}
