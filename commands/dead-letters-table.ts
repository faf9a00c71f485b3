import { textTable } from './text-output.ts';

/** A dead letter as JSON, the API's as well: its texts are safe to show, offsets are texts, times ms since 1970 UTC. */
export interface DeadLetterRow {
  readonly time: number;
  readonly reason: string;
  readonly code: string | null;
  readonly replication_id: string | null;
  readonly datamart_id: string | null;
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly schema_id: number | null;
  readonly truncated: boolean;
  readonly detail: string;
  readonly dead_letter_partition: number;
  readonly dead_letter_offset: string;
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
