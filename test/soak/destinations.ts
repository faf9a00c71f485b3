import { open, type FileHandle } from 'node:fs/promises';
import { startFakeEventHubs, type FakeEventHubs } from '../../local/fake-event-hubs.ts';
import { startMoodyPubSub, type MoodyPubSub, type PubSubMood } from '../../local/moody-pubsub.ts';
import type { SeededRandom } from '../../local/random.ts';
import { ReplicationLedger, type ProducedDocuments } from './ledger.ts';
import { DOCUMENT_KINDS, indexOfOperation, SOAK_DATAMART, type SoakMutations } from './soak-mutations.ts';

/** What a destination can be like for a while. */
export const MOODS = ['down', 'slow', 'hanging', 'throttling', 'rejecting', 'forgetful'] as const;
export type Mood = (typeof MOODS)[number];

/** A replication of the soak: its record on the control topic, its ledger, and the moods of its destination. */
export interface SoakDestination {
  readonly id: string;
  readonly config: Readonly<Record<string, unknown>> & { readonly id: string };
  readonly ledger: ReplicationLedger;
  /** Empty when nothing can be done to it. */
  readonly moods: readonly Mood[];
  /** Null heals it. */
  setMood(mood: Mood | null): void;
}

export const HUB_CREDENTIALS = 'azure.txt';

const PROJECT = 'soak';
const HUB = 'soak';
const FILE = 'soak/operations.jsonl';
const FILTER = ['USER_PROFILE', 'USER_ACTIVITY', 'USER_SEGMENT'];
const FILTERED_KINDS = new Set(['UserProfile', 'UserActivity', 'UserSegment']);
/** One in so many is refused by a destination that is `rejecting`. */
const REJECTED_EVERY = 211;
const SLOW_MIN_MS = 200;
/** Below the deadline of an attempt: what is stored later than that nobody can guard against. */
const SLOW_MAX_MS = 5_000;
const UNAVAILABLE = 14;
const RESOURCE_EXHAUSTED = 8;
const HUB_MOODS = ['down', 'slow', 'hanging', 'throttling', 'forgetful'] as const;
const READ_BYTES = 4 * 1_024 * 1_024;

/** The fakes of a soak and the replications that deliver to them. */
export class SoakDestinations implements AsyncDisposable {
  readonly pubsub: MoodyPubSub;
  readonly eventHubs: FakeEventHubs;
  readonly #mutations: SoakMutations;
  readonly #produced: ProducedDocuments;
  readonly #random: SeededRandom;
  readonly #ledgers: Map<string, ReplicationLedger>;
  #made = 0;

  private constructor(parts: DestinationParts, fakes: Fakes) {
    this.#mutations = parts.mutations;
    this.#produced = parts.produced;
    this.#random = parts.random;
    this.pubsub = fakes.pubsub;
    this.eventHubs = fakes.eventHubs;
    this.#ledgers = fakes.ledgers;
  }

  static async start(parts: DestinationParts): Promise<SoakDestinations> {
    const ledgers = new Map<string, ReplicationLedger>();
    const pubsub = await startMoodyPubSub({
      stored: (topic, data) => ledgers.get(topic)?.arrived(data),
      rejected: (topic, data) => ledgers.get(topic)?.rejected(data),
    });
    const eventHubs = await startFakeEventHubs({
      hubs: [HUB],
      onEvents: (events) => {
        for (const { body } of events) ledgers.get('hub')?.arrived(body);
      },
    });
    return new SoakDestinations(parts, { pubsub, eventHubs, ledgers });
  }

