import type { GroupDescription, GroupMember, InspectionAdmin } from '../inspection-port.ts';
import type { TopicPartition } from '../kafka-port.ts';
import type { Logger } from '../logger.ts';
import type { GroupCommit } from '../topics/adopt-partitions.ts';
import { safeOffset } from './cluster.ts';
import { kafkaClient, type KafkaConnection } from './kafkajs-port.ts';
import { AssignerProtocol, type Admin, type KafkaClient } from './kafkajs.ts';

/** Opens a `KafkajsInspectionAdmin` on this cluster. Connects with its first call. */
export function kafkajsInspectionAdmin(connection: KafkaConnection, logger: Logger): KafkajsInspectionAdmin {
  return new KafkajsInspectionAdmin(kafkaClient(connection, logger));
}

/** `InspectionAdmin` over kafkajs. Connects with the first call. */
export class KafkajsInspectionAdmin implements InspectionAdmin {
  readonly #admin: Admin;
  #connecting: Promise<void> | null = null;

  constructor(kafka: KafkaClient) {
    this.#admin = kafka.admin();
  }

  async partitionCounts(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    await this.#connect();
    // Asking for the metadata of a missing topic could make it (auto.create.topics.enable).
    const all = new Set(await this.#admin.listTopics());
    const present = topics.filter((topic) => all.has(topic));
    if (present.length === 0) return new Map();
    const { topics: found } = await this.#admin.fetchTopicMetadata({ topics: present });
    return new Map(found.map(({ name, partitions }) => [name, partitions.length]));
  }

  async committedOffsets(groupId: string, topic: string): Promise<ReadonlyMap<number, GroupCommit>> {
    await this.#connect();
    const [answer] = await this.#admin.fetchOffsets({ groupId, topics: [topic] });
    const commits = (answer?.partitions ?? []).map(
      ({ partition, offset, metadata }) => [partition, { offset: safeOffset(offset), metadata }] as const,
    );
    return new Map(commits.filter(([, { offset }]) => offset >= 0));
  }

  async offsetsAt(topic: string, timestamp: number): Promise<ReadonlyMap<number, number>> {
    await this.#connect();
    const offsets = await this.#admin.fetchTopicOffsetsByTimestamp(topic, timestamp);
    return new Map(offsets.map(({ partition, offset }) => [partition, safeOffset(offset)]));
  }

  async describeGroup(groupId: string): Promise<GroupDescription> {
    await this.#connect();
    const { groups } = await this.#admin.describeGroups([groupId]);
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

  async close(): Promise<void> {
    if (!this.#connecting) return;
    await this.#connecting.catch(() => undefined);
    this.#connecting = null;
    await this.#admin.disconnect();
  }

  #connect(): Promise<void> {
    this.#connecting ??= this.#admin.connect().catch((error: unknown) => {
      this.#connecting = null;
      throw error;
    });
    return this.#connecting;
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
