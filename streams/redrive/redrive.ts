import type { ReplicationConfig } from '../../processors/replication-config.ts';
import type { ReplicationTable } from '../../processors/replication-table.ts';
import type { Topology, TopologyStatus } from '../../processors/topology.ts';
import { documentKey } from '../../schemas/document-key.ts';
import { murmur2 } from '../../schemas/murmur2.ts';
import type { OperationEncoder, OperationVersion } from '../../schemas/operation-encoder.ts';
import { backoffMs, type Random } from '../backoff.ts';
import { sleep, type Clock } from '../clock.ts';
import type { Destinations } from '../destinations.ts';
import type { ConsumedRecord } from '../kafka-port.ts';
import { identityOf } from '../replication-identity.ts';
import type { SchemaLoader } from '../schema-loader.ts';
import { SegmentPool } from '../segment-pool.ts';
import { Segment } from '../segment.ts';
import type { DeadLetterLog } from './dead-letter-log.ts';
import { deliverSegment, type PartEnd } from './delivery.ts';
import type { RedriveLedger } from './redrive-ledger.ts';
import { redriveTargets, type RedriveTarget } from './redrive-targets.ts';
import { valueHash, type SnapshotVerdict, type SnapshotView } from './snapshot-view.ts';
import type { LetterPlace, LetterSource } from './stored-dead-letter.ts';

/**
 * What became of a dead letter at one replication, or at all (`replicationId` null).
 * - `sent_before`: an earlier redrive has sent it.
 * - `superseded`: the snapshot holds a newer mutation of the document; `not_in_snapshot`: it holds none at all.
 * - `undecodable`: it still can't be decoded; `no_value`: it was stored without its value; `gone`: retention took it.
 * - `failed`: the destination takes no more, and the replication's part is over.
 */
export const REDRIVE_OUTCOMES = [
  'sent',
  'would_send',
  'sent_before',
  'superseded',
  'not_in_snapshot',
  'rejected',
  'undecodable',
  'no_value',
  'gone',
  'failed',
  'paused',
  'unknown_replication',
  'other_datamart',
  'not_wanted',
] as const;
export type RedriveOutcome = (typeof REDRIVE_OUTCOMES)[number];

export interface RedriveEvent {
  readonly letter: LetterPlace;
  readonly replicationId: string | null;
  readonly outcome: RedriveOutcome;
  readonly code: string | null;
  /** In words, without payload. */
  readonly detail: string;
}

export interface RedriveContext {
  readonly log: DeadLetterLog;
  readonly topology: Topology;
  readonly table: ReplicationTable;
  readonly encoders: Readonly<Record<OperationVersion, OperationEncoder>>;
  readonly schemas: SchemaLoader;
  readonly destinations: Destinations;
  readonly ledger: RedriveLedger;
  /** Null sends whatever is newest by now (`--force`). */
  readonly snapshot: SnapshotView | null;
  /** How many partitions a mutation topic has; 0 when it is gone. */
  readonly partitionCount: (topic: string) => number;
  /** Opens no destination and sends nothing. */
  readonly isDryRun: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly onEvent: (event: RedriveEvent) => void;
  /** Everything about the letter is told. */
  readonly onLetterDone: () => void;
  readonly onRetry: (replicationId: string, code: string, message: string) => void;
}

/** Letters whose documents are looked up in the snapshot together: one reading of its partition for all of them. */
const WINDOW_LETTERS = 20_000;
/** What is encoded before it is sent. */
const SEGMENT_BYTES = 1024 * 1024;
const SCHEMA_TRIES = 5;

/** Whether a letter can be decoded isn't known: its schema can't be asked for. */
export class SchemaUnavailableError extends Error {
  override readonly name = 'SchemaUnavailableError';
}

/** What the snapshot is asked about a letter. */
interface WatchedDocument {
  readonly key: string;
  readonly hash: string;
}

/** What one replication gets of one source partition, until it is sent. */
interface Group {
  readonly config: ReplicationConfig;
  readonly segment: Segment;
  readonly entries: { readonly letter: LetterPlace; readonly document: WatchedDocument | null }[];
}

/**
 * Sends dead letters again, through the topology that every mutation takes: decode, join, encode, the destination's own
 * sink.
 *
 * Letters come in the order of `inSourceOrder`, and one request is in flight at a time, so that a replication gets the
 * mutations of a source partition in their order. What was acknowledged is in the ledger before anything further is
 * sent: after a crash only the request in flight may be sent twice.
 */
export class Redrive {
  readonly #context: RedriveContext;
  readonly #pool = new SegmentPool(Number.MAX_SAFE_INTEGER, () => undefined);
  /** Why the parts of these replications are over. */
  readonly #ended = new Map<string, PartEnd>();
  #groups = new Map<string, Group>();
  /** Letters that were taken up since all was sent. */
  #unsettled = 0;
  #signal: AbortSignal = AbortSignal.abort();

