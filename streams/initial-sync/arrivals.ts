import type { MutationSource } from '../../schemas/mutation-source.ts';
import type { OperationView } from '../../schemas/operation-reader.ts';
import type { ScanProgress } from './scan-progress.ts';

/** Takes up what a destination got; everything it is handed is valid during the call. */
export interface ArrivalListener {
  /** `source`: the mutation that it comes from, if the destination was told. */
  onArrival(operation: OperationView, source: MutationSource | null): void;
  /** Something that is no operation: where it lies and, without payload, what is wrong with it. */
  onForeign(where: string, detail: string): void;
}

/** What a destination got, in the order in which each document's operations arrived. Can be read several times. */
export interface Arrivals {
  /** Hands over everything. Ends early when `signal` aborts. Rejects when it can't be read. */
  read(
    listener: ArrivalListener,
    onProgress: (progress: ScanProgress) => void,
    signal: AbortSignal,
  ): Promise<void>;
}
