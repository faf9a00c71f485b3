import { ALL_DOCUMENT_TYPES, FILTER_NAMES, USER_POINT_PARENT } from '../schemas/document-type.ts';
import type { MutationSummary } from './examined-record.ts';
import type { ReplicationConfig } from './replication-config.ts';
import { replicationState, type ReplicationState, type Verdict } from './replication-state.ts';
import type { PartitionReport } from './status-record.ts';

/** Where a record lies. */
export interface RecordPlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Kafka's, in ms since 1970 UTC; null when the record is gone. */
  readonly timestamp: number | null;
}

/** How the group stands on the record's partition. */
export interface PartitionStanding {
  /** Everything below is settled for every replication without a position of its own; null: nothing was committed yet. */
  readonly committed: number | null;
  readonly logStart: number;
  readonly logEnd: number;
  /** The partition was added to its topic and isn't worked on yet. */
  readonly isHeld: boolean;
  /** False when the commit's own positions can't be read, so that an absent one says nothing. */
  readonly arePositionsKnown: boolean;
}

/** A replication's own position on the record's partition, as the group's commit carries it. */
export interface KnownPosition {
  readonly kind: 'DETACHED' | 'PAUSED' | 'ERROR';
  /** Everything of the replication below is settled. */
  readonly position: number;
}

/** What is desired and known of one replication on the record's partition. */
export interface ReplicationStanding {
  readonly config: ReplicationConfig;
  readonly verdict: Verdict | null;
  /** Of its sealed credentials; null without. */
  readonly credentialsVersion: number | null;
  readonly isDetached: boolean;
  /** Since when its state holds, in ms since 1970 UTC; null when no processor has told yet. */
  readonly since: number | null;
  readonly own: KnownPosition | null;
  readonly report: PartitionReport | null;
}

/** A dead letter of the record. `detail` is fit to be shown. */
export interface ExplainedLetter {
  /** Null: it could not be decoded, so no replication got it. */
  readonly replicationId: string | null;
  readonly reason: string;
  readonly code: string | null;
  readonly detail: string;
  /** When it was stored, in ms since 1970 UTC. */
  readonly time: number;
}

/**
 * Why a replication got the mutation, gets it, or doesn't.
 * - `delivered`: everything below the position that holds for it is settled.
 * - `wanted`: of a pasted mutation, that it would be sent.
 * - `in_flight`: it is among those that are taken up next, or that were taken up since the last commit.
 * - `detached`, `activating`, `not_adopted`, `not_consumed`: what it waits for.
 * - `lost`: retention took it before it was sent.
 */
export const EXPLANATION_REASONS = [
  'delivered',
  'wanted',
  'in_flight',
  'detached',
  'activating',
  'not_adopted',
  'not_consumed',
  'filter',
  'not_in_schema',
  'paused',
  'gap',
  'error',
  'dead_lettered',
  'lost',
  'before_creation',
  'before_position',
] as const;
export type ExplanationReason = (typeof EXPLANATION_REASONS)[number];

/** `unknown`: nothing that is kept tells. */
export type ExplanationResult = 'sent' | 'will_be_sent' | 'not_sent' | 'unknown';

/** What became of the mutation for one replication, as JSON. */
export interface ReplicationExplanation {
  readonly replication_id: string;
  readonly name: string;
  readonly state: ReplicationState;
  readonly result: ExplanationResult;
  /** False when it is concluded from what holds now and may have been otherwise then. */
  readonly certain: boolean;
  readonly reason: ExplanationReason;
  readonly message: string;
  readonly remedy: string | null;
  /** Its own position on the partition; null when it follows the group's committed offset. */
  readonly position: string | null;
  /** Records from its position to the log's end, an upper bound of what it hasn't got; null of a pasted mutation. */
  readonly lag_records: number | null;
  readonly gap: { readonly from: string; readonly to: string } | null;
  readonly dead_letter: {
    readonly reason: string;
    readonly code: string | null;
    readonly detail: string;
    readonly time: number;
  } | null;
}

