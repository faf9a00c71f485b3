import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from '../api/api-error.ts';
import {
  NotConfirmedError as UnconfirmedWriteError,
  type ControlLog as ControlLogPort,
  type ControlState,
  type CredentialsSealer,
  type DestinationChecker,
  type Explainer,
} from '../api/control-plane.ts';
import { ExecutionService } from '../api/execution-service.ts';
import { ReplicationService } from '../api/replication-service.ts';
import { SyncPlanService } from '../api/sync-plan-service.ts';
import type { Settings } from '../config/settings.ts';
import { writeCredentialsRecord } from '../processors/credentials-record.ts';
import { ExplainError, parseExplainRequest } from '../processors/explain-request.ts';
import { RecordDecoder } from '../schemas/record-decoder.ts';
import type { SchemaCache } from '../schemas/schema-cache.ts';
import type { SinkRegistry } from '../sinks/registry.ts';
import { KeyRing, sealCredentials } from '../sinks/sealed-credentials.ts';
import { systemClock } from '../streams/clock.ts';
import { ControlLog, NotConfirmedError } from '../streams/control-log.ts';
import type { ControlTables } from '../streams/control-tables.ts';
import { KafkaExplainer } from '../streams/explain/kafka-explainer.ts';
import { GroupProgress } from '../streams/group-progress.ts';
import { kafkajsInspectionAdmin } from '../streams/kafka/inspection-admin.ts';
import { kafkajsPort } from '../streams/kafka/kafkajs-port.ts';
import type { Logger } from '../streams/logger.ts';
import type { PartitionPins } from '../streams/partition-pins.ts';
import type { PositionLists } from '../streams/position-lists.ts';
import { destinationProbe, type DestinationProbe } from './destination-probe.ts';
import { SnapshotPlans } from './initial-sync/snapshot-plans.ts';
import { openCredentials } from './processor.ts';
import { safeText } from './safe-text.ts';

export interface ControlPlaneContext {
  readonly settings: Settings;
  readonly logger: Logger;
  /** Followed by whoever hands them in. */
  readonly tables: ControlTables;
  readonly pins: Pick<PartitionPins, 'isHeld' | 'countOf'>;
  readonly lists: Pick<PositionLists, 'resolve'>;
  readonly sinks: SinkRegistry;
  readonly schemas: SchemaCache;
  /** False leaves the check of a destination to the processors: a command may lack what it needs. */
  readonly checksDestinations: boolean;
}

/** The control plane over Kafka; its connections end when it is disposed of. */
export interface ControlPlane extends AsyncDisposable {
  readonly operations: ReplicationService;
  readonly executions: ExecutionService;
  readonly plans: SyncPlanService;
}

/** Puts together what the API and the commands on replications work with. Opens no connection yet. */
export function openControlPlane(context: ControlPlaneContext): ControlPlane {
  const { settings, logger, tables, pins, lists, sinks, schemas, checksDestinations } = context;
  const { topics, kafka } = settings;
  const port = kafkajsPort(kafka, logger);
  const [producer, reader] = [port.producer(), port.partitionReader()];
  const admin = kafkajsInspectionAdmin(kafka, logger);
  const progress = new GroupProgress({
    groupId: kafka.groupId,
    topics: topics.mutations,
    admin,
    partitionsOf: async (topic) => (await admin.partitionCounts([topic])).get(topic) ?? 0,
    reader,
    clock: systemClock,
  });
  const { replications, status, credentials, executions, requests } = tables;
  const resolver = openCredentials(settings, credentials);
  const state: ControlState = {
    get isCaughtUp() {
      return tables.isCaughtUp;
    },
    replications,
    status,
    credentials,
    executions,
    requests,
    partitionOffsets: () => progress.read(),
  };
  const log = confirmedLog(new ControlLog({ topics, producer, tables, clock: systemClock }));
  const operations = new ReplicationService({
    state,
    log,
    checker: checksDestinations
      ? checkerOf(
          destinationProbe(
            () => sinks,
            () => resolver,
          ),
        )
      : { check: () => Promise.resolve(null) },
    sealer: sealerOf(new KeyRing(settings.credentials)),
    explainer: explainerOf(
      new KafkaExplainer({
        topics,
        groupId: kafka.groupId,
        tables: { replications, status, credentials, pins, lists },
        reader,
        admin,
        decoder: new RecordDecoder(schemas),
        schemas,
        clock: systemClock,
        mask: safeText,
      }),
    ),
    now: Date.now,
    random: Math.random,
  });
  const windowMs = settings.initialSync.windowHours * 3_600_000;
  const source = new SnapshotPlans({ settings, logger, tables, pins, sinks, schemas });
  return {
    operations,
    plans: new SyncPlanService({
      state,
      source,
      windowMs,
      rate: settings.initialSync.maxRate,
      now: Date.now,
    }),
    executions: new ExecutionService({
      state,
      log,
      windowMs,
      now: Date.now,
      newId: randomUUID,
      sleep: (ms) => delay(ms),
    }),
    [Symbol.asyncDispose]: async () => {
      await source[Symbol.asyncDispose]();
      await Promise.allSettled([producer.close(), reader.close(), admin.close()]);
    },
  };
}

/** The API's own error for a write that wasn't seen in time. */
function confirmedLog(log: ControlLog): ControlLogPort {
  const told = async (write: Promise<number>): Promise<number> => {
    try {
      return await write;
    } catch (error) {
      if (!(error instanceof NotConfirmedError)) throw error;
      throw new UnconfirmedWriteError(error.message, { cause: error });
    }
  };
  return {
    writeConfig: (id, record) => told(log.writeConfig(id, record)),
    writeCredentials: (id, record) => told(log.writeCredentials(id, record)),
    writeSyncRequest: (id, record) => told(log.writeSyncRequest(id, record)),
  };
}

function checkerOf(probe: DestinationProbe): DestinationChecker {
  return {
    check: async (config, credentials, signal) => {
      const { code, message, remedy } = await probe(config, credentials, signal);
      // A destination's own words may name users.
      return code === 'ok' ? null : { code, message: safeText(message), remedy };
    },
  };
}

function sealerOf(keys: KeyRing): CredentialsSealer | null {
  if (keys.currentId === null) return null;
  return {
    seal: (owner, text) =>
      writeCredentialsRecord(sealCredentials(owner, text, { keys, randomBytes, now: Date.now })),
  };
}

function explainerOf(explainer: KafkaExplainer): Explainer {
  return {
    explain: async (datamartId, replicationId, request, signal) => {
      try {
        return await explainer.explain(datamartId, replicationId, parseExplainRequest(request), signal);
      } catch (error) {
        if (!(error instanceof ExplainError)) throw error;
        const { code, message, field, remedy } = error;
        throw new ApiError(code, message, { field, hint: remedy, cause: error });
      }
    },
  };
}
