import type { DeadLetterReason } from '../schemas/mutation.ts';

/** Which dead letters of a replication are meant. What is null selects all. */
export interface DeadLetterSelection {
  readonly datamartId: string;
  readonly replicationId: string;
  readonly reason: DeadLetterReason | null;
  /** Stored at this time or later, ms since 1970 UTC. */
  readonly since: number | null;
  /** Stored before this time. */
  readonly until: number | null;
}

/** A dead letter as the API answers it: where it is and why, no key, no value, no id of a user. */
export interface DeadLetterResource {
  /** When it was stored, ms since 1970 UTC. */
  readonly time: number;
  readonly reason: string;
  readonly code: string | null;
  readonly replication_id: string | null;
  readonly datamart_id: string | null;
  /** Of the mutation. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly schema_id: number | null;
  /** It was too large for the topic and kept without its value. */
  readonly truncated: boolean;
  /** In words, with ids masked. */
  readonly detail: string;
  readonly dead_letter_partition: number;
  readonly dead_letter_offset: string;
}

export interface RedriveRequest extends DeadLetterSelection {
  /** Sends also what may be older than what the destination has. */
  readonly isForced: boolean;
  /** Only says what would be sent. */
  readonly isDryRun: boolean;
  /** How many at most. */
  readonly limit: number;
}

/**
 * The dead letters of one replication. Implemented over the dead-letter topic. Both reject with an `ApiError`:
 * `not_ready` when Kafka can't be read, in time or at all, or another redrive is at work.
 */
export interface DeadLetterOperations {
  /** The newest first. Only letters that name the replication, and this datamart or none. */
  list(
    selection: DeadLetterSelection,
    page: { readonly firstResult: number; readonly maxResults: number },
    signal: AbortSignal,
  ): Promise<{ readonly letters: readonly DeadLetterResource[]; readonly total: number }>;
  /**
   * Sends dead letters again, those that none has sent. Resolves with how many had which result (`sent`, `superseded`,
   * …), also when `signal` has aborted before all were through: what was sent by then is noted, and counted. It isn't
   * complete either when more than `limit` match.
   */
  redrive(
    request: RedriveRequest,
    signal: AbortSignal,
  ): Promise<{ readonly results: Readonly<Record<string, number>>; readonly isComplete: boolean }>;
}
