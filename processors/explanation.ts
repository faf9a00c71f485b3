import type { DocumentType } from '../schemas/document-type.ts';
import type { DeadLetterReason, OPERATION_NAMES } from '../schemas/mutation.ts';
import { datamartOf, type ExaminedRecord } from './examined-record.ts';
import {
  explainReplication,
  type ExplainedLetter,
  type PartitionStanding,
  type RecordPlace,
  type ReplicationExplanation,
  type ReplicationStanding,
} from './replication-explanation.ts';

/** What is known about a record and those who may want it. */
export interface ExplanationInput {
  readonly record: ExaminedRecord;
  /** Null for a mutation that was pasted: nothing is known of its way then. */
  readonly place: RecordPlace | null;
  /** Null with `place`. */
  readonly partition: PartitionStanding | null;
  /** The replications that are asked about. */
  readonly replications: readonly ReplicationStanding[];
  readonly letters: LettersFound;
}

/** Dead letters of exactly this record. */
export interface LettersFound {
  readonly letters: readonly ExplainedLetter[];
  /** Why there may be more; null when all were looked through. */
  readonly incomplete: string | null;
}

/**
 * Why each replication got a mutation, gets it, or doesn't: the JSON that the API and `replications explain` answer.
 * Offsets are decimal texts, times ms since 1970 UTC. It holds no payload, and no id of a user.
 */
export interface Explanation {
  /** Null for a mutation that was pasted, with `partition`, `offset` and `timestamp`. */
  readonly topic: string | null;
  readonly partition: number | null;
  readonly offset: string | null;
  /** Kafka's. Null also when retention has taken the record. */
  readonly timestamp: number | null;
  readonly record: ExaminedRecord['kind'];
  readonly datamart_id: string | null;
  readonly doc_type: DocumentType | null;
  readonly op: (typeof OPERATION_NAMES)[number] | null;
  readonly ts: number | null;
  /** Of a record that can't be decoded: why, as its dead letter says it. */
  readonly reason: DeadLetterReason | null;
  readonly message: string;
  readonly remedy: string | null;
  /** Null: the group has committed nothing on the partition, or the mutation was pasted. */
  readonly committed_offset: string | null;
  readonly log_end_offset: string | null;
  readonly replications: readonly ReplicationExplanation[];
  /** What could not be looked up, and so limits what is said. */
  readonly notes: readonly string[];
}

/** Says of one record what became of it, or will, for each replication. Pure. */
export function explain(input: ExplanationInput): Explanation {
  const { record, place, partition, letters, replications } = input;
  const mutation = record.kind === 'mutation' ? record.mutation : null;
  const isWanted = record.kind === 'mutation' || record.kind === 'gone';
  return {
    topic: place?.topic ?? null,
    partition: place?.partition ?? null,
    offset: place === null ? null : String(place.offset),
    timestamp: place?.timestamp ?? null,
    record: record.kind,
    datamart_id: datamartOf(record),
    doc_type: mutation?.docType ?? null,
    op: mutation?.op ?? null,
    ts: mutation?.ts ?? null,
    reason: record.kind === 'undecodable' ? record.reason : null,
    ...wordsOf(input),
    committed_offset: partition === null || partition.committed === null ? null : String(partition.committed),
    log_end_offset: partition === null ? null : String(partition.logEnd),
    replications: isWanted
      ? replications.map((standing) =>
          explainReplication(standing, { mutation, place, partition, letters: letters.letters }),
        )
      : [],
    notes: notesOf(input),
  };
}

interface Words {
  readonly message: string;
  readonly remedy: string | null;
}

function wordsOf(input: ExplanationInput): Words {
  const { record, replications } = input;
  switch (record.kind) {
    case 'mutation':
      return replications.length > 0
        ? { message: 'a mutation', remedy: null }
        : {
            message: `no replication is configured for datamart ${record.mutation.datamartId}: the mutation is passed over`,
            remedy:
              'create a replication of that datamart, or look whether the producer writes the right datamart_id',
          };
    case 'ignored':
      return {
        message:
          'its document type is one that is never replicated (UserChoice, UserScenario, UserTrait): it is counted and passed over',
        remedy: null,
      };
    case 'tombstone':
      return { message: 'the record has no value: it is counted and passed over', remedy: null };
    case 'schema_unavailable':
      return {
        message: `the record can't be decoded now, and its partition waits for the schema: ${record.detail}`,
        remedy: 'set KAFKA_SCHEMA_REGISTRY_URL, and see that the registry answers; `doctor` tries it',
      };
    case 'gone':
      return {
        message:
          'retention has taken the record: what it was can no longer be told, only what the positions say of its offset',
        remedy: null,
      };
    case 'undecodable':
      return undecodable(input, record);
  }
}

function undecodable(
  { place, partition, letters }: ExplanationInput,
  { reason, detail }: Extract<ExaminedRecord, { readonly kind: 'undecodable' }>,
): Words {
  const why = `no replication gets it: ${reason}, ${detail}`;
  const remedy = 'repair the producer and write the mutation again';
  if (place === null || partition === null) return { message: why, remedy };
  const letter = letters.letters.find(({ replicationId }) => replicationId === null);
  if (letter) {
    const storedAt = new Date(letter.time).toISOString();
    return { message: `${why}. It is a dead letter since ${storedAt} (${letter.reason})`, remedy };
  }
  const isPassed = partition.committed !== null && place.offset < partition.committed;
  return {
    message: isPassed
      ? `${why}. No dead letter of it was found: they are kept for a limited time, and none is made for a datamart without replications`
      : `${why}. It goes to the dead letters when its turn comes`,
    remedy,
  };
}

function notesOf({ record, place, partition, letters, replications }: ExplanationInput): string[] {
  const notes: string[] = [];
  if (place === null)
    notes.push('a pasted mutation has no offset: this says what would happen if it arrived now');
  if (letters.incomplete !== null) notes.push(letters.incomplete);
  if (partition !== null && !partition.arePositionsKnown)
    notes.push(
      "the group's commit carries no positions that can be read: what is said of positions comes from the last reports",
    );
  const isSettled = partition?.committed != null && place !== null && place.offset < partition.committed;
  if ((record.kind === 'mutation' || record.kind === 'gone') && isSettled && replications.length > 0)
    notes.push('only the last gap of a replication on a partition is known, not earlier ones');
  return notes;
}
