import { beforeEach, expect, test } from '@jest/globals';
import { ExplainError } from '../../processors/explain-request.ts';
import { ReplicationTable } from '../../processors/replication-table.ts';
import { StatusTable } from '../../processors/status-table.ts';
import { murmur2 } from '../../schemas/murmur2.ts';
import { RecordDecoder } from '../../schemas/record-decoder.ts';
import { encodeCommitMetadata } from '../../streams/commit-metadata.ts';
import { deadLetter } from '../../streams/dead-letters.ts';
import { KafkaExplainer } from '../../streams/explain/kafka-explainer.ts';
import { findLetters } from '../../streams/explain/letter-search.ts';
import type { InspectionAdmin } from '../../streams/inspection-port.ts';
import type { ConsumedRecord } from '../../streams/kafka-port.ts';
import { identityHash } from '../../streams/replication-identity.ts';
import { InMemoryKafka } from '../support/in-memory-kafka.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ScriptedSinks } from '../support/scripted-sink.ts';

/* The real explainer, decoder and tables, over Kafka in memory. */

const AT = { topic: 'mutations', partition: 0 };
const DEAD = 'dead-letters';
const DEAD_PARTITIONS = 4;
const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';
const NOW = 1_763_900_000_000;

let clock: ManualClock;
let kafka: InMemoryKafka;
let table: ReplicationTable;

beforeEach(() => {
  clock = new ManualClock(NOW);
  kafka = new InMemoryKafka(clock);
  const { adapter } = new ScriptedSinks();
  table = new ReplicationTable({
    types: new Map([[adapter.type, adapter]]),
    checkCredentialsUri: () => null,
  });
  configure('80', '1649');
  configure('90', '1650');
});

function configure(id: string, datamartId: string): void {
  const record = { id, datamart_id: datamartId, type: 'SCRIPTED', target: id, status: 'ACTIVE' };
  table.apply(id, Buffer.from(JSON.stringify(record)), 7, 0);
}

function aMutation(fields: Readonly<Record<string, unknown>> = {}): Buffer {
  const mutation = { datamart_id: 1649, user_point_id: USER, ts: NOW, op: 'UPDATE', doc_type: 'UserPoint' };
  return Buffer.from(JSON.stringify({ ...mutation, ...fields }));
}

function write(value: Buffer | null, key: string | null = USER): number {
  return kafka.append(AT, { key: key === null ? null : Buffer.from(key), value });
}

/** As the processor stores them: in the partition of the key, with the original's timestamp. */
function bury(offset: number, replicationId: string, changes: Partial<ConsumedRecord> = {}): void {
  const stored = kafka.log(AT)[offset];
  if (!stored) throw new Error('nothing lies there');
  const record = { offset, ...stored, ...changes };
  const cause = { reason: 'rejected' as const, detail: `refused for ${USER}`, ...AT, offset, replicationId };
  const bytes = record.key ?? Buffer.alloc(0);
  const partition = (murmur2(bytes, 0, bytes.length) & 0x7fff_ffff) % DEAD_PARTITIONS;
  kafka.append({ topic: DEAD, partition }, { timestamp: NOW, ...deadLetter(record, cause, NOW, false) });
}

const admin: Pick<InspectionAdmin, 'partitionCounts' | 'committedOffsets' | 'offsetsAt'> = {
  partitionCounts: async (topics) =>
    new Map(topics.map((topic) => [topic, topic === DEAD ? DEAD_PARTITIONS : 1] as const)),
  committedOffsets: async () => {
    const commit = kafka.committed(AT);
    return new Map(commit ? [[0, commit]] : []);
  },
  offsetsAt: async (topic, timestamp) =>
    new Map(
      Array.from({ length: DEAD_PARTITIONS }, (_, partition) => {
        const log = kafka.log({ topic, partition });
        const first = log.findIndex((record) => record.timestamp >= timestamp);
        return [partition, first < 0 ? log.length : first] as const;
      }),
    ),
};

function anExplainer(options: Partial<ConstructorParameters<typeof KafkaExplainer>[0]> = {}): KafkaExplainer {
  return new KafkaExplainer({
    topics: { mutations: [AT.topic], deadLetters: DEAD },
    groupId: 'group',
    tables: {
      replications: table,
      status: new StatusTable(),
      credentials: { versionOf: () => null },
      pins: { isHeld: () => false },
      lists: { resolve: (_, carried) => carried },
    },
    reader: kafka.instance().port.partitionReader(),
    admin,
    decoder: new RecordDecoder({ get: () => undefined }),
    schemas: { load: async () => ({ status: 'unconfigured', detail: 'no registry is set' }) },
    clock,
    mask: (text) => text.replaceAll(USER, '<id>'),
    ...options,
  });
}

const ask = (offset: number, datamartId: string | null = null, replicationId: string | null = null) =>
  anExplainer().explain(datamartId, replicationId, { kind: 'record', ...AT, offset });

async function refusalOf(asking: Promise<unknown>): Promise<Pick<ExplainError, 'code' | 'field'>> {
  const error: unknown = await asking.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ExplainError)) throw new Error(`no refusal but ${String(error)}`);
  return { code: error.code, field: error.field };
}

test('reads the replication’s own position from the group’s commit', async () => {
  const offset = write(aMutation());
  const config = table.get('80');
  if (!config) throw new Error('it was configured');
  const x = [{ replication: identityHash(config), position: offset, kind: 'DETACHED' as const }];
  kafka.setCommitted(AT, 1, encodeCommitMetadata({ task: 't', x, list: null, s: [], isQuiet: false }));

  const { replications, committed_offset: committed } = await ask(offset);

  expect(committed).toBe('1');
  expect(replications).toMatchObject([{ replication_id: '80', position: '0', lag_records: 1 }]);
});

