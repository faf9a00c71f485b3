import { sealedVersionOf, type CredentialsTable } from '../../processors/credentials-table.ts';
import { datamartOf, examineRecord, type ExaminedRecord } from '../../processors/examined-record.ts';
import { ExplainError, type ExplainRequest } from '../../processors/explain-request.ts';
import { explain, type Explanation, type LettersFound } from '../../processors/explanation.ts';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import type {
  KnownPosition,
  PartitionStanding,
  RecordPlace,
  ReplicationStanding,
} from '../../processors/replication-explanation.ts';
import type { ReplicationTable } from '../../processors/replication-table.ts';
import type { StatusTable } from '../../processors/status-table.ts';
import type { MutationDecoder } from '../../schemas/mutation-decoder.ts';
import type { Clock } from '../clock.ts';
import { parseCommitMetadata, type CommitMetadata } from '../commit-metadata.ts';
import type { InspectionAdmin } from '../inspection-port.ts';
import type { ConsumedRecord, PartitionReader, TopicPartition } from '../kafka-port.ts';
import type { PartitionPins } from '../partition-pins.ts';
import type { PositionLists } from '../position-lists.ts';
import { identityHash } from '../replication-identity.ts';
import type { SchemaLoader } from '../schema-loader.ts';
import { findLetters } from './letter-search.ts';

const READ_WAIT_MS = 500;
const READ_TIMEOUT_MS = 10_000;
const SCHEMA_TIMEOUT_MS = 10_000;
const MAX_LETTERS_READ = 50_000;
const MAX_LETTERS_MS = 10_000;

/** The tables that tell what is desired and observed. */
export interface ExplainerTables {
  readonly replications: ReplicationTable;
  readonly status: StatusTable;
  readonly credentials: Pick<CredentialsTable, 'versionOf'>;
  readonly pins: Pick<PartitionPins, 'isHeld'>;
  readonly lists: Pick<PositionLists, 'resolve'>;
}

export interface KafkaExplainerOptions {
  readonly topics: { readonly mutations: readonly string[]; readonly deadLetters: string };
  readonly groupId: string;
  readonly tables: ExplainerTables;
  readonly reader: PartitionReader;
  readonly admin: Pick<InspectionAdmin, 'partitionCounts' | 'committedOffsets' | 'offsetsAt'>;
  readonly decoder: MutationDecoder;
  readonly schemas: SchemaLoader;
  readonly clock: Clock;
  /** Takes out of a destination's own words what must not be shown. */
  readonly mask: (text: string) => string;
}

/** The record's place and bytes; null bytes when retention has taken it. */
interface FoundRecord {
  readonly record: ConsumedRecord | null;
  readonly logStart: number;
  readonly logEnd: number;
}

/**
 * Explains mutations by what Kafka holds: the record itself, the group's commit of its partition, the tables, and its
 * dead letters. Reads only; what it takes is bounded to some ten seconds each.
 */
export class KafkaExplainer {
  readonly #options: KafkaExplainerOptions;

  constructor(options: KafkaExplainerOptions) {
    this.#options = options;
  }

  /**
   * Explains a mutation for the replications of the datamart, or for the one that is named. `datamartId` null is an
   * operator's question, of whatever datamart; else a record of another datamart, or one whose datamart can't be told, is
   * `not_found`. Rejects with an `ExplainError`, `not_ready` when Kafka can't be asked.
   */
  async explain(
    datamartId: string | null,
    replicationId: string | null,
    request: ExplainRequest,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<Explanation> {
    try {
      return request.kind === 'mutation'
        ? await this.#explainPasted(datamartId, replicationId, request.value, signal)
        : await this.#explainRecord(datamartId, replicationId, request, signal);
    } catch (error) {
      if (error instanceof ExplainError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new ExplainError('not_ready', null, `Kafka can't be asked: ${reason}`, {
        cause: error,
        remedy: '`doctor` tells what is wrong',
      });
    }
  }

  async #explainPasted(
    datamartId: string | null,
    replicationId: string | null,
    value: Buffer,
    signal: AbortSignal,
  ): Promise<Explanation> {
    const record = await this.#examine(value, signal);
    const of = datamartOf(record);
    if (datamartId !== null && of !== null && of !== datamartId)
      throw new ExplainError(
        'invalid_mutation',
        'mutation.datamart_id',
        `the mutation is of another datamart than ${datamartId}`,
      );
    return explain({
      record,
      place: null,
      partition: null,
      replications: this.#chosen(of ?? datamartId, replicationId, of).map((config) =>
        this.#standing(config, null),
      ),
      letters: { letters: [], incomplete: null },
    });
  }

