import type { SimulatedProcess } from './simulated-process.ts';

/** One operation of a request. */
export interface SentOperation {
  readonly partition: number;
  readonly offset: number;
  readonly text: string;
  /** The offset of the snapshot's row, of which partition and offset are those of the mutation it was made of; null: live. */
  readonly row: number | null;
}

/** Sees what destinations are sent and what they store. */
export interface DestinationObserver {
  violated(what: string): void;
  /** Whether the destination can never accept the operation. */
  isRejected(target: string, operation: SentOperation): boolean;
  /** A request begins; what is returned is called when the process has its answer: that all was delivered, or another. */
  onSend(
    process: SimulatedProcess,
    target: string,
    operations: readonly SentOperation[],
  ): (isDelivered: boolean) => void;
  onStored(process: SimulatedProcess, target: string, operations: readonly SentOperation[]): void;
  onAmbiguous(target: string, operations: readonly SentOperation[]): void;
}
