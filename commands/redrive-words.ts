import type { RedriveOutcome } from '../streams/redrive/redrive.ts';

/** Letters of these weren't sent though somebody may want them: exit code 1. */
export const NOT_SENT: readonly RedriveOutcome[] = [
  'not_in_snapshot',
  'rejected',
  'undecodable',
  'no_value',
  'gone',
  'failed',
];
/** What became of a dead letter, in words; an API of a newer release may know further outcomes. */
export function outcomeWords(outcome: string): string {
  return Object.entries(WORDS).find(([known]) => known === outcome)?.[1] ?? outcome.replaceAll('_', ' ');
}

const WORDS: Readonly<Record<RedriveOutcome, string>> = {
  sent: 'sent',
  would_send: 'would be sent',
  sent_before: 'sent by an earlier redrive; --again sends them once more',
  superseded: 'superseded by a newer mutation of the document; --force sends them all the same',
  not_in_snapshot:
    'not sent: the snapshot doesn’t hold the document, so whether it is the newest isn’t known; --force sends them',
  rejected: 'rejected by the destination again; they stay dead letters',
  undecodable: 'still can’t be decoded; they stay dead letters',
  no_value: 'stored without their value: nothing to send',
  gone: 'no longer on the topic',
  failed: 'not sent: the destination takes no more',
  paused: 'left out: the replication is PAUSED',
  unknown_replication: 'left out: there is no such replication',
  other_datamart: 'left out: the replication belongs to another datamart now',
  not_wanted: 'left out: no replication wants the document',
};
