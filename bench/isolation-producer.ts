/**
 * The upstream of the isolation bench, in a process of its own. In the open loop every mutation has a time at which it is
 * due, which is its `ts`, whenever it is really written; at full load it stays a fixed number ahead of what is delivered.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel, type Producer } from '../streams/kafka/kafkajs.ts';
import { sampleRecords } from './sample-records.ts';

export interface ProducerJob {
  readonly brokers: readonly string[];
  readonly topic: string;
  readonly partitions: number;
  readonly valueBytes: number;
  /** Mutations a second; null for full load. */
  readonly rate: number | null;
  /** At full load: so many mutations are written and not delivered. */
  readonly lead: number;
}

/** At full load it is told how many mutations were delivered. */
export interface ProducerCommand {
  readonly delivered: number;
}

/** Told ten times a second. */
export interface ProducerReport {
  readonly produced: number;
  /** How long after their time the mutations written last were stored. */
  readonly lateMs: number;
  /** The process's own CPU time, user and system. */
  readonly cpuMicros: number;
}

const SENDERS = 4;
const MAX_SEND = 400;
const TEMPLATES = 4_000;
const IDLE_MS = 3;
const REPORT_MS = 100;

const job = JSON.parse(process.argv[2] ?? '') as ProducerJob;
const templates = makeTemplates();
let produced = 0;
let delivered = 0;
let lateMs = 0;

process.on('message', (command: ProducerCommand) => {
  ({ delivered } = command);
});
process.once('disconnect', () => process.exit(0));
setInterval(() => {
  const { user, system } = process.cpuUsage();
  const report: ProducerReport = { produced, lateMs: Math.round(lateMs), cpuMicros: user + system };
  process.send?.(report);
}, REPORT_MS);

const producer = new Kafka({
  brokers: [...job.brokers],
  clientId: 'bench-producer',
  logLevel: logLevel.ERROR,
}).producer({ allowAutoTopicCreation: false });
await producer.connect();
const startMs = Date.now();
await Promise.all(
  Array.from({ length: SENDERS }, (_, i) =>
    job.rate === null ? keepAhead(producer, i) : keepTime(producer, i, job.rate / SENDERS),
  ),
);

/** Sends what is due, and what became due meanwhile with the next request. */
async function keepTime(to: Producer, sender: number, rate: number): Promise<never> {
  for (let sent = 0; ;) {
    const due = Math.floor(((Date.now() - startMs) * rate) / 1_000) - sent;
    const count = Math.min(due, MAX_SEND);
    if (count <= 0) {
      await sleep(IDLE_MS);
      continue;
    }
    const from = sent;
    await send(to, sender, count, (i) => startMs + ((from + i) * 1_000) / rate);
    lateMs = Date.now() - (startMs + (from * 1_000) / rate);
    sent += count;
  }
}

async function keepAhead(to: Producer, sender: number): Promise<never> {
  for (;;) {
    if (produced - delivered >= job.lead) await sleep(IDLE_MS);
    else await send(to, sender, MAX_SEND, () => Date.now());
  }
}

/** Each sender has partitions of its own: what it sends one after another stays in order. */
async function send(
  to: Producer,
  sender: number,
  count: number,
  dueMs: (i: number) => number,
): Promise<void> {
  const messages = Array.from({ length: count }, (_, i) => {
    const { key, value, tsAt } = templates[(produced + i * SENDERS + sender) % TEMPLATES]!;
    const dated = Buffer.from(value);
    dated.write(String(Math.floor(dueMs(i))), tsAt, 'latin1');
    return { key, value: dated, partition: (sender + i * SENDERS) % job.partitions };
  });
  await to.send({ topic: job.topic, messages, acks: -1 });
  produced += count;
}

function makeTemplates(): readonly { readonly key: string; readonly value: Buffer; readonly tsAt: number }[] {
  const records = sampleRecords(job.valueBytes);
  return Array.from({ length: TEMPLATES }, () => {
    const { key, value } = records.next().value;
    return { key, value, tsAt: value.indexOf('"ts":') + '"ts":'.length };
  });
}
