/**
 * The fake Pub/Sub of the isolation bench, in a process of its own: counts what each topic gets, measures how long after
 * its `ts` a message of the watched topics arrives, and has the moods that it is told. What is older than the live mutations
 * are rows of a snapshot, which are only counted.
 */
import { startMoodyPubSub, type PubSubMood } from '../local/moody-pubsub.ts';

/** What it is told. */
export type FakeCommand =
  | { readonly kind: 'watch'; readonly topics: readonly string[]; readonly liveFromMs: number }
  | { readonly kind: 'mood'; readonly topic: string; readonly mood: PubSubMood }
  | { readonly kind: 'snapshot' };

/** What it tells: its port once, the counts ten times a second, a snapshot when asked. */
export type FakeReport =
  | { readonly kind: 'port'; readonly port: number }
  | { readonly kind: 'counts'; readonly counts: Readonly<Record<string, number>> }
  | {
      readonly kind: 'snapshot';
      readonly counts: Readonly<Record<string, number>>;
      /** How many messages of the watched topics arrived so many ms after their `ts`, since the last snapshot. */
      readonly delays: readonly (readonly [ms: number, count: number])[];
      /** Messages of the watched topics that are older than the live mutations, so far. */
      readonly rows: number;
      readonly cpuMicros: number;
    };

const COUNTS_MS = 100;
const MAX_DELAY_MS = 60_000;

const counts = new Map<string, number>();
const watched = new Set<string>();
const delays = new Uint32Array(MAX_DELAY_MS + 1);
let liveFromMs = 0;
let rows = 0;

const server = await startMoodyPubSub({
  stored: (topic, data) => {
    counts.set(topic, (counts.get(topic) ?? 0) + 1);
    if (!watched.has(topic)) return;
    const timestamp = timestampOf(data);
    if (timestamp < liveFromMs) {
      rows += 1;
      return;
    }
    const delay = Math.round(Date.now() - timestamp);
    const cell = Math.min(MAX_DELAY_MS, Math.max(0, delay));
    delays[cell] = (delays[cell] ?? 0) + 1;
  },
  rejected: () => undefined,
});

process.on('message', (command: FakeCommand) => {
  if (command.kind === 'watch') {
    for (const topic of command.topics) watched.add(topic);
    ({ liveFromMs } = command);
  }
  if (command.kind === 'mood') server.setMood(command.topic, command.mood);
  if (command.kind === 'snapshot') {
    const { user, system } = process.cpuUsage();
    const taken = [...delays.entries()].filter(([, count]) => count > 0);
    tell({ kind: 'snapshot', counts: allCounts(), delays: taken, rows, cpuMicros: user + system });
    delays.fill(0);
  }
});
process.once('disconnect', () => process.exit(0));
setInterval(() => tell({ kind: 'counts', counts: allCounts() }), COUNTS_MS);
tell({ kind: 'port', port: server.port });

function allCounts(): Readonly<Record<string, number>> {
  return Object.fromEntries(counts);
}

/** A version 2 operation begins with its `ts`: microseconds as a zigzag varint. In ms. */
function timestampOf(operation: Buffer): number {
  let zigzag = 0;
  let factor = 1;
  for (let at = 0; at < 9; at += 1) {
    const byte = operation[at] ?? 0;
    zigzag += (byte & 0x7f) * factor;
    if (byte < 0x80) break;
    factor *= 128;
  }
  return zigzag / 2_000;
}

function tell(report: FakeReport): void {
  process.send?.(report);
}
