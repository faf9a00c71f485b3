import { LOOPBACK } from './free-port.ts';

/** What differs between two embedded brokers. */
export interface BrokerSettings {
  readonly port: number;
  readonly controllerPort: number;
  readonly logDirectory: string;
  /** Win over everything below. */
  readonly properties: Readonly<Record<string, string | number | boolean>>;
}

/** The `server.properties` of a one-node development broker: broker and KRaft controller in one process. */
export function serverProperties(settings: BrokerSettings): string {
  const listeners = `PLAINTEXT://${LOOPBACK}:${settings.port},CONTROLLER://${LOOPBACK}:${settings.controllerPort}`;
  const properties = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@${LOOPBACK}:${settings.controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    listeners,
    'advertised.listeners': `PLAINTEXT://${LOOPBACK}:${settings.port}`,
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    'log.dirs': settings.logDirectory,
    ...DEVELOPMENT_PROPERTIES,
    ...settings.properties,
  };
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${escapeValue(String(value))}\n`)
    .join('');
}

const DEVELOPMENT_PROPERTIES = {
  // A topic nobody created is a mistake here: the processor has to notice it as it would in production.
  'auto.create.topics.enable': false,
  'offsets.topic.replication.factor': 1,
  'offsets.topic.num.partitions': 4,
  'transaction.state.log.replication.factor': 1,
  'transaction.state.log.min.isr': 1,
  'transaction.state.log.num.partitions': 2,
  'share.coordinator.state.topic.replication.factor': 1,
  'share.coordinator.state.topic.min.isr': 1,
  'share.coordinator.state.topic.num.partitions': 1,
  // Groups form at once, and tests may use sessions shorter than production's.
  'group.initial.rebalance.delay.ms': 0,
  'group.min.session.timeout.ms': 500,
  // After SIGKILL the restarted broker may register again only when its old session is over.
  'broker.session.timeout.ms': 3000,
  'broker.heartbeat.interval.ms': 500,
  // Compaction shows within seconds; the buffer would take 128 MB of the heap.
  'log.cleaner.backoff.ms': 1000,
  'log.cleaner.dedupe.buffer.size': 16 * 1024 * 1024,
  'log.segment.delete.delay.ms': 1000,
  'log.retention.hours': 168,
  'num.network.threads': 2,
  'num.io.threads': 4,
} as const;

/** A backslash would start an escape in a Java properties file. */
function escapeValue(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
