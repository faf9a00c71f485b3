import type { Caller } from '../api/replication-operations.ts';
import type { TextOutput } from './text-output.ts';

/** Replications, or initial synchronizations, as a command reaches them, over Kafka or over HTTP. */
export interface ControlConnection<Operations> {
  readonly operations: Operations;
  close(): Promise<void>;
}

/** What every command on them works with. */
export interface ControlSession<Operations> {
  readonly operations: Operations;
  readonly caller: Caller;
  /** `--datamart-id`; null: not given, which is possible over Kafka only. */
  readonly datamartId: string | null;
  /** The flags that lead here, as a further command needs them: ` --api … --datamart-id …`. */
  readonly flagsText: string;
  readonly isJson: boolean;
  readonly out: TextOutput;
  readonly errors: TextOutput;
  readonly signal: AbortSignal;
  /** In ms, of a clock that only goes forward. */
  readonly now: () => number;
  /** Resolves early, without an error, when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}
