import { readAll } from '../support/kafka.ts';
import type { ProcessorProcess } from '../support/processor-process.ts';
import type { ReplicatedUsers } from '../support/replicated-users.ts';

/**
 * What a lost instance had sent may be stored for so long; nobody else may send before (PROTOCOL A3: the session lasts
 * 24 s, and the new owner's quiet time 10 s).
 */
const IN_FLIGHT_MS = 15_000;

/** An instance that stopped working at a moment, and what it owned then, as `topic/partition`. */
export interface Loss {
  readonly partitions: readonly string[];
  /** Of the wall clock. */
  readonly atMs: number;
}

/** Ask right before the instance is killed, frozen or blocked. */
export async function lossOf(processor: ProcessorProcess): Promise<Loss> {
  const partitions = await processor.ownedPartitions();
  if (partitions.length === 0) throw new Error('the instance owns nothing: its loss would show nothing');
  return { partitions, atMs: Date.now() };
}

/**
 * How many milliseconds after each loss the first operation out of one of its partitions arrived, sent by whoever owned
 * it then; Infinity where none did.
 */
export async function takeovers(users: ReplicatedUsers, losses: readonly Loss[]): Promise<readonly number[]> {
  const { deployment, pubsub } = users;
  const partitionOf = new Map<string, string>();
  for (const topic of deployment.topics.mutations) {
    for (const { partition, value } of await readAll(topic, deployment.brokers)) {
      const operation = users.operationOf(value ?? Buffer.alloc(0));
      if (operation) partitionOf.set(operation.bytes, `${topic}/${partition}`);
    }
  }
  const arrivals = pubsub.messages.map(({ data, storedAt }) => ({
    storedAt,
    partition: partitionOf.get(data.toString('latin1')) ?? '',
  }));
  return losses.map(({ partitions, atMs }) => {
    const first = arrivals.find(
      ({ storedAt, partition }) => storedAt > atMs + IN_FLIGHT_MS && partitions.includes(partition),
    );
    return (first?.storedAt ?? Infinity) - atMs;
  });
}
