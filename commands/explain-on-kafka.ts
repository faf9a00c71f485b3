import type { Settings } from '../config/settings.ts';
import type { Explainer } from '../processors/explain-request.ts';
import { RecordDecoder } from '../schemas/record-decoder.ts';
import { systemClock } from '../streams/clock.ts';
import { controlTopicsOf } from '../streams/control-tables.ts';
import { KafkaExplainer } from '../streams/explain/kafka-explainer.ts';
import { kafkajsInspectionAdmin } from '../streams/kafka/inspection-admin.ts';
import { kafkajsPort } from '../streams/kafka/kafkajs-port.ts';
import type { Logger } from '../streams/logger.ts';
import { readControlView } from './control-view.ts';
import { runExplain, type ExplainOptions, type ExplainPorts } from './explain.ts';
import { openSchemas, openSinks, openTable } from './processor.ts';
import { safeText } from './safe-text.ts';

/** `replications explain` on the settings' Kafka. */
export async function explainOnKafka(
  options: ExplainOptions,
  context: { readonly settings: Settings; readonly logger: Logger },
  environment: Omit<ExplainPorts, 'explainer'>,
  signal: AbortSignal,
): Promise<number> {
  await using opened = await openExplainer(context, signal);
  return await runExplain(options, { ...environment, explainer: opened.explainer }, signal);
}

/** An explainer with tables read once, and what it holds open. */
async function openExplainer(
  { settings, logger }: { readonly settings: Settings; readonly logger: Logger },
  signal: AbortSignal,
): Promise<AsyncDisposable & { readonly explainer: Explainer }> {
  await using stack = new AsyncDisposableStack();
  const admin = kafkajsInspectionAdmin(settings.kafka, logger);
  stack.defer(() => admin.close());
  const port = kafkajsPort(settings.kafka, logger);
  const [reader, tableReader] = [port.partitionReader(), port.partitionReader()];
  for (const each of [reader, tableReader]) stack.defer(() => each.close());
  const schemas = openSchemas(settings);
  stack.defer(() => schemas.close());
  await assertControlTopics(settings, admin);
  const table = openTable(await openSinks(settings, logger, { pubsubEmulatorHost: null }), settings);
  const tables = await readControlView(settings, table, tableReader, logger, signal);
  const explainer = new KafkaExplainer({
    topics: settings.topics,
    groupId: settings.kafka.groupId,
    tables,
    reader,
    admin,
    decoder: new RecordDecoder(schemas),
    schemas,
    clock: systemClock,
    mask: safeText,
  });
  const held = stack.move();
  return { explainer, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** Reading a topic that isn't there would be tried for minutes. */
async function assertControlTopics(
  { topics }: Settings,
  admin: { partitionCounts(topics: readonly string[]): Promise<ReadonlyMap<string, number>> },
): Promise<void> {
  const wanted = controlTopicsOf(topics);
  const existing = await admin.partitionCounts(wanted);
  const missing = wanted.find((topic) => !existing.has(topic));
  if (missing !== undefined)
    throw new Error(`topic ${missing} isn't there; \`topics create\` makes it, TOPICS_* name another`);
}