/** The record as one replication may see it. */
export interface ExplainedRecord {
  /** Null when the record is gone: its document type isn't known then. */
  readonly mutation: MutationSummary | null;
  readonly place: RecordPlace | null;
  readonly partition: PartitionStanding | null;
  readonly letters: readonly ExplainedLetter[];
}

interface Finding {
  readonly result: ExplanationResult;
  readonly reason: ExplanationReason;
  readonly isCertain: boolean;
  readonly message: string;
  readonly remedy?: string | null;
  readonly letter?: ExplainedLetter;
}

/** Says what became of a record for one replication, or what will. Pure. */
export function explainReplication(
  standing: ReplicationStanding,
  record: ExplainedRecord,
): ReplicationExplanation {
  const { config, verdict, credentialsVersion, isDetached, report } = standing;
  const { place, partition } = record;
  const state = replicationState(config, verdict, credentialsVersion, isDetached);
  const own = place === null ? null : positionOf(standing);
  const finding =
    byNamedLetter(config, record.letters) ??
    byContent(config, record, own) ??
    byUnnamedLetter(record.letters) ??
    (place === null || partition === null
      ? byState(standing, state)
      : byPosition(standing, { state, own, place, partition }));
  const start = own?.position ?? partition?.committed ?? partition?.logStart ?? null;
  return {
    replication_id: config.id,
    name: config.name,
    state,
    result: finding.result,
    certain: finding.isCertain,
    reason: finding.reason,
    message: finding.message,
    remedy: finding.remedy ?? null,
    position: own === null ? null : String(own.position),
    lag_records: start === null || partition === null ? null : Math.max(0, partition.logEnd - start),
    gap: report?.gap ? { from: String(report.gap.from), to: String(report.gap.to) } : null,
    dead_letter: finding.letter ? letterJson(finding.letter) : null,
  };
}

interface OwnPositionFound extends KnownPosition {
  /** False: it is the last report, which may be some seconds old. */
  readonly isCommitted: boolean;
}

/** The commit is the authority; where it says nothing, what was last reported. */
function positionOf({ own, report }: ReplicationStanding): OwnPositionFound | null {
  if (own) return { ...own, isCommitted: true };
  if (!report || report.state === 'ACTIVE') return null;
  const kind = report.state === 'STOPPED' ? 'ERROR' : report.state;
  return { kind, position: report.offset, isCommitted: false };
}

function byNamedLetter({ id }: ReplicationConfig, letters: readonly ExplainedLetter[]): Finding | null {
  const letter = letters.find(({ replicationId }) => replicationId === id);
  return letter ? deadLettered(letter, 'the destination rejected it, and it is a dead letter') : null;
}

function byUnnamedLetter(letters: readonly ExplainedLetter[]): Finding | null {
  const letter = letters.find(({ replicationId }) => replicationId === null);
  return letter ? deadLettered(letter, 'it could not be decoded when it came, and is a dead letter') : null;
}

function deadLettered(letter: ExplainedLetter, words: string): Finding {
  const why = [letter.reason, letter.code].filter(Boolean).join(', ');
  return {
    result: 'not_sent',
    reason: 'dead_lettered',
    isCertain: true,
    message:
      `${words} since ${new Date(letter.time).toISOString()} (${why}): ${letter.detail}. ` +
      'Whether a redrive has sent it since is only in that redrive’s progress file',
    remedy: 'repair the cause, then `dead-letters redrive`',
    letter,
  };
}

