import { ConfigError } from '../../config/config-error.ts';
import type { Settings } from '../../config/settings.ts';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import { AvroOperationEncoder } from '../../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../../schemas/operation-encoder-json.ts';
import { RecordDecoder } from '../../schemas/record-decoder.ts';
import { systemClock } from '../../streams/clock.ts';
import { controlTopicsOf } from '../../streams/control-tables.ts';
import type { Arrivals } from '../../streams/initial-sync/arrivals.ts';
import {
  findDocuments,
  verifyReplication,
  type VerificationOptions,
} from '../../streams/initial-sync/verification.ts';
import { kafkajsPort } from '../../streams/kafka/kafkajs-port.ts';
import { kafkajsTopicAdmin } from '../../streams/kafka/topic-admin.ts';
import type { Logger } from '../../streams/logger.ts';
import { logRanges, type LogRange, type ScanPorts } from '../../streams/partition-scan.ts';
import { DONE, FAILED } from '../cli-process.ts';
import { readControlView } from '../control-view.ts';
import { openSchemas, openSinks, openTable } from '../processor.ts';
import { ProgressLine } from '../progress-line.ts';
import { assertTopics } from '../required-topics.ts';
import type { TextOutput } from '../text-output.ts';
import { openArrivals } from './destination-arrivals.ts';
import { cutRanges, readUntilText, type ReadUntil } from './read-until.ts';
import { verificationResource, verificationText } from './verify-text.ts';

export interface VerifyOptions {
  readonly replicationId: string;
  /** An export in place of the destination itself; empty for none. */
  readonly exportPaths: readonly string[];
  readonly isByMessageId: boolean;
  readonly until: ReadUntil;
  readonly passes: number;
  readonly maxExamples: number;
  readonly showsKeys: boolean;
  readonly isJson: boolean;
}

export interface VerifyEnvironment {
  readonly out: TextOutput;
  readonly errors: TextOutput;
  /** In ms, of a clock that only goes forward. */
  readonly now: () => number;
}

/**
 * The `initial-sync verify` command on the settings' Kafka. Resolves with the exit code: 1 when the destination differs
 * from the snapshot, or `signal` has aborted.
 */
export async function runVerify(
  options: VerifyOptions,
  context: { readonly settings: Settings; readonly logger: Logger },
  { out, errors, now }: VerifyEnvironment,
  signal: AbortSignal,
): Promise<number> {
  await using opened = await openVerification(options, context, signal);
  const { config, arrivals, snapshot, ports } = opened;
  const progress = new ProgressLine({ errors, now, isPlainToo: false });
  const encoders = { 1: new JsonOperationEncoder(), 2: new AvroOperationEncoder() };
  const verification: VerificationOptions = {
    ...ports,
    ...options,
    config,
    arrivals,
    snapshot,
    decoder: opened.decoder,
    schemas: opened.schemas,
    encoder: encoders[config.version],
    onProgress: ({ reading, read, total, pass }) => {
      const times = options.passes > 1 ? ` (${pass + 1} of ${options.passes} times)` : '';
      progress.maybeShow(
        () => `reading ${reading}: ${Math.floor((read / Math.max(1, total)) * 100)} %${times}`,
      );
    },
  };
  const found = await verifyReplication(verification, signal);
  const hashes = new Set(options.showsKeys ? found?.examples.map(({ keyHash }) => keyHash) : []);
  const docIds =
    hashes.size > 0 ? await findDocuments(verification, hashes, signal) : new Map<string, string>();
  progress.clear();
  if (!found || signal.aborted) {
    errors.write('stopped before all was compared\n');
    return FAILED;
  }
  const resource = verificationResource(found, {
    config,
    isByMessageId: options.isByMessageId,
    docIds,
    until: readUntilText([...snapshot, ...opened.destination]),
    hasMoved: await hasGrown(snapshot, options.until, ports),
  });
  out.write(options.isJson ? `${JSON.stringify(resource)}\n` : verificationText(resource));
  return resource.is_equal ? DONE : FAILED;
}

interface OpenedVerification extends AsyncDisposable {
  readonly config: ReplicationConfig;
  readonly arrivals: Arrivals;
  readonly snapshot: readonly LogRange[];
  /** Of a destination that is a topic. */
  readonly destination: readonly LogRange[];
  readonly ports: ScanPorts;
  readonly decoder: RecordDecoder;
  readonly schemas: ReturnType<typeof openSchemas>;
}

/** Reads the tables once, and finds what is to be compared. */
async function openVerification(
  { replicationId, exportPaths, until }: VerifyOptions,
  { settings, logger }: { readonly settings: Settings; readonly logger: Logger },
  signal: AbortSignal,
): Promise<OpenedVerification> {
  await using stack = new AsyncDisposableStack();
  const port = kafkajsPort(settings.kafka, logger);
  const [reader, tableReader] = [port.partitionReader(), port.partitionReader()];
  for (const each of [reader, tableReader]) stack.defer(() => each.close());
  const admin = kafkajsTopicAdmin(settings.kafka, logger);
  stack.defer(() => admin.close());
  const schemas = openSchemas(settings);
  stack.defer(() => schemas.close());
  const { topics } = settings;
  const wanted = [...controlTopicsOf(topics), ...topics.snapshots];
  const existing = new Map((await admin.describeTopics(wanted)).map((topic) => [topic.name, topic]));
  assertTopics(wanted, existing);

  const sinks = await openSinks(settings, logger, { pubsubEmulatorHost: null });
  const table = openTable(sinks, settings);
  const view = await readControlView(settings, table, tableReader, logger, signal);
  const config = table.get(replicationId);
  if (!config) throw new ConfigError([`--replication-id: there is no replication ${replicationId}`]);

  const ports = { reader, clock: systemClock, random: Math.random };
  const whole = await Promise.all(
    topics.snapshots.map((topic) => logRanges(topic, existing.get(topic)?.partitions ?? 0, ports, signal)),
  );
  const source = await openArrivals(
    { config, exportPaths, settings, logger, credentials: view.credentials, ports, stack },
    signal,
  );
  const ranges = cutRanges([...whole.flat(), ...source.ranges], until);
  const snapshot = ranges.slice(0, whole.flat().length);
  const destination = ranges.slice(snapshot.length);
  const held = stack.move();
  return {
    config,
    arrivals: source.arrivals(destination),
    snapshot,
    destination,
    ports,
    decoder: new RecordDecoder(schemas),
    schemas,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** Whether a partition that was read to its end has grown since. */
async function hasGrown(
  snapshot: readonly LogRange[],
  until: ReadUntil,
  { reader }: ScanPorts,
): Promise<boolean> {
  const ends = await Promise.all(
    snapshot
      .filter(({ topic, partition }) => !until.has(`${topic}/${partition}`))
      .map(async (range) => (await reader.bounds(range)).end > range.end),
  );
  return ends.some((isBeyond) => isBeyond);
}
