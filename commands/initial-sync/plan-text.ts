import type { ReplicationPlanResource, SyncPlanResource } from '../../api/sync-plan-resource.ts';
import { DOCUMENT_TYPES } from '../../schemas/document-type.ts';
import { durationText } from '../duration-text.ts';
import { textTable } from '../text-output.ts';
import { gapText } from './gap-text.ts';

const NONE = '-';

/** A plan for people: documents by type, what they come to, and what isn't plain about it. Pure. */
export function planText(plan: SyncPlanResource): string {
  const parts = Object.entries(plan.replications);
  const notes = notesOf(plan, parts);
  return [
    documentTable(parts),
    textTable(
      ['replication', 'messages', 'bytes', 'requests', 'billed', 'time'],
      parts.map(([id, part]) => [
        id,
        part.messages,
        part.bytes,
        part.requests ?? NONE,
        billedText(part),
        part.seconds === null ? NONE : durationText(part.seconds),
      ]),
    ),
    notes.map((note) => `- ${note}\n`).join(''),
  ]
    .filter((block) => block !== '')
    .join('\n');
}

/** Types on the left, replications on the right. */
function documentTable(parts: readonly (readonly [string, ReplicationPlanResource])[]): string {
  const rows = DOCUMENT_TYPES.flatMap((type) => [
    ...rowOf(
      type,
      parts.map(([, { documents }]) => documents[type] ?? 0),
    ),
    ...rowOf(
      `${type}, deleted`,
      parts.map(([, { deletions }]) => deletions[type] ?? 0),
    ),
  ]);
  return rows.length === 0
    ? 'the snapshot has no document that a filter selects\n'
    : textTable(['documents', ...parts.map(([id]) => id)], rows);
}

function rowOf(title: string, counts: readonly number[]): (readonly (string | number)[])[] {
  return counts.some((count) => count > 0) ? [[title, ...counts]] : [];
}

function billedText({
  billed_bytes: bytes,
  billed_events: events,
  throughput_unit_seconds: unitSeconds,
}: ReplicationPlanResource): string {
  if (events !== null) return `${events} events; ${unitSeconds ?? 0} s of a throughput unit`;
  return bytes === null ? NONE : `${bytes} bytes`;
}

function notesOf(
  plan: SyncPlanResource,
  parts: readonly (readonly [string, ReplicationPlanResource])[],
): readonly string[] {
  const sources = new Set(
    parts.flatMap(([, { billing_source: source }]) => (source === null ? [] : [source])),
  );
  return [
    plan.rate === null
      ? 'no rate is set (INITIAL_SYNC_MAX_RATE, --rate), so nothing is said of the time'
      : `time at ${plan.rate} operations a second for each replication`,
    'requests and what is billed for them are the least: a slow synchronization sends smaller requests',
    ...(sources.size > 0 ? [`what is billed follows ${[...sources].join(' and ')}`] : []),
    ...parts.flatMap(([id, part]) => partNotes(id, part)),
    ...(plan.superseded_rows > 0
      ? [`${plan.superseded_rows} older rows of the same documents wait for compaction; they may be sent too`]
      : []),
    ...(plan.unreadable_rows > 0
      ? [`${plan.unreadable_rows} rows of the snapshot are no mutations and are left out`]
      : []),
  ];
}

function partNotes(
  id: string,
  { gap, not_in_schema: notInSchema }: ReplicationPlanResource,
): readonly string[] {
  return [
    ...(notInSchema > 0
      ? [
          `${id}: ${notInSchema} UserPointParent can't be sent in its schema; "user_point_parent": true allows it`,
        ]
      : []),
    ...(gap ? [gapText(id, gap)] : []),
  ];
}