  constructor(context: RedriveContext) {
    this.#context = context;
  }

  /** Replications whose destination refused, and why. */
  get ended(): ReadonlyMap<string, PartEnd> {
    return this.#ended;
  }

  /**
   * Resolves when all were told of in `onEvent`, or `signal` has aborted and nothing is in flight. Rejects with a
   * `TopicReadError` or a `SchemaUnavailableError`, or when what was sent can't be noted.
   */
  async run(letters: readonly LetterPlace[], signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    for (const window of windowsOf(letters)) {
      await this.#watchDocuments(window);
      for (const letter of window) {
        if (signal.aborted) break;
        await this.#take(letter);
        if (signal.aborted) break;
        this.#unsettled += 1;
        if (this.#groups.size === 0) this.#countSettled();
      }
      await this.#sendAll();
      if (signal.aborted) break;
    }
  }

  /** The count follows what is settled, not what is only encoded. */
  #countSettled(): void {
    for (; this.#unsettled > 0; this.#unsettled -= 1) this.#context.onLetterDone();
  }

  /** Tells the snapshot which documents will be asked for. */
  async #watchDocuments(window: readonly LetterPlace[]): Promise<void> {
    const { snapshot, topology, table } = this.#context;
    const [first] = window;
    if (!snapshot || !first) return;
    const keys = new Set<string>();
    for (const letter of window) {
      if (this.#signal.aborted) return;
      const record = await this.#read(letter);
      if (!record?.value) continue;
      const status = await this.#process(record.value);
      if (isDecoded(status) && table.has(topology.mutation.datamart))
        keys.add(documentKey(topology.mutation));
    }
    await snapshot.watch(first.source, keys);
  }

  async #take(letter: LetterPlace): Promise<void> {
    const { topology, table, ledger } = this.#context;
    const { replicationId } = letter;
    if (replicationId !== null && ledger.has(replicationId, letter.source)) {
      this.#tell(letter, replicationId, 'sent_before');
      return;
    }
    const record = await this.#read(letter);
    if (!record) return this.#tell(letter, replicationId, 'gone', 'retention has taken the dead letter');
    if (!record.value)
      return this.#tell(letter, replicationId, 'no_value', 'the dead letter was stored without its value');
    const status = await this.#process(record.value);
    if (!isDecoded(status)) return this.#tell(letter, replicationId, 'undecodable', topology.detail, status);
    const { targets, leftOut } = redriveTargets(replicationId, topology.mutation, table);
    for (const { replicationId: id, reason } of leftOut) this.#tell(letter, id, reason);
    // The view on the mutation ends with the next record: everything is encoded now, and full groups are sent after.
    const full = targets.filter((target) => !this.#add(letter, target, record));
    for (const target of full) await this.#addAfterSending(letter, target);
  }

  /** Encodes the mutation for one replication. False when its group is full: send that first. */
  #add(letter: LetterPlace, { config, route }: RedriveTarget, { value, timestamp }: ConsumedRecord): boolean {
    const { topology, ledger, snapshot, encoders, clock } = this.#context;
    const { mutation } = topology;
    if (ledger.has(config.id, letter.source)) {
      this.#tell(letter, config.id, 'sent_before');
      return true;
    }
    const ended = this.#ended.get(config.id);
    if (ended) {
      this.#tell(letter, config.id, 'failed', ended.message, ended.code);
      return true;
    }
    const document = snapshot ? { key: documentKey(mutation), hash: valueHash(value) } : null;
    const verdict = this.#verdict(letter, document);
    if (verdict !== 'newest') {
      this.#tell(letter, config.id, verdict === 'unknown' ? 'not_in_snapshot' : 'superseded');
      return true;
    }
    const laneHash = murmur2(mutation.bytes, mutation.userPointStart, mutation.userPointEnd) & 0x7fffffff;
    const lane = route.orderingLanes > 0 ? laneHash % route.orderingLanes : null;
    const encoder = encoders[route.version];
    const needed = encoder.maxBytes(mutation);
    const groupKey = `${config.id}/${lane ?? ''}`;
    let group = this.#groups.get(groupKey);
    if (group && (group.config !== config || !group.segment.hasRoomFor(needed))) return false;
    if (!group) {
      const storage = this.#pool.acquire(needed, SEGMENT_BYTES);
      group = {
        config,
        segment: new Segment(config.datamart, route.version, lane, storage, 1, null),
        entries: [],
      };
      this.#groups.set(groupKey, group);
    }
    const origin = { offset: letter.source.offset, timestamp, arrival: clock.monotonic() };
    group.segment.append(encoder, mutation, laneHash, origin);
    group.entries.push({ letter, document });
    return true;
  }

