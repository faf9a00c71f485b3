import { randomBytes } from 'node:crypto';
import { ConfigError } from '../config/config-error.ts';
import type { Settings } from '../config/settings.ts';
import { KeyRing, rewrapCredentials } from '../sinks/sealed-credentials.ts';
import { systemClock } from '../streams/clock.ts';
import { CredentialsRotation } from '../streams/credentials-rotation.ts';
import { kafkajsPort } from '../streams/kafka/kafkajs-port.ts';
import { kafkajsTopicAdmin } from '../streams/kafka/topic-admin.ts';
import type { Logger } from '../streams/logger.ts';
import {
  runCredentialsRotate,
  type CredentialsRotateOptions,
  type CredentialsRotatePorts,
} from './credentials-rotate.ts';
import { MissingTopicError } from './required-topics.ts';

/** `credentials rotate` on the settings' Kafka. Throws a `ConfigError` when CREDENTIALS_KEY isn't set. */
export async function rotateCredentials(
  options: CredentialsRotateOptions,
  { settings, logger }: { readonly settings: Settings; readonly logger: Logger },
  environment: Pick<CredentialsRotatePorts, 'progress' | 'out' | 'errors'>,
  signal: AbortSignal,
): Promise<number> {
  const keys = new KeyRing(settings.credentials);
  if (keys.currentId === null) {
    throw new ConfigError([
      'CREDENTIALS_KEY (default): not set; allowed is the key that credentials are to be under, ' +
        'with the former ones in CREDENTIALS_OLD_KEYS',
    ]);
  }
  const topic = settings.topics.replicationCredentials;
  await requireTopic(topic, settings, logger);
  await using stack = new AsyncDisposableStack();
  const port = kafkajsPort(settings.kafka, logger);
  const [reader, producer] = [port.partitionReader(), port.producer()];
  for (const each of [reader, producer]) stack.defer(() => each.close());
  const rotation = new CredentialsRotation({
    topic,
    reader,
    producer,
    clock: systemClock,
    random: Math.random,
    logger,
    rewrap: (record) => rewrapCredentials(record, { keys, randomBytes }),
    onProgress: (settled, total) => {
      environment.progress.maybeShow(() => `re-wrapping credentials: ${settled} of ${total}`);
    },
  });
  return await runCredentialsRotate(options, { ...environment, kekId: keys.currentId, rotation }, signal);
}

async function requireTopic(topic: string, settings: Settings, logger: Logger): Promise<void> {
  const admin = kafkajsTopicAdmin(settings.kafka, logger);
  try {
    const [existing] = await admin.describeTopics([topic]);
    if (existing === undefined) throw new MissingTopicError(topic);
    if (existing.partitions !== 1)
      throw new Error(`topic ${topic} has ${existing.partitions} partitions; its records need exactly 1`);
  } finally {
    await admin.close();
  }
}
