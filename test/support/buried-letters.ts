import { loadSettings } from '../../config/load.ts';
import { ReplicationTable } from '../../processors/replication-table.ts';
import { SchemaCache } from '../../schemas/schema-cache.ts';
import { SinkRegistry } from '../../sinks/registry.ts';
import { deadLetter, type DeadLetterCause } from '../../streams/dead-letters.ts';
import type { DeadLetterFilter } from '../../streams/redrive/stored-dead-letter.ts';
import type { TopicAdmin } from '../../streams/topics/topic-admin-port.ts';
import { InMemoryKafka } from './in-memory-kafka.ts';
import { ManualClock, settle } from './manual-clock.ts';
import { scriptedRecord, ScriptedSinks } from './scripted-sink.ts';
import { silentLogger } from './silent-logger.ts';

export const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';
const TS = 1_676_627_112_685;
/** Partitions of the dead-letter topic. */
const STORED = 2;

/** The topics by their default names. */
export const TOPICS = loadSettings({ env: {}, flags: {}, readFile: () => '' }).topics;
export const MUTATIONS = 'datamart-mutations';
const SNAPSHOT = 'datamart-snapshot';

/** Selects every dead letter. */
export const ALL_LETTERS: DeadLetterFilter = {
  datamartId: null,
  replicationId: null,
  reason: null,
  since: null,
  until: null,
  topic: null,
};

export interface Burial extends Partial<DeadLetterCause> {
  readonly value?: Buffer | null;
  /** The partition of the dead-letter topic. */
  readonly stored?: number;
}

/** Mutation `n`, of a document of its own. */
export function mutation(n: number, fields: Record<string, unknown> = {}): Buffer {
  const record = {
    datamart_id: 1649,
    user_point_id: USER,
    ts: TS,
    op: 'UPDATE',
    doc_type: 'UserActivity',
    user_activity_id: `a${n}`,
    value: { $n: n },
    ...fields,
  };
  return Buffer.from(JSON.stringify(record));
}

/** What a destination gets of mutation `n`. */
export function operation(n: number): string {
  return `{"ts":${TS},"doc_type":"UserActivity","doc_id":"${USER}:a${n}","op":"UPDATE","value":{"$n":${n}}}`;
}

/** Dead letters on a Kafka in memory, replications for them, and all that a redrive is put together from. */
export class BuriedLetters {
  readonly clock = new ManualClock();
  readonly kafka = new InMemoryKafka(this.clock);
  readonly sinks = new ScriptedSinks();
  /** Names of topics that the cluster doesn't have. */
  readonly missing = new Set<string>();
  readonly parts = {
    replications: new ReplicationTable({
      types: new Map([[this.sinks.adapter.type, this.sinks.adapter]]),
      checkCredentialsUri: () => null,
    }),
    sinks: new SinkRegistry([this.sinks.adapter]),
    credentials: { resolve: () => Promise.reject(new Error('no credentials in this test')) },
    schemas: new SchemaCache({ source: null, now: () => 0, sleep: () => Promise.resolve() }),
    partitionReader: () => this.kafka.instance().port.partitionReader(),
    clock: this.clock,
    random: () => 0.5,
    logger: silentLogger,
  };
  #controlOffset = 0;

  readonly topicAdmin = (): TopicAdmin => ({
    describeCluster: async () => ({ id: 'cluster', brokerCount: 1, defaultMaxMessageBytes: 1_000_000 }),
    describeTopics: async (names) =>
      names
        .filter((name) => !this.missing.has(name))
        .map((name) => {
          const partitions = name === TOPICS.deadLetters ? STORED : 1;
          return { name, partitions, replicationFactor: 1, settings: {} };
        }),
    createTopics: () => Promise.reject(new Error('nothing makes topics here')),
    close: async () => undefined,
  });

  /** The table takes a record of a replication; null deletes it. */
  configure(id: string, fields: Record<string, unknown> | null = {}): void {
    const value = fields && scriptedRecord(id, fields);
    this.parts.replications.apply(id, value, this.#controlOffset, 0);
    this.#controlOffset += 1;
  }

  /** Stores a dead letter of the mutation `n` at offset `n` of a source partition. */
  bury(n: number, { value = mutation(n), stored = 0, ...cause }: Burial = {}): void {
    const record = { offset: n, timestamp: n + 1, key: Buffer.from(USER), value, headers: {} };
    const why = {
      reason: 'rejected' as const,
      detail: 'refused',
      topic: MUTATIONS,
      partition: 0,
      offset: n,
      ...cause,
    };
    const letter = deadLetter(record, why, this.clock.now(), value === null);
    this.kafka.append({ topic: TOPICS.deadLetters, partition: stored }, { timestamp: n + 1, ...letter });
  }

  /** The snapshot's newest of the document of mutation `n` comes from this offset. */
  snapshot(n: number, offset: number): void {
    this.snapshotRecord(n, mutation(n), {
      source: Buffer.from(`00001-0-${String(offset).padStart(20, '0')}`),
    });
  }

  snapshotRecord(n: number, value: Buffer | null, headers: Record<string, Buffer> = {}): void {
    const key = Buffer.from(`1649/UserActivity/${USER}:a${n}`);
    this.kafka.append({ topic: SNAPSHOT, partition: 0 }, { key, value, headers });
  }

  /** Moves the clock on until `running` has settled, and settles as it does. */
  async untilOver<Result>(running: Promise<Result>): Promise<Result> {
    let isOver = false;
    const over = running.finally(() => {
      isOver = true;
    });
    over.catch(() => undefined);
    while (!isOver) {
      await settle();
      if (!isOver) await this.clock.advance(1_000);
    }
    return running;
  }
}