  async #explainRecord(
    datamartId: string | null,
    replicationId: string | null,
    { topic, partition, offset }: Extract<ExplainRequest, { readonly kind: 'record' }>,
    signal: AbortSignal,
  ): Promise<Explanation> {
    const at = { topic, partition };
    await this.#assertPartition(at);
    const { record: found, logStart, logEnd } = await this.#find(at, offset, signal);
    const record: ExaminedRecord = found ? await this.#examine(found.value, signal) : { kind: 'gone' };
    const of = datamartOf(record);
    if (datamartId !== null && record.kind === 'schema_unavailable')
      throw new ExplainError('not_ready', null, `the record can't be decoded now: ${record.detail}`);
    // Whose records lie where is none of another customer's business.
    if (datamartId !== null && record.kind !== 'gone' && of !== datamartId)
      throw new ExplainError(
        'not_found',
        'offset',
        `there is no mutation of datamart ${datamartId} at this offset`,
      );
    const chosen = this.#chosen(of ?? datamartId, replicationId, of);
    const commits = await this.#options.admin.committedOffsets(this.#options.groupId, topic);
    const commit = commits.get(partition) ?? null;
    const carried = commit && this.#carriedBy(at, commit.metadata);
    const standing: PartitionStanding = {
      committed: commit?.offset ?? null,
      logStart,
      logEnd,
      isHeld: this.#options.tables.pins.isHeld(at),
      arePositionsKnown: commit === null || carried !== null,
    };
    const place: RecordPlace = { ...at, offset, timestamp: found?.timestamp ?? null };
    return explain({
      record,
      place,
      partition: standing,
      replications: chosen.map((config) => this.#standing(config, { at, carried })),
      letters: await this.#lettersOf(at, found, signal),
    });
  }

  async #assertPartition({ topic, partition }: TopicPartition): Promise<void> {
    const { topics, admin } = this.#options;
    if (!topics.mutations.includes(topic))
      throw new ExplainError(
        'invalid_parameter',
        'topic',
        `topic must be a mutation topic: ${topics.mutations.join(', ')}`,
      );
    const count = (await admin.partitionCounts([topic])).get(topic) ?? 0;
    if (count === 0) throw new ExplainError('not_found', 'topic', `topic ${topic} isn't there`);
    if (partition >= count)
      throw new ExplainError('not_found', 'partition', `topic ${topic} has the partitions 0 to ${count - 1}`);
  }

  async #find(at: TopicPartition, offset: number, signal: AbortSignal): Promise<FoundRecord> {
    const { reader, clock } = this.#options;
    const deadline = clock.monotonic() + READ_TIMEOUT_MS;
    for (;;) {
      const { start: logStart, end: logEnd } = await reader.bounds(at);
      if (offset >= logEnd)
        throw new ExplainError(
          'not_found',
          'offset',
          `offset ${offset} isn't written yet: the partition's log ends before ${logEnd}`,
        );
      if (offset < logStart) return { record: null, logStart, logEnd };
      const batch = await reader.read(at, offset, READ_WAIT_MS);
      const record = batch.records.find((each) => each.offset === offset);
      if (record) return { record, logStart, logEnd };
      if (batch.nextOffset > offset)
        throw new ExplainError(
          'not_found',
          'offset',
          `no record lies at offset ${offset}: it is a transaction's marker, or one of an aborted transaction`,
        );
      if (clock.monotonic() >= deadline || signal.aborted)
        throw new Error(`reading ${at.topic}/${at.partition} at ${offset} took too long`);
    }
  }

  async #examine(value: Buffer | null, signal: AbortSignal): Promise<ExaminedRecord> {
    const { decoder, schemas } = this.#options;
    const first = examineRecord(decoder, value);
    if (first.kind !== 'schema_needed') return first;
    const within = AbortSignal.any([signal, AbortSignal.timeout(SCHEMA_TIMEOUT_MS)]);
    const unavailable = (detail: string): ExaminedRecord => ({ kind: 'schema_unavailable', detail });
    let detail: string;
    try {
      ({ detail } = await schemas.load(first.schemaId, within));
    } catch (error) {
      if (!within.aborted) throw error;
      return unavailable(`the registry didn't answer for schema ${first.schemaId}`);
    }
    const second = examineRecord(decoder, value);
    return second.kind === 'schema_needed' ? unavailable(detail) : second;
  }

  /** The replications that are asked about. `of` is the record's own datamart, where it is known. */
  #chosen(
    datamartId: string | null,
    replicationId: string | null,
    of: string | null,
  ): readonly ReplicationConfig[] {
    const { replications } = this.#options.tables;
    if (replicationId === null)
      return [...replications.all()]
        .filter((config) => datamartId === null || config.datamartId === datamartId)
        .sort((a, b) => (a.id < b.id ? -1 : 1));
    const config = replications.get(replicationId);
    if (!config || (datamartId !== null && config.datamartId !== datamartId))
      throw new ExplainError('not_found', 'replication_id', `there is no replication ${replicationId}`);
    if (of !== null && config.datamartId !== of)
      throw new ExplainError(
        'not_found',
        'replication_id',
        `the mutation is of datamart ${of}, replication ${replicationId} of another`,
      );
    return [config];
  }

  #standing(
    config: ReplicationConfig,
    where: { readonly at: TopicPartition; readonly carried: CommitMetadata | null } | null,
  ): ReplicationStanding {
    const { status, credentials } = this.#options.tables;
    const reports = [...status.reports(config.id)];
    return {
      config,
      verdict: status.verdict(config.id),
      credentialsVersion: sealedVersionOf(config, credentials),
      isDetached: reports.some(({ state }) => state === 'DETACHED'),
      since: status.status(config.id)?.since ?? null,
      own: where?.carried ? ownPositionOf(config, where.carried) : null,
      report: where ? status.report(config.id, where.at.topic, where.at.partition) : null,
    };
  }

  /** Null when the commit's own positions can't be read. */
  #carriedBy(at: TopicPartition, metadata: string | null): CommitMetadata | null {
    const carried = parseCommitMetadata(metadata);
    if (!carried.isReadable) return null;
    try {
      return this.#options.tables.lists.resolve(at, carried);
    } catch {
      // The list that it names isn't in the table (yet): the reports are what is left.
      return null;
    }
  }

  async #lettersOf(
    at: TopicPartition,
    record: ConsumedRecord | null,
    signal: AbortSignal,
  ): Promise<LettersFound> {
    if (record === null)
      return { letters: [], incomplete: 'no dead letters were looked for: the record’s key is gone with it' };
    const { topics, reader, admin, clock, mask } = this.#options;
    return findLetters(
      { ...at, record },
      {
        topic: topics.deadLetters,
        reader,
        admin,
        clock,
        mask,
        maxRecords: MAX_LETTERS_READ,
        maxMs: MAX_LETTERS_MS,
      },
      signal,
    );
  }
}

function ownPositionOf(config: ReplicationConfig, { x }: CommitMetadata): KnownPosition | null {
  const hash = identityHash(config);
  const own = x.find(({ replication }) => replication === hash);
  return own ? { kind: own.kind, position: own.position } : null;
}
