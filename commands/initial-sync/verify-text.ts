import { DIFFERENCES, type Difference } from '../../processors/document-fold.ts';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import { DOCUMENT_TYPES } from '../../schemas/document-type.ts';
import type { Verification } from '../../streams/initial-sync/verification.ts';
import { safeName } from '../safe-text.ts';
import { textTable } from '../text-output.ts';

/** What a verification came to, as `--json` prints it. */
export interface VerificationResource extends Readonly<Record<Difference, number>> {
  readonly replication_id: string;
  readonly datamart_id: string;
  readonly folded_by: 'arrival' | 'message_id';
  readonly is_equal: boolean;
  /** By type, of those that either side has. */
  readonly documents: Readonly<
    Record<string, Readonly<Record<'source' | 'destination' | Difference, number>>>
  >;
  readonly examples: readonly {
    readonly difference: Difference;
    readonly doc_type: string;
    /** A hash of type and `doc_id`. */
    readonly document: string;
    /** With `--show-keys`. */
    readonly doc_id?: string;
  }[];
  readonly arrived: number;
  readonly foreign: number;
  readonly first_foreign: string | null;
  readonly unreadable_rows: number;
  /** Mutations that the snapshot topic was too small for: their documents are taken for equal. */
  readonly omitted_rows: number;
  /** What was read, to be read again with `--until`. */
  readonly until: string;
  /** Whether the snapshot has grown meanwhile: differences may be operations on their way. */
  readonly moved: boolean;
}

/** What is told beside the comparison itself. */
export interface VerificationContext {
  readonly config: ReplicationConfig;
  readonly isByMessageId: boolean;
  /** By hash; empty where they aren't to be shown. */
  readonly docIds: ReadonlyMap<string, string>;
  readonly until: string;
  readonly hasMoved: boolean;
}

export function verificationResource(
  found: Verification,
  { config, isByMessageId, docIds, until, hasMoved }: VerificationContext,
): VerificationResource {
  const sum = (difference: Difference): number =>
    found.byType.reduce((total, counts) => total + counts[difference], 0);
  const sums = {
    missing: sum('missing'),
    stale: sum('stale'),
    resurrected: sum('resurrected'),
    extra: sum('extra'),
  };
  return {
    replication_id: config.id,
    datamart_id: config.datamartId,
    folded_by: isByMessageId ? 'message_id' : 'arrival',
    is_equal: DIFFERENCES.every((difference) => sums[difference] === 0),
    ...sums,
    documents: Object.fromEntries(
      found.byType.flatMap(({ source, copy, ...differences }, i) => {
        const type = DOCUMENT_TYPES[i];
        if (type === undefined || source + copy === 0) return [];
        return [[type, { source, destination: copy, ...differences }]];
      }),
    ),
    examples: found.examples.map(({ difference, docType, keyHash }) => {
      const docId = docIds.get(keyHash);
      const example = { difference, doc_type: DOCUMENT_TYPES[docType] ?? '', document: keyHash };
      return docId === undefined ? example : { ...example, doc_id: docId };
    }),
    arrived: found.arrived,
    foreign: found.foreign,
    first_foreign: found.firstForeign && `${found.firstForeign.where}: ${found.firstForeign.detail}`,
    unreadable_rows: found.unreadableRows,
    omitted_rows: found.omittedRows,
    until,
    moved: hasMoved,
  };
}

/** A verification for people. Pure. */
export function verificationText(found: VerificationResource): string {
  const { documents, examples } = found;
  const rows = Object.entries(documents).map(([type, counts]) => [
    type,
    counts.source,
    counts.destination,
    ...DIFFERENCES.map((difference) => counts[difference]),
  ]);
  const table =
    rows.length === 0
      ? 'neither the snapshot nor the destination has a document of it\n'
      : textTable(['documents', 'snapshot', 'destination', ...DIFFERENCES], rows);
  const shown = examples.map(({ difference, doc_type: type, document, doc_id: docId }) => [
    difference,
    type,
    docId === undefined ? document : safeName(docId),
  ]);
  return [
    table,
    ...(shown.length === 0 ? [] : [textTable(['for example', 'type', 'document'], shown)]),
    [verdictOf(found), ...notesOf(found)].map((line) => `${line}\n`).join(''),
  ].join('\n');
}

function verdictOf(found: VerificationResource): string {
  const differences = DIFFERENCES.flatMap((difference) =>
    found[difference] === 0 ? [] : [`${found[difference]} ${difference}`],
  );
  const what = `replication ${found.replication_id}, folded by ${found.folded_by.replace('_', ' ')}`;
  return found.is_equal
    ? `${what}: the destination has what the snapshot says`
    : `${what}: ${differences.join(', ')}`;
}

function notesOf(found: VerificationResource): readonly string[] {
  const {
    foreign,
    first_foreign: first,
    unreadable_rows: unreadable,
    omitted_rows: omitted,
    moved,
    until,
  } = found;
  return [
    ...(moved ? ['- the snapshot has grown meanwhile: differences may be operations on their way'] : []),
    ...(foreign > 0
      ? [
          `- ${foreign} of what the destination has is no operation and was left out; the first: ${safeName(first ?? '')}`,
        ]
      : []),
    ...(omitted > 0 ? [`- ${omitted} mutations were larger than the snapshot takes: not compared`] : []),
    ...(unreadable > 0 ? [`- ${unreadable} rows of the snapshot are no mutations and were left out`] : []),
    ...(until === '' ? [] : [`- to read the same again: --until ${until}`]),
  ];
}
