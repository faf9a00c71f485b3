/**
 * What decoding and encoding cost per record, beside the usual way (parse, then stringify or `avsc.toBuffer`).
 * CPU time, best of the rounds; run it with `node bench/codec.ts [rounds]`.
 */
import avsc from 'avsc';
import { readFileSync } from 'node:fs';
import { JsonMutationDecoder } from '../schemas/json-mutation-decoder.ts';
import { MutationView } from '../schemas/mutation.ts';
import { AvroOperationEncoder } from '../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../schemas/operation-encoder-json.ts';
import { RecordDecoder } from '../schemas/record-decoder.ts';
import { compileWriterSchema } from '../schemas/writer-schema.ts';
import { encodeRecordBatch, maxRecordBatchBytes } from '../streams/kafka/record-batch-encoder.ts';
import { SegmentPool } from '../streams/segment-pool.ts';
import { SnapshotBatch, SnapshotColumns } from '../streams/snapshot/snapshot-batch.ts';

const RECORDS_PER_ROUND = 100_000;
const rounds = Number(process.argv[2] ?? 8);

const inputSchema = readFileSync(new URL('../schemas/datamart-mutation.avsc', import.meta.url), 'utf8');
const inputType = avsc.Type.forSchema(JSON.parse(inputSchema) as avsc.Schema);
const outputType = avsc.Type.forSchema(
  JSON.parse(
    readFileSync(new URL('../schemas/operation-record.avsc', import.meta.url), 'utf8'),
  ) as avsc.Schema,
);
const writerSchema = compileWriterSchema(inputSchema);

/** A user agent with the page's fields, and events until the value has about 1 KB. */
const value: Record<string, unknown> = {
  $os_family: 'LINUX',
  $brand: null,
  $os_version: null,
  $form_factor: 'PERSONAL_COMPUTER',
  $carrier: null,
  $model: null,
  $creation_ts: 0,
  $browser_family: 'FIREFOX',
};
const events: unknown[] = [];
value['$events'] = events;
while (JSON.stringify(value).length < 1000) {
  const item = events.length;
  events.push({
    $event_name: 'page_view',
    $ts: 1_676_627_112_685 + item,
    $properties: {
      url: `https://www.example.com/products/item-${item}`,
      price: 12.5 + item,
      tags: ['a', 'b'],
    },
  });
}
const userPoint = '4700c85f-17e3-4304-aa7f-dc140173b08d';
const mutation = {
  datamart_id: 1649,
  user_point_id: userPoint,
  ts: 1_676_627_112_685,
  op: 'UPDATE',
  doc_type: 'UserAgent',
  vector_id: 'vec:32453299893',
};
const json = Buffer.from(JSON.stringify({ ...mutation, value }));
const avro = Buffer.concat([
  Buffer.from([0, 0, 0, 0, 7]),
  inputType.toBuffer({ ...mutation, value: JSON.stringify(value) }),
]);

const view = new MutationView();
const target = Buffer.alloc(1 << 16);
const isWanted = (): boolean => true;
const jsonDecoder = new JsonMutationDecoder();
const decoder = new RecordDecoder({ get: () => writerSchema });
const encoderV1 = new JsonOperationEncoder();
const encoderV2 = new AvroOperationEncoder();

interface Parsed {
  readonly ts: number;
  readonly doc_type: string;
  readonly op: string;
  readonly user_point_id: string;
  readonly vector_id: string;
  readonly value: unknown;
}
const parse = (): Parsed => JSON.parse(json.toString()) as Parsed;
const operationOf = (parsed: Parsed) => ({
  ts: parsed.ts * 1000,
  doc_type: parsed.doc_type,
  doc_id: `${parsed.user_point_id}:${parsed.vector_id}`,
  ctx_id: parsed.user_point_id,
  op: parsed.op,
  value: JSON.stringify(parsed.value),
});

/** So many documents make a batch of the snapshot. */
const BATCH_RECORDS = 700;
const documents = Array.from({ length: BATCH_RECORDS }, (_, n) => {
  const bytes = Buffer.from(JSON.stringify({ ...mutation, vector_id: `vec:${32_453_299_893 + n}`, value }));
  const decoded = new MutationView();
  if (jsonDecoder.decode(bytes, decoded, isWanted) !== 'ok') throw new Error('the sample is broken');
  return { decoded, record: { offset: n, timestamp: 0, key: null, value: bytes, headers: {} } };
});
const pool = new SegmentPool(Number.MAX_SAFE_INTEGER, () => undefined);
const wire = Buffer.alloc(1 << 21);
const columns = new SnapshotColumns();
const origin = { partition: 3, partitionCount: 8 };
let snapshotBatch = new SnapshotBatch(pool.acquire(0, wire.length), columns, 0, origin);
/** A copy under its document's key; with the last of them the batch is encoded as it is sent. */
const snapshotRecord = (): void => {
  const { count } = snapshotBatch;
  const { decoded, record } = documents[count] as (typeof documents)[number];
  snapshotBatch.put(decoded, record, 0);
  if (count + 1 < BATCH_RECORDS) return;
  const { storage } = snapshotBatch;
  const records = snapshotBatch.records();
  if (maxRecordBatchBytes(records) > wire.length) throw new Error('the batch is larger than its buffer');
  encodeRecordBatch(records, wire, 0);
  pool.release(storage);
  snapshotBatch = new SnapshotBatch(pool.acquire(0, wire.length), columns, 0, origin);
};

const cases: readonly (readonly [name: string, run: () => unknown, usual: (() => unknown) | null])[] = [
  ['decode JSON', () => jsonDecoder.decode(json, view, isWanted), parse],
  ['decode JSON, unwanted', () => jsonDecoder.decode(json, view, () => false), parse],
  ['decode Avro', () => decoder.decode(avro, view, isWanted), () => inputType.decode(avro, 5)],
  ['encode version 1', () => encoderV1.encode(view, target, 0), null],
  ['encode version 2', () => encoderV2.encode(view, target, 0), null],
  ['snapshot record', snapshotRecord, null],
  [
    'JSON to version 1',
    () => (jsonDecoder.decode(json, view, isWanted), encoderV1.encode(view, target, 0)),
    () => {
      const { ts, doc_type, user_point_id, vector_id, op, value: document } = parse();
      return Buffer.from(
        JSON.stringify({ ts, doc_type, doc_id: `${user_point_id}:${vector_id}`, op, value: document }),
      );
    },
  ],
  [
    'JSON to version 2',
    () => (jsonDecoder.decode(json, view, isWanted), encoderV2.encode(view, target, 0)),
    () => outputType.toBuffer(operationOf(parse())),
  ],
];

process.stdout.write(`JSON record ${json.length} B, Avro record ${avro.length} B; us of CPU per record\n`);
for (const [name, run, usual] of cases) {
  const ours = microsecondsOf(run);
  const theirs = usual === null ? null : microsecondsOf(usual);
  const comparison = theirs === null ? '' : `   usual ${theirs.toFixed(2)}   ${(theirs / ours).toFixed(1)} x`;
  process.stdout.write(`${name.padEnd(24)} ${ours.toFixed(3)}${comparison}\n`);
}

function microsecondsOf(run: () => unknown): number {
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    for (let i = 0; i < RECORDS_PER_ROUND; i++) run();
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / RECORDS_PER_ROUND);
  }
  return best;
}
