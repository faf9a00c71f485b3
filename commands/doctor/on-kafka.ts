import { setTimeout as delay } from 'node:timers/promises';
import type { Settings } from '../../config/settings.ts';
import { mutationSchemaText } from '../../schemas/mutation-schema.ts';
import { HttpRegistryInspector } from '../../schemas/registry-inspector.ts';
import type { SinkRegistry } from '../../sinks/registry.ts';
import { systemClock } from '../../streams/clock.ts';
import { GlobalTable } from '../../streams/global-table.ts';
import type { BrokerAnswer } from '../../streams/inspection-port.ts';
import { kafkajsBrokerProbe } from '../../streams/kafka/broker-probe.ts';
import { kafkajsInspectionAdmin } from '../../streams/kafka/inspection-admin.ts';
import { kafkajsPort } from '../../streams/kafka/kafkajs-port.ts';
import { kafkajsTopicAdmin } from '../../streams/kafka/topic-admin.ts';
import { kafkajsTopicRights } from '../../streams/kafka/topic-rights.ts';
import type { Logger } from '../../streams/logger.ts';
import { readControlView, type ControlView } from '../control-view.ts';
import { destinationProbe, type DestinationProbe } from '../destination-probe.ts';
import { openCredentials, openSinks, openTable } from '../processor.ts';
import { safeText } from '../safe-text.ts';
import { brokerChecks } from './brokers.ts';
import { Prerequisite, type CheckGroup } from './check.ts';
import { clockChecks, ClockReadings, type DateSource } from './clock.ts';
import { destinationChecks, type DestinationChoice } from './destinations.ts';
import { runDoctor, type DoctorOptions, type DoctorPorts } from './doctor.ts';
import { groupChecks } from './group.ts';
import { keyChecks } from './keys.ts';
import { registryChecks } from './registry.ts';
import { rightsChecks } from './rights.ts';
import { applySealedHead, type SealedHeads } from './sealed-heads.ts';
import { settingsChecks, tokensListProblem } from './settings.ts';
import { stateChecks } from './states.ts';
import { tableChecks } from './tables.ts';
import { topicChecks } from './topics.ts';

const REGISTRY_TIMEOUT_MS = 10_000;
/** Whoever doesn't answer may not let itself be closed either. */
const CLOSING_MS = 3_000;
const GOOGLE = 'https://pubsub.googleapis.com';

export interface DoctorContext {
  readonly settings: Settings;
  readonly logger: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** `doctor` on what the settings name. */
export async function examineSystem(
  options: DoctorOptions & DestinationChoice,
  context: DoctorContext,
  environment: Pick<DoctorPorts, 'out' | 'errors'>,
  signal: AbortSignal,
): Promise<number> {
  const stack = new AsyncDisposableStack();
  try {
    const groups = groupsOf(options, context, stack);
    return await runDoctor(options, { ...environment, ...groups, clock: systemClock }, signal);
  } finally {
    await Promise.race([stack.disposeAsync().catch(() => undefined), delay(CLOSING_MS)]);
  }
}

function groupsOf(
  choice: DestinationChoice,
  { settings, logger, env }: DoctorContext,
  stack: AsyncDisposableStack,
): Pick<DoctorPorts, 'first' | 'then'> {
  const { kafka, topics, credentials, sinks: sinkSettings } = settings;
  const reachable = new Prerequisite<BrokerAnswer>('no broker answers');
  const sinks = new Prerequisite<SinkRegistry>('the kinds of destinations could not be loaded');
  const view = new Prerequisite<ControlView>('the replications could not be read');
  const sealed = new Prerequisite<SealedHeads>('the sealed credentials could not be read');
  const clocks = new ClockReadings(systemClock);
  const port = kafkajsPort(kafka, logger);
  const [reader, tableReader] = [port.partitionReader(), port.partitionReader()];
  const admin = kafkajsInspectionAdmin(kafka, logger);
  const topicAdmin = kafkajsTopicAdmin(kafka, logger);
  for (const each of [reader, tableReader, admin, topicAdmin]) stack.defer(() => each.close());
  const shared = { clock: systemClock, random: Math.random, logger, reader: tableReader };
  const pinned = (topic: string): number | null => view.find()?.pins.countOf(topic) || null;

  const readSealed = async (signal: AbortSignal): Promise<SealedHeads> => {
    const heads = new Map<string, string | null>();
    const apply = ({ key, value }: { key: Buffer | null; value: Buffer | null }): void => {
      applySealedHead(heads, key?.toString() ?? '', value);
    };
    await new GlobalTable({ ...shared, topic: topics.replicationCredentials, apply }).restore(signal);
    return heads;
  };
  const probe = masked(
    destinationProbe(
      () => sinks.get(),
      () => openCredentials(settings, view.get().credentials),
    ),
  );
  const needsGoogle = (): boolean =>
    !sinkSettings.allowEmulators &&
    [...(view.find()?.replications.all() ?? [])].some(({ type }) => type === 'GOOGLE_PUBSUB');
  const registry = kafka.schemaRegistry && {
    url: kafka.schemaRegistry.url,
    inspector: new HttpRegistryInspector({ ...kafka.schemaRegistry, timeoutMs: REGISTRY_TIMEOUT_MS }),
  };
  const first: readonly CheckGroup[] = [
    settingsChecks(settings, tokensListProblem, async () => {
      sinks.set(await openSinks(settings, logger, { pubsubEmulatorHost: env.PUBSUB_EMULATOR_HOST || null }));
      return sinks.get().types();
    }),
    brokerChecks(kafka, kafkajsBrokerProbe(kafka, logger), reachable),
    tableChecks({
      topics,
      admin,
      reachable,
      view,
      sealed,
      readSealed,
      readView: (signal) =>
        readControlView(settings, openTable(sinks.get(), settings), tableReader, logger, signal),
    }),
    topicChecks({ admin: topicAdmin, names: topics, reachable, pins: () => view.find()?.pins ?? null }),
    rightsChecks({
      topics,
      roles: settings.roles,
      writesSnapshot: settings.snapshot.enabled,
      groupId: kafka.groupId,
      admin,
      reader,
      topicRights: kafkajsTopicRights(kafka, logger),
      reachable,
    }),
    groupChecks({
      groupId: kafka.groupId,
      mutationTopics: topics.mutations,
      admin,
      reader,
      pinned,
      clock: systemClock,
      reachable,
    }),
    registryChecks({ mutationTopics: topics.mutations, registry, avsc: mutationSchemaText(), clocks }),
    keyChecks(credentials, sealed, view),
    clockChecks({
      clock: systemClock,
      readings: clocks,
      view,
      google: () => (needsGoogle() ? googleDate : null),
    }),
  ];
  return {
    first,
    then: () => [
      destinationChecks(choice, view, probe),
      stateChecks({ replicationId: choice.replicationId, view, reader, clock: systemClock }),
    ],
  };
}

/** A destination's own words may name users. */
function masked(probe: DestinationProbe): DestinationProbe {
  return async (config, other, signal) => {
    const { code, message, remedy, warnings } = await probe(config, other, signal);
    return { code, message: safeText(message), remedy, warnings: warnings.map(safeText) };
  };
}

const googleDate: DateSource = {
  url: GOOGLE,
  date: async (signal) => {
    const response = await fetch(GOOGLE, { method: 'HEAD', signal });
    const dateMs = Date.parse(response.headers.get('date') ?? '');
    return Number.isNaN(dateMs) ? null : dateMs;
  },
};