test('says that positions aren’t known when the list that the commit names isn’t there', async () => {
  const offset = write(aMutation());
  kafka.setCommitted(AT, 1, encodeCommitMetadata({ task: 't', x: [], list: 3, s: [], isQuiet: false }));
  const resolve = (): never => {
    throw new Error('not there');
  };
  const explainer = anExplainer({
    tables: {
      replications: table,
      status: new StatusTable(),
      credentials: { versionOf: () => null },
      pins: { isHeld: () => false },
      lists: { resolve },
    },
  });

  const { notes } = await explainer.explain(null, null, { kind: 'record', ...AT, offset });

  expect(notes).toContainEqual(expect.stringContaining('no positions that can be read'));
});

test('one datamart is told nothing of another’s mutations', async () => {
  const own = write(aMutation());
  const foreign = write(aMutation({ datamart_id: 1650 }));
  const nobodys = write(Buffer.from('neither JSON nor Avro'));
  const tombstone = write(null);

  expect((await ask(own, '1649', '80')).replications).toHaveLength(1);
  for (const offset of [foreign, nobodys, tombstone])
    expect(await refusalOf(ask(offset, '1649', '80'))).toEqual({ code: 'not_found', field: 'offset' });
  expect(await refusalOf(ask(own, '1649', '90'))).toEqual({ code: 'not_found', field: 'replication_id' });
});

test('an operator is told of any, and that a replication is of another datamart', async () => {
  const offset = write(aMutation({ datamart_id: 1650 }));

  expect((await ask(offset)).replications).toMatchObject([{ replication_id: '90' }]);
  expect(await refusalOf(ask(offset, null, '80'))).toEqual({ code: 'not_found', field: 'replication_id' });
});

test('a pasted mutation of another datamart is refused', async () => {
  const pasted = { kind: 'mutation' as const, value: aMutation({ datamart_id: 1650 }) };

  expect(await refusalOf(anExplainer().explain('1649', '80', pasted))).toEqual({
    code: 'invalid_mutation',
    field: 'mutation.datamart_id',
  });
});

test('what isn’t there is refused with its field', async () => {
  write(aMutation());
  const explainer = anExplainer();
  const refused = (changes: object) =>
    refusalOf(explainer.explain(null, null, { kind: 'record', ...AT, offset: 0, ...changes }));

  expect(await refused({ topic: 'other' })).toEqual({ code: 'invalid_parameter', field: 'topic' });
  expect(await refused({ partition: 1 })).toEqual({ code: 'not_found', field: 'partition' });
  expect(await refused({ offset: 1 })).toEqual({ code: 'not_found', field: 'offset' });
});

test('what retention has taken is still explained by its position', async () => {
  write(aMutation());
  write(aMutation());
  kafka.deleteBefore(AT, 1);

  expect(await ask(0, '1649', '80')).toMatchObject({
    record: 'gone',
    datamart_id: null,
    replications: [{ replication_id: '80', reason: 'lost' }],
  });
});

test('an Avro record without a registry can’t be told yet', async () => {
  const offset = write(Buffer.from([0, 0, 0, 0, 9, 1]));

  expect(await ask(offset)).toMatchObject({
    record: 'schema_unavailable',
    message: expect.stringContaining('no registry is set'),
  });
  expect(await refusalOf(ask(offset, '1649', '80'))).toEqual({ code: 'not_ready', field: null });
});

test('when Kafka can’t be asked, that is said', async () => {
  write(aMutation());
  const broken = { ...admin, committedOffsets: () => Promise.reject(new Error('no coordinator')) };

  expect(
    await refusalOf(anExplainer({ admin: broken }).explain(null, null, { kind: 'record', ...AT, offset: 0 })),
  ).toEqual({ code: 'not_ready', field: null });
});

test('finds the record’s own dead letter, without what may not be shown', async () => {
  const [offset, other] = [write(aMutation()), write(aMutation())];
  bury(other, '80');
  bury(offset, '80', { timestamp: NOW - 1 });
  bury(offset, '80');

  const { replications } = await ask(offset);

  expect(replications).toMatchObject([
    { reason: 'dead_lettered', dead_letter: { reason: 'rejected', detail: 'refused for <id>' } },
  ]);
});

test('a letter of the topic that was there before is another record’s', async () => {
  const offset = write(aMutation());
  bury(offset, '80', { timestamp: NOW - 1 });

  expect((await ask(offset)).replications).toMatchObject([{ dead_letter: null }]);
});

test('a record without key has its letters anywhere', async () => {
  const offset = write(aMutation(), null);
  bury(offset, '80', { key: Buffer.from('any') });

  expect((await ask(offset)).replications).toMatchObject([{ reason: 'dead_lettered' }]);
});

test('the search for letters ends at its bound, and says so', async () => {
  const offset = write(aMutation());
  bury(offset, '80');
  const record = {
    offset,
    ...(kafka.log(AT)[offset] ?? { key: null, value: null, headers: {}, timestamp: NOW }),
  };
  const options = {
    topic: DEAD,
    reader: kafka.instance().port.partitionReader(),
    admin,
    clock,
    maxMs: 1_000,
  };

  const found = await findLetters(
    { ...AT, record },
    { ...options, mask: (text) => text, maxRecords: 0 },
    new AbortController().signal,
  );

  expect(found).toEqual({ letters: [], incomplete: expect.stringContaining('only 0 were looked through') });
});
