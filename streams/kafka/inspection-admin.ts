import type { GroupDescription, GroupMember, InspectionAdmin } from '../inspection-port.ts';
import type { TopicPartition } from '../kafka-port.ts';
import type { Logger } from '../logger.ts';
import type { GroupCommit } from '../topics/adopt-partitions.ts';
import { safeOffset } from './cluster.ts';
import { KafkajsAdmin } from './kafkajs-admin.ts';
import { kafkaClient, type KafkaConnection } from './kafkajs-port.ts';
import { AssignerProtocol, type KafkaClient } from './kafkajs.ts';

/** Opens a `KafkajsInspectionAdmin` on this cluster. Connects with its first call. */
export function kafkajsInspectionAdmin(connection: KafkaConnection, logger: Logger): KafkajsInspectionAdmin {
  return new KafkajsInspectionAdmin(kafkaClient(connection, logger));
}

/** `InspectionAdmin` over kafkajs. Connects with the first call. */
export class KafkajsInspectionAdmin implements InspectionAdmin {
  readonly #admin: KafkajsAdmin;

  constructor(kafka: KafkaClient) {
    this.#admin = new KafkajsAdmin(kafka);
  }

  async partitionCounts(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const found = await this.#admin.metadataOf(topics);
    return new Map(found.map(({ name, partitions }) => [name, partitions.length]));
  }

  committedOffsets(groupId: string, topic: string): Promise<ReadonlyMap<number, GroupCommit>> {
    return this.#admin.committedOffsets(groupId, topic);
  }

  async offsetsAt(topic: string, timestamp: number): Promise<ReadonlyMap<number, number>> {
    const admin = await this.#admin.connected();
    const offsets = await admin.fetchTopicOffsetsByTimestamp(topic, timestamp);
    return new Map(offsets.map(({ partition, offset }) => [partition, safeOffset(offset)]));
  }

  async describeGroup(groupId: string): Promise<GroupDescription> {
    const admin = await this.#admin.connected();
    const { groups } = await admin.describeGroups([groupId]);
    const [group] = groups;
    if (!group) throw new Error(`describing group ${groupId}: no answer`);
    // kafkajs answers a refused one as it does others; its type doesn't show the code.
    const { errorCode } = group as { errorCode?: number };
    if (errorCode) throw new Error(`describing group ${groupId}: Kafka refuses it (error ${errorCode})`);
    return {
      state: group.state,
      protocolType: group.protocolType,
      protocol: group.protocol,
      members: group.members.map(({ memberId, clientId, clientHost, memberMetadata, memberAssignment }) => ({
        memberId,
        clientId,
        host: clientHost.replace(/^\//, ''),
        topics: group.protocolType === 'consumer' ? topicsOf(memberMetadata) : null,
        partitions: group.protocolType === 'consumer' ? partitionsOf(memberAssignment) : [],
      })),
    };
  }

  close(): Promise<void> {
    return this.#admin.close();
  }
}

/** Other clients may write what they like there. */
function topicsOf(metadata: Buffer): GroupMember['topics'] {
  try {
    return AssignerProtocol.MemberMetadata.decode(metadata)?.topics ?? null;
  } catch {
    return null;
  }
}

function partitionsOf(assignment: Buffer): readonly TopicPartition[] {
  try {
    const topics = AssignerProtocol.MemberAssignment.decode(assignment)?.assignment ?? {};
    return Object.entries(topics).flatMap(([topic, partitions]) =>
      partitions.map((partition) => ({ topic, partition })),
    );
  } catch {
    return [];
  }
}
