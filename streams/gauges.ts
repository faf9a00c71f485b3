import type { ExecutionTable } from '../processors/initial-sync/execution-table.ts';
import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import type { Clock } from './clock.ts';
import type { TableLag } from './control-tables.ts';
import type { Destination } from './destination.ts';
import type { TopicPartition } from './kafka-port.ts';
import type { EngineMetrics, GaugeSource } from './metrics.ts';
import type { StreamTask } from './stream-task.ts';

/** What the gauges look at. Everything is asked when somebody scrapes, and nothing is changed by asking. */
export interface GaugeSources {
  readonly clock: Clock;
  readonly table: ReplicationTable;
  readonly tasks: () => Iterable<StreamTask>;
  readonly destinations: () => Iterable<Destination>;
  readonly heldBytes: () => number;
  readonly state: () => string;
  /** Partitions that wait to be adopted. */
  readonly held: () => readonly TopicPartition[];
  readonly stateOf: (config: ReplicationConfig) => string;
  /** Offsets that retention took before they were delivered, by what the partitions report. */
  readonly lostOffsetsOf: (config: ReplicationConfig) => number;
  readonly tableLag: () => readonly TableLag[];
  readonly executions: () => ExecutionTable;
}

/** Registers the gauges that show where every partition and replication stands. */
export function registerGauges(metrics: EngineMetrics, sources: GaugeSources): void {
  const { clock } = sources;
  const perTask = (valueOf: (task: StreamTask) => number) => () =>
    [...sources.tasks()].map((task) => ({ labels: labelsOf(task), value: valueOf(task) }));
  const secondsSince = (ms: number | null): number =>
    ms === null ? 0 : Math.max(0, clock.now() - ms) / 1_000;

  metrics.gauge('application_state', 'The state of this instance, as 1', () => [
    { labels: { state: sources.state() }, value: 1 },
  ]);
  metrics.gauge('in_flight_bytes', 'Bytes held for operations that are not delivered', () => [
    { labels: {}, value: sources.heldBytes() },
  ]);
  metrics.gauge(
    'consumer_lag_records',
    'Records between the committed offset and the log’s end',
    perTask((task) => Math.max(0, task.highWatermark - task.committedOffset)),
  );
  metrics.gauge(
    'window_records',
    'Records taken up since the last acknowledged commit',
    perTask((task) => task.window.records),
  );
  metrics.gauge(
    'oldest_unacknowledged_seconds',
    'Age of the oldest operation that its destination has not acknowledged, by Kafka’s timestamp',
    perTask((task) => secondsSince(task.replications.oldestUndelivered())),
  );
  metrics.gauge(
    'commit_age_seconds',
    'Seconds since the last acknowledged commit; 0 when everything is committed',
    perTask((task) => (task.position > task.committedOffset ? secondsSince(task.committedAtMs) : 0)),
  );
  metrics.gauge('partition_blocked', 'A partition can’t go on, and why, as 1', () => [
    ...[...sources.tasks()].flatMap((task) =>
      [...task.blockedReasons].map((reason) => ({ labels: { ...labelsOf(task), reason }, value: 1 })),
    ),
    ...sources.held().map(({ topic, partition }) => ({
      labels: { topic, partition, reason: 'not_adopted' },
      value: 1,
    })),
  ]);
  metrics.gauge('table_lag_records', 'Records of a global table not read yet', () =>
    sources.tableLag().map(({ topic, lag }) => ({ labels: { topic }, value: lag })),
  );
  metrics.gauge(
    'table_age_seconds',
    'Seconds since a global table was last read: high while it can’t be',
    () => sources.tableLag().map(({ topic, ageMs }) => ({ labels: { topic }, value: ageMs / 1_000 })),
  );
  metrics.gauge(
    'initial_sync_tasks',
    'Tasks of initial synchronizations that have not ended, by state; PENDING is what nobody has reported of',
    () => taskStates(sources.executions()),
  );
  metrics.gauge('replication_state', 'The state of each replication, as 1', () =>
    [...sources.table.all()].map((config) => ({
      labels: { replication_id: config.id, state: sources.stateOf(config) },
      value: 1,
    })),
  );
  metrics.gauge(
    'detached_partitions',
    'Partitions of this instance that wait for the replication no longer',
    () => {
      const counts = new Map<string, number>();
      for (const task of sources.tasks())
        for (const { isDetached, destination } of task.lanes)
          if (isDetached) counts.set(destination.id, (counts.get(destination.id) ?? 0) + 1);
      return [...counts].map(([id, value]) => ({ labels: { replication_id: id }, value }));
    },
  );
  metrics.gauge(
    'replication_lag_records',
    'Records between a replication’s position and the log’s end',
    () => {
      const lags = new Map<string, number>();
      let untouched = 0;
      for (const task of sources.tasks()) {
        untouched += Math.max(0, task.highWatermark - task.position);
        for (const { replicationId, position } of task.replications.backlogs())
          lags.set(replicationId, (lags.get(replicationId) ?? 0) + task.position - position);
      }
      return activeReplications(sources.table).map((id) => ({
        labels: { replication_id: id },
        value: untouched + (lags.get(id) ?? 0),
      }));
    },
  );
  metrics.gauge(
    'replication_lag_seconds',
    'Age of the oldest operation not delivered, 0 when there is none',
    () => {
      const oldest = new Map<string, number>();
      for (const task of sources.tasks()) {
        for (const { replicationId, timestamp } of task.replications.backlogs())
          if (timestamp !== null)
            oldest.set(replicationId, Math.min(timestamp, oldest.get(replicationId) ?? timestamp));
      }
      return activeReplications(sources.table).map((id) => ({
        labels: { replication_id: id },
        value: secondsSince(oldest.get(id) ?? null),
      }));
    },
  );
  metrics.gauge(
    'needs_initial_sync',
    'Retention took mutations that the replication had not got, as 1; only an initial synchronization brings them',
    () =>
      [...sources.table.all()].flatMap((config) =>
        sources.lostOffsetsOf(config) > 0 ? [{ labels: { replication_id: config.id }, value: 1 }] : [],
      ),
  );
}

/** An execution's series end with it. */
function taskStates(executions: ExecutionTable): ReturnType<GaugeSource> {
  return [...executions.unended()].flatMap(({ id, numTasks }) => {
    const tasks = executions.tasksOf(id);
    const counts = new Map<string, number>([['PENDING', numTasks - tasks.length]]);
    for (const { status } of tasks) counts.set(status, (counts.get(status) ?? 0) + 1);
    return [...counts].map(([state, value]) => ({ labels: { execution_id: id, state }, value }));
  });
}

function activeReplications(table: ReplicationTable): readonly string[] {
  return [...table.all()].filter(({ status }) => status === 'ACTIVE').map(({ id }) => id);
}

function labelsOf(task: StreamTask): { topic: string; partition: number } {
  return { topic: task.scope.topic, partition: task.scope.partition };
}
