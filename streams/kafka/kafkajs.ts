import type * as kafkajs from 'kafkajs';
import { createRequire } from 'node:module';
import { applyKafkajsPatches } from './kafkajs-patches.ts';

applyKafkajsPatches();

/** kafkajs with this project's patches. Import it from here only: the patches must come first. */
export const {
  Kafka,
  logLevel,
  Partitioners,
  ConfigResourceTypes,
  CompressionTypes,
  AssignerProtocol,
  PartitionAssigners,
} = createRequire(import.meta.url)('kafkajs') as typeof kafkajs;

export type { Admin, Consumer, IHeaders, KafkaConfig, KafkaMessage, Producer } from 'kafkajs';
export type KafkaClient = InstanceType<typeof kafkajs.Kafka>;