/** What follows from the document type alone. */
function byContent(
  config: ReplicationConfig,
  { mutation, place, partition }: ExplainedRecord,
  own: OwnPositionFound | null,
): Finding | null {
  if (mutation === null) return null;
  const { docType, docTypeIndex } = mutation;
  if (((config.filter ?? ALL_DOCUMENT_TYPES) & (1 << docTypeIndex)) === 0) {
    const filter = FILTER_NAMES[docTypeIndex] ?? FILTER_NAMES[0];
    return {
      result: 'not_sent',
      reason: 'filter',
      isCertain: true,
      message: `its replication_filters don't select ${filter}, which ${docType} belongs to`,
      remedy: 'filters never change: create another replication where the document is wanted',
    };
  }
  if (docTypeIndex === USER_POINT_PARENT && config.version === 2 && !config.userPointParent) {
    const passed = own?.position ?? partition?.committed ?? 0;
    return {
      result: 'not_sent',
      reason: 'not_in_schema',
      // The option can be changed: whoever is past the mutation may have been set otherwise then.
      isCertain: place === null || place.offset >= passed,
      message: "the Avro schema of version 2 can't hold UserPointParent, and user_point_parent is false",
      remedy:
        'give the topic schemas/operation-record-with-parent.avsc and set "user_point_parent": true, for those to come',
    };
  }
  return null;
}

/** Of a pasted mutation: what would happen if it arrived now. */
function byState({ config, verdict }: ReplicationStanding, state: ReplicationState): Finding {
  switch (state) {
    case 'ACTIVE':
    case 'DETACHED':
      return {
        result: 'will_be_sent',
        reason: 'wanted',
        isCertain: true,
        message:
          state === 'ACTIVE' ? 'it would be sent' : 'it would be sent once the replication has caught up',
      };
    case 'ACTIVATING':
      return activating();
    case 'PAUSED':
    case 'DELETED':
      return paused(config, null);
    case 'ERROR':
      return failed(config, verdict, null);
  }
}

interface Position {
  readonly state: ReplicationState;
  readonly own: OwnPositionFound | null;
  readonly place: RecordPlace;
  readonly partition: PartitionStanding;
}

function byPosition(standing: ReplicationStanding, position: Position): Finding {
  const { place, partition, own } = position;
  if (partition.isHeld) {
    return {
      result: 'will_be_sent',
      reason: 'not_adopted',
      isCertain: true,
      message: `partition ${place.partition} was added to ${place.topic} and isn't worked on yet`,
      remedy: 'run `partitions adopt`',
    };
  }
  const gap = standing.report?.gap;
  if (gap && place.offset >= gap.from && place.offset < gap.to) {
    return {
      result: 'not_sent',
      reason: 'gap',
      isCertain: true,
      message:
        `it lies in the gap from ${gap.from} to ${gap.to - 1}, which was left out when the replication was activated from now. ` +
        'One whose answer was lost when the replication was paused may have arrived all the same',
      remedy: 'an initial synchronization brings what documents hold now',
    };
  }
  const settledTo = own?.position ?? partition.committed;
  return settledTo !== null && place.offset < settledTo
    ? settled(standing, position)
    : unsettled(standing, position);
}

/** The mutation lies below what is settled for the replication. */
function settled(standing: ReplicationStanding, { state, own, place, partition }: Position): Finding {
  const { config, verdict, since, report } = standing;
  const below = own
    ? `offset ${place.offset} is below its position ${own.position}`
    : `offset ${place.offset} is below the committed offset ${partition.committed}`;
  const came = place.timestamp;
  if (came === null && (report?.lostOffsets ?? 0) > 0) {
    return {
      result: 'unknown',
      reason: 'lost',
      isCertain: false,
      message: `${below}, and retention took ${report?.lostOffsets} offsets of this partition before they were sent: it may be one of them`,
      remedy: 'an initial synchronization repairs what was lost',
    };
  }
  if (config.created !== null && came !== null && came < config.created) {
    return {
      result: 'not_sent',
      reason: 'before_creation',
      isCertain: false,
      message: `${below}, and it was written before the replication was created: a replication starts with what comes after its activation`,
      remedy: 'an initial synchronization brings what was there before',
    };
  }
  const wasNeverActive = state === 'ERROR' && verdict?.failure?.reason === 'activation_failed';
  if (state === 'PAUSED' || state === 'ACTIVATING' || wasNeverActive) {
    return {
      result: 'unknown',
      reason: 'before_position',
      isCertain: false,
      message: `${below}: it was sent if the replication was ACTIVE when the mutation was taken up, which isn't kept`,
    };
  }
  const wasActive = since !== null && came !== null && since <= came && state !== 'ERROR';
  return {
    result: 'sent',
    reason: 'delivered',
    isCertain: wasActive && partition.arePositionsKnown,
    message: wasActive
      ? `${below}, and the replication was ACTIVE all the time: the destination has acknowledged it`
      : `${below}: the destination has acknowledged it if the replication was ACTIVE when the mutation was taken up`,
  };
}