  /** All that is encoded is sent; then the letter is read again for the replication that had no room. */
  async #addAfterSending(letter: LetterPlace, { config }: RedriveTarget): Promise<void> {
    await this.#sendAll();
    if (this.#signal.aborted) return;
    const record = await this.#read(letter);
    if (!record?.value || !isDecoded(await this.#process(record.value)))
      return this.#tell(letter, config.id, 'gone', 'the dead letter can’t be read again');
    const { targets } = redriveTargets(config.id, this.#context.topology.mutation, this.#context.table);
    const [target] = targets;
    if (!target) return this.#tell(letter, config.id, 'paused');
    this.#add(letter, target, record);
  }

  async #sendAll(): Promise<void> {
    const groups = [...this.#groups.values()];
    this.#groups = new Map();
    for (const group of groups) {
      if (!this.#signal.aborted) await this.#send(group);
      this.#pool.release(group.segment.storage);
    }
    if (!this.#signal.aborted) this.#countSettled();
  }

  async #send({ config, segment, entries }: Group): Promise<void> {
    const { destinations, ledger, snapshot, table, clock, isDryRun, partitionCount, onRetry } = this.#context;
    const [first] = entries;
    if (!first) return;
    if (isDryRun) {
      for (const { letter } of entries) this.#tell(letter, config.id, 'would_send');
      return;
    }
    const { topic, partition } = first.letter.source;
    const settled = new Set<number>();
    const settle = (i: number, outcome: RedriveOutcome, detail = '', code: string | null = null): void => {
      const entry = entries[i];
      if (!entry || settled.has(i)) return;
      settled.add(i);
      this.#tell(entry.letter, config.id, outcome, detail, code);
    };
    const end =
      this.#ended.get(config.id) ??
      (await deliverSegment(segment, {
        destination: destinations.of(config),
        scope: { topic, partition, partitionCount: partitionCount(topic) },
        clock,
        signal: this.#signal,
        refresh: async () => snapshot?.refresh(),
        maySend: (i) => {
          const now = table.get(config.id);
          // One that was deleted and made anew has another destination.
          if (!now || identityOf(now) !== identityOf(config)) settle(i, 'unknown_replication');
          else if (now.status === 'PAUSED') settle(i, 'paused');
          const entry = entries[i];
          if (entry && this.#verdict(entry.letter, entry.document) !== 'newest') settle(i, 'superseded');
          return !settled.has(i);
        },
        onDelivered: async (from, to) => {
          const sent = entries.slice(from, to).map(({ letter }): LetterSource => letter.source);
          await ledger.noteSent(config.id, sent);
          for (let i = from; i < to; i += 1) settle(i, 'sent');
        },
        onRejected: (i, error) => {
          settle(i, 'rejected', error.message, error.code);
        },
        onRetry: (error) => {
          onRetry(config.id, error.code, error.message);
        },
      }));
    if (!end) return;
    this.#ended.set(config.id, end);
    for (const i of entries.keys()) settle(i, 'failed', end.message, end.code);
  }

  #verdict({ source }: LetterPlace, document: WatchedDocument | null): SnapshotVerdict {
    const { snapshot } = this.#context;
    return snapshot && document ? snapshot.verdict(document.key, source.offset, document.hash) : 'newest';
  }

  #read({ partition, offset }: LetterPlace): Promise<ConsumedRecord | null> {
    return this.#context.log.recordAt(partition, offset, this.#signal);
  }

  /** Decodes the record, with its schema loaded. */
  async #process(value: Buffer): Promise<TopologyStatus> {
    const { topology, schemas, clock, random } = this.#context;
    for (let attempt = 0; ; attempt += 1) {
      const status = topology.process(value);
      if (status !== 'schema_needed') return status;
      const load = await schemas.load(topology.schemaId, this.#signal);
      const isHopeless = load.status === 'unavailable' && attempt === SCHEMA_TRIES;
      if (load.status === 'unconfigured' || isHopeless) throw new SchemaUnavailableError(load.detail);
      if (load.status === 'unavailable') await sleep(clock, backoffMs(attempt, false, random), this.#signal);
    }
  }

  #tell(
    letter: LetterPlace,
    replicationId: string | null,
    outcome: RedriveOutcome,
    detail = '',
    code: string | null = null,
  ): void {
    this.#context.onEvent({ letter, replicationId, outcome, code, detail });
  }
}

function isDecoded(status: TopologyStatus): boolean {
  return status === 'ok' || status === 'unwanted' || status === 'not_in_schema';
}

/** Letters of one source partition, so many at most. */
function* windowsOf(letters: readonly LetterPlace[]): Generator<readonly LetterPlace[]> {
  let from = 0;
  for (let i = 1; i <= letters.length; i += 1) {
    const [first, next] = [letters[from]?.source, letters[i]?.source];
    const isSame = first?.topic === next?.topic && first?.partition === next?.partition;
    if (i < letters.length && isSame && i - from < WINDOW_LETTERS) continue;
    yield letters.slice(from, i);
    from = i;
  }
}
