import type { KafkaPort, PartitionReader, Producer } from '../../streams/kafka-port.ts';
import type { Chance } from './chance.ts';
import type { MembershipObserver } from './memberships.ts';
import type { Network } from './network.ts';
import { SimulatedConsumer } from './simulated-consumer.ts';
import type { SimulatedKafka } from './simulated-kafka.ts';
import type { SimulatedProcess } from './simulated-process.ts';

export interface SimulatedPortOptions {
  readonly process: SimulatedProcess;
  readonly kafka: SimulatedKafka;
  readonly network: Network;
  readonly chance: Chance;
  readonly memberships: MembershipObserver;
  /** The process has a new consumer, which takes the place of the one before. */
  readonly onConsumer: (consumer: SimulatedConsumer) => void;
}

/** How one process reaches the simulated Kafka: over the network, and no more once it is dead. */
export function simulatedPort(options: SimulatedPortOptions): KafkaPort {
  const { process } = options;
  let members = 0;
  const newMemberId = (): string => `${process.name}.${++members}`;
  return {
    groupConsumer: () => {
      const consumer = new SimulatedConsumer({ ...options, newMemberId });
      options.onConsumer(consumer);
      return consumer;
    },
    partitionReader: () => simulatedReader(options),
    producer: () => simulatedProducer(options),
  };
}

function simulatedReader({ process, kafka, network }: SimulatedPortOptions): PartitionReader {
  return {
    bounds: (at) =>
      network.call(process, 'bounds', (answer) => {
        answer({ start: kafka.start(at), end: kafka.end(at) });
      }),
    read: (at, offset, maxWaitMs) =>
      network.call(process, `read ${at.topic}`, (answer, fail) => {
        if (offset > kafka.end(at)) fail(new Error('OFFSET_OUT_OF_RANGE'));
        else
          kafka.whenReadable([{ ...at, offset }], maxWaitMs, () => {
            if (offset < kafka.start(at)) fail(new Error('OFFSET_OUT_OF_RANGE'));
            else answer(kafka.read(at, offset));
          });
      }),
    close: () => Promise.resolve(),
  };
}

function simulatedProducer({ process, kafka, network }: SimulatedPortOptions): Producer {
  return {
    send: (topic, records) =>
      network.call(process, 'produce', (answer, fail) => {
        if (kafka.isReadOnly) {
          fail(new Error('NOT_ENOUGH_REPLICAS'));
          return;
        }
        const baseOffset = kafka.end({ topic, partition: 0 });
        for (const record of records) kafka.append({ topic, partition: 0 }, record);
        answer([{ partition: 0, baseOffset }]);
      }),
    close: () => Promise.resolve(),
  };
}
