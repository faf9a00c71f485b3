import type { DeadLetterResource } from '../api/dead-letter-operations.ts';
import type { StoredDeadLetter } from '../streams/redrive/stored-dead-letter.ts';
import { safeName, safeText } from './safe-text.ts';
import { textTable } from './text-output.ts';

/** A dead letter as JSON, as the API answers it: its texts are safe to show. */
export type DeadLetterRow = DeadLetterResource;

/** Offsets are texts, as in every JSON of this program. */
export function deadLetterRow(letter: StoredDeadLetter): DeadLetterRow {
  const { source } = letter;
  return {
    time: letter.time,
    reason: safeName(letter.reason),
    code: letter.code === null ? null : safeName(letter.code),
    replication_id: letter.replicationId === null ? null : safeName(letter.replicationId),
    datamart_id: letter.datamartId === null ? null : safeName(letter.datamartId),
    topic: safeName(source.topic),
    partition: source.partition,
    offset: String(source.offset),
    schema_id: letter.schemaId,
    truncated: letter.isTruncated,
    detail: safeText(letter.detail),
    dead_letter_partition: letter.partition,
    dead_letter_offset: String(letter.offset),
  };
}

/** One line a dead letter; `selected` is how many there are in all. */
export function deadLettersTable(shown: readonly DeadLetterRow[], selected: number): string {
  const rows = shown.map((letter) => [
    new Date(letter.time).toISOString(),
    letter.reason,
    letter.code ?? '-',
    letter.replication_id ?? '-',
    `${letter.topic}/${letter.partition}/${letter.offset}`,
    letter.detail,
  ]);
  const head = ['time', 'reason', 'code', 'replication', 'source topic/partition/offset', 'detail'];
  const hidden =
    shown.length < selected
      ? `the newest ${shown.length} of ${selected}; --limit shows more, --json all\n`
      : '';
  return `${textTable(head, rows)}${hidden}`;
}