/** The mutation isn't settled for the replication yet. */
function unsettled(
  { config, verdict }: ReplicationStanding,
  { state, own, place, partition }: Position,
): Finding {
  if (place.offset < partition.logStart) {
    return {
      result: 'not_sent',
      reason: 'lost',
      isCertain: own?.isCommitted ?? true,
      message: `retention took it before it was sent: the log begins at ${partition.logStart}`,
      remedy: 'start an initial synchronization, and keep the mutation topic longer than the longest outage',
    };
  }
  if (state === 'PAUSED') return paused(config, own);
  if (state === 'ERROR') return failed(config, verdict, own);
  if (state === 'ACTIVATING') return activating();
  if (own) {
    return {
      result: 'will_be_sent',
      reason: 'detached',
      isCertain: own.isCommitted,
      message: `the replication is detached on this partition and catches up from offset ${own.position}`,
    };
  }
  if (partition.committed === null) {
    return {
      result: 'will_be_sent',
      reason: 'not_consumed',
      isCertain: false,
      message:
        'the group has committed nothing on this partition yet: it begins at the log’s start, or at its end with KAFKA_START_FROM=latest',
      remedy: 'start an instance; is KAFKA_GROUP_ID right?',
    };
  }
  return {
    result: 'will_be_sent',
    reason: 'in_flight',
    isCertain: partition.arePositionsKnown,
    message:
      `offset ${place.offset} isn't below the committed offset ${partition.committed} yet: ` +
      'it is sent as soon as its turn comes, or was since the last commit',
  };
}

function activating(): Finding {
  return {
    result: 'will_be_sent',
    reason: 'activating',
    isCertain: false,
    message: 'credentials and destination are being checked; what comes meanwhile is sent once that succeeds',
  };
}

function paused({ resume }: ReplicationConfig, own: OwnPositionFound | null): Finding {
  const stopped = own ? `, and stopped at offset ${own.position}` : '';
  const isResumed = resume === 'WHERE_STOPPED' || (resume === null && own?.kind === 'ERROR');
  return {
    result: 'not_sent',
    reason: 'paused',
    isCertain: own?.isCommitted ?? true,
    message:
      `the replication is PAUSED${stopped}. ` +
      (isResumed
        ? 'Once it is activated it goes on from where it stopped, and sends this'
        : 'Once it is activated it goes on from then, and this belongs to the gap that is left out'),
    remedy: isResumed ? 'activate it' : 'to have it sent, activate it with "resume": "WHERE_STOPPED"',
  };
}

function failed(
  { resume }: ReplicationConfig,
  verdict: Verdict | null,
  own: OwnPositionFound | null,
): Finding {
  const failure = verdict?.failure ?? null;
  const why = failure ? ` (${failure.reason}, ${failure.code}: ${failure.message})` : '';
  const isKept = resume !== 'NOW' && (own !== null || failure?.reason === 'destination_failed');
  const from = own ? `offset ${own.position}` : 'where it stopped';
  const next = isKept
    ? `Once that is repaired it goes on from ${from}, and sends this`
    : 'Once that is repaired it goes on from then: this is not sent';
  return {
    result: 'not_sent',
    reason: 'error',
    isCertain: own?.isCommitted ?? true,
    message: `the replication is in ERROR${why}. ${next}`,
    remedy: [failure?.remedy, 'then activate it again'].filter(Boolean).join('; '),
  };
}

function letterJson({ reason, code, detail, time }: ExplainedLetter): ReplicationExplanation['dead_letter'] {
  return { reason, code, detail, time };
}
