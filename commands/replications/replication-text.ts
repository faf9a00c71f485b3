import type { PositionResource, ReplicationResource } from '../../api/replication-resource.ts';
import { safeName, safeWords } from '../safe-text.ts';
import { textTable } from '../text-output.ts';
import { timeText } from '../time-text.ts';

/** What has a line of its own; the other fields are the destination's. */
const SHOWN_APART: ReadonlySet<string> = new Set([
  'id',
  'version',
  'status',
  'name',
  'type',
  'datamart_id',
  'credentials_uri',
  'replication_filters',
  'resume',
  'metadata',
  'user_point_parent',
  'ordering',
  'ordering_lanes',
  'observed',
]);
const OPTIONS = ['resume', 'metadata', 'user_point_parent', 'ordering', 'ordering_lanes'] as const;

/** One line a replication. */
export function listText(resources: readonly ReplicationResource[]): string {
  const rows = resources.map(({ id, datamart_id, name, type, status, observed }) => [
    id,
    datamart_id,
    shortened(safeName(name)),
    type,
    status,
    observed.code === null || observed.state !== 'ERROR'
      ? observed.state
      : `${observed.state} ${observed.code}`,
    lagText(observed),
    timeText(observed.since),
  ]);
  return textTable(['id', 'datamart', 'name', 'type', 'status', 'state', 'lag', 'since'], rows);
}

/** Everything about one replication. */
export function detailsText(resource: ReplicationResource): string {
  const { id, datamart_id, name, type, version, status, observed } = resource;
  const lines: (readonly [string, string])[] = [
    ['datamart', datamart_id],
    ['type', `${type}, version ${version}`],
    ...destinationOf(resource),
    ['documents', documentsText(resource)],
    ...('credentials_uri' in resource
      ? [['credentials', resource.credentials_uri ?? 'none yet'] as const]
      : []),
    ['options', optionsText(resource)],
    ['status', status],
    ...stateLines(resource),
  ];
  const width = Math.max(...lines.map(([title]) => title.length));
  const shown = lines.map(([title, text]) => `  ${title.padEnd(width)}  ${safeWords(text)}\n`);
  const positions = observed.positions ?? [];
  return [
    `replication ${id} ${JSON.stringify(safeName(name))}\n`,
    ...shown,
    positions.length > 0 ? `\n${positionsText(positions)}` : '',
  ].join('');
}

/** The state with why and what to do, as an activation ends. */
export function stateText(resource: ReplicationResource): string {
  return stateLines(resource)
    .map(([title, text]) => `  ${title}: ${safeWords(text)}\n`)
    .join('');
}

function stateLines({ observed }: ReplicationResource): (readonly [string, string])[] {
  const { state, since, reason, code, message, remedy, refused, deferred_status: deferred } = observed;
  const why = [reason, code === 'ok' ? null : code].filter((word) => word !== null).join(': ');
  return [
    ['state', since === null ? state : `${state} since ${timeText(since)}`],
    ...optionalLine('reason', why === '' ? null : why),
    ...optionalLine('message', message),
    ...optionalLine('remedy', remedy),
    ...(state === 'PAUSED' ? [] : [['lag', lagText(observed)] as const]),
    ...optionalLine('after the initial sync', deferred),
    ...(observed.needs_initial_sync
      ? [
          [
            'lost',
            `up to ${observed.lost_offsets} operations to retention: an initial sync is needed`,
          ] as const,
        ]
      : []),
    ...optionalLine(
      'refused',
      refused &&
        `the record at offset ${refused.offset} (${timeText(refused.time)}) isn't in force: ${refused.message} ` +
          `(${refused.field === null ? refused.code : `${refused.code}, ${refused.field}`})`,
    ),
  ];
}

function optionalLine(title: string, text: string | null): readonly (readonly [string, string])[] {
  return text === null ? [] : [[title, text]];
}

function destinationOf(resource: ReplicationResource): (readonly [string, string])[] {
  return Object.entries(resource)
    .filter(([field]) => !SHOWN_APART.has(field))
    .map(([field, value]) => [field, typeof value === 'string' ? value : JSON.stringify(value)] as const);
}

function documentsText({ replication_filters: filters }: ReplicationResource): string {
  return filters === null ? 'all' : filters.map(({ document }) => document).join(', ');
}

function optionsText(resource: ReplicationResource): string {
  return OPTIONS.filter((option) => option in resource)
    .map((option) => `${option}=${JSON.stringify(resource[option])}`)
    .join(' ');
}

function lagText({
  lag_records: records,
  lag_seconds: seconds,
}: Pick<ReplicationResource['observed'], 'lag_records' | 'lag_seconds'>): string {
  if (records === null) return '-';
  return seconds === null || records === 0 ? `${records}` : `${records} (${Math.round(seconds * 10) / 10} s)`;
}

function positionsText(positions: readonly PositionResource[]): string {
  const rows = positions.map(({ topic, partition, state, offset, lag_records: lag, gap }) => [
    topic,
    partition,
    state,
    offset ?? '-',
    lag ?? '-',
    gap === null ? '-' : `${gap.from} to ${gap.to}`,
  ]);
  return textTable(['topic', 'partition', 'state', 'offset', 'lag', 'not sent'], rows);
}

function shortened(name: string): string {
  return name.length > 40 ? `${name.slice(0, 39)}…` : name;
}