  /** The replications that are there from the start to the end. */
  lasting(): readonly SoakDestination[] {
    return [
      this.#pubsub('pubsub-1', 1, { version: 1 }),
      this.#pubsub('pubsub-2', 2, { version: 2 }),
      this.#pubsub('pubsub-filtered', 2, {
        version: 2,
        replication_filters: FILTER.map((document) => ({ document })),
      }),
      this.#hub(),
      this.#file(),
    ];
  }

  /** One more, to a topic of its own. */
  additional(): SoakDestination {
    this.#made += 1;
    return this.#pubsub(`added-${this.#made}`, 2, { version: 2 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.pubsub.stop(), this.eventHubs.stop()]);
  }

  #ledger(id: string, version: 1 | 2, isFiltered = false): ReplicationLedger {
    const wants = isFiltered
      ? (document: number): boolean =>
          FILTERED_KINDS.has(DOCUMENT_KINDS[document % DOCUMENT_KINDS.length] ?? '')
      : (): boolean => true;
    const parts = { mutations: this.#mutations, produced: this.#produced };
    const ledger = new ReplicationLedger({ id, version, ...parts, wants });
    this.#ledgers.set(id, ledger);
    return ledger;
  }

  #pubsub(id: string, version: 1 | 2, fields: Readonly<Record<string, unknown>>): SoakDestination {
    const ledger = this.#ledger(id, version, 'replication_filters' in fields);
    const google = { type: 'GOOGLE_PUBSUB', project_id: PROJECT, credentials_uri: 'file:google.json' };
    return {
      id,
      config: { ...configOf(id), ...google, topic_id: id, ...fields },
      ledger,
      moods: MOODS,
      setMood: (mood) => {
        ledger.isLossy = isLossy(mood);
        this.pubsub.setMood(id, this.#pubsubMood(mood, version));
      },
    };
  }

  #pubsubMood(mood: Mood | null, version: 1 | 2): PubSubMood {
    switch (mood) {
      case null:
        return { kind: 'healthy' };
      case 'down':
        return { kind: 'refusing', status: UNAVAILABLE };
      case 'throttling':
        return { kind: 'refusing', status: RESOURCE_EXHAUSTED };
      case 'slow':
        return { kind: 'slow', delayMs: this.#slowness() };
      case 'rejecting':
        return {
          kind: 'rejecting',
          isRejected: (data) => indexOfOperation(data, version) % REJECTED_EVERY === 0,
        };
      case 'hanging':
      case 'forgetful':
        return { kind: mood };
    }
  }

  #hub(): SoakDestination {
    const ledger = this.#ledger('hub', 1);
    const { faults } = this.eventHubs;
    const always = Number.MAX_SAFE_INTEGER;
    return {
      id: 'hub',
      config: {
        ...configOf('hub'),
        type: 'AZURE_EVENT_HUBS',
        event_hub_name: HUB,
        credentials_uri: `file:${HUB_CREDENTIALS}`,
      },
      ledger,
      moods: HUB_MOODS,
      setMood: (mood) => {
        faults.clear();
        ledger.isLossy = isLossy(mood);
        if (mood === 'down') faults.detachNext(always, 'amqp:connection:forced');
        if (mood === 'throttling') faults.rejectNext(always, 'com.microsoft:server-busy');
        if (mood === 'slow') faults.delayNext(always, this.#slowness());
        if (mood === 'hanging') faults.hangNext(always);
        if (mood === 'forgetful') faults.dropNext(always, 'after_storing');
      },
    };
  }

  #file(): SoakDestination {
    const config = { ...configOf('file'), type: 'FILE', path: FILE };
    return { id: 'file', config, ledger: this.#ledger('file', 1), moods: [], setMood: () => undefined };
  }

  #slowness(): number {
    return SLOW_MIN_MS + this.#random.below(SLOW_MAX_MS - SLOW_MIN_MS);
  }
}

export interface DestinationParts {
  readonly mutations: SoakMutations;
  readonly produced: ProducedDocuments;
  readonly random: SeededRandom;
}

interface Fakes {
  readonly pubsub: MoodyPubSub;
  readonly eventHubs: FakeEventHubs;
  readonly ledgers: Map<string, ReplicationLedger>;
}

/** In these the sender is left without an answer to what was stored. */
function isLossy(mood: Mood | null): boolean {
  return mood === 'forgetful' || mood === 'slow';
}

/** A pause is no end: whatever comes meanwhile is wanted. */
function configOf(id: string) {
  const common = { datamart_id: SOAK_DATAMART, status: 'ACTIVE', resume: 'WHERE_STOPPED' };
  return { id, name: id, ...common };
}

/** Reads what is appended to the file of the FILE replication, line by line. */
export class FileFollower implements AsyncDisposable {
  readonly #path: string;
  readonly #ledger: ReplicationLedger;
  readonly #buffer = Buffer.alloc(READ_BYTES);
  #file: FileHandle | null = null;
  #position = 0;
  #rest = Buffer.alloc(0);

  constructor(directory: string, ledger: ReplicationLedger) {
    this.#path = `${directory}/${FILE}`;
    this.#ledger = ledger;
  }

  /** Hands the ledger everything that was written since the last call. */
  async readOn(): Promise<void> {
    this.#file ??= await open(this.#path, 'r').catch(() => null);
    if (!this.#file) return;
    for (;;) {
      const { bytesRead } = await this.#file.read(this.#buffer, 0, READ_BYTES, this.#position);
      if (bytesRead === 0) return;
      this.#position += bytesRead;
      const text = Buffer.concat([this.#rest, this.#buffer.subarray(0, bytesRead)]);
      let from = 0;
      for (let end = text.indexOf(10, from); end >= 0; end = text.indexOf(10, from)) {
        // One process ends a line that it saw half written by the other: an empty line, which is nothing.
        if (end > from) this.#ledger.arrived(text.subarray(from, end));
        from = end + 1;
      }
      this.#rest = Buffer.from(text.subarray(from));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
  }
}
