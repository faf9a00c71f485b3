import type {
  AppendOutcome,
  KafkaPort,
  PartitionReader,
  PartitionWriter,
  Producer,
} from '../../streams/kafka-port.ts';
import { spoiledOnRelease } from '../support/spoiled-on-release.ts';
import type { Chance } from './chance.ts';
import type { MembershipObserver } from './memberships.ts';
import type { Network } from './network.ts';
import { SimulatedConsumer } from './simulated-consumer.ts';
import type { SimulatedKafka } from './simulated-kafka.ts';
import type { SimulatedProcess } from './simulated-process.ts';

/** PROTOCOL A3: what isn't answered after this has been given up, and its connection with it. */
const DEADLINE_MS = 8_000;
/** How often the partition's leader must be asked for before something is written. */
const LEADER_UNKNOWN = 0.1;
const CUT_WHEN_SLOW = 0.5;

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
    partitionWriter: () => simulatedWriter(options),
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
            else answer(spoiledOnRelease(kafka.read(at, offset)));
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

function simulatedWriter({ process, kafka, network, chance }: SimulatedPortOptions): PartitionWriter {
  const failedWith = (error: Error): AppendOutcome => ({ kind: 'failed', error });
  return {
    append: async (at, records, mayStart) => {
      const isLeaderKnown =
        !chance.is(LEADER_UNKNOWN) ||
        (await network
          .call<boolean>(process, 'leader', (answer) => {
            answer(true);
          })
          .catch(() => false));
      if (!isLeaderKnown) return failedWith(new Error('the leader is not known'));
      if (!mayStart()) return { kind: 'not_started' };
      // On a slow network the connection may break while the request lies at the broker, which serves it later.
      const isCut = network.faults.slow > 0 && chance.is(CUT_WHEN_SLOW);
      const deadline = Promise.withResolvers<AppendOutcome>();
      const cancel = process.schedule(isCut ? chance.between(1, 3_000) : DEADLINE_MS, () => {
        deadline.resolve({ kind: 'open', error: new Error('no answer came') });
      });
      // The bytes leave now, whatever becomes of them in the process.
      const sent = Array.from({ length: records.length }, (_, i) => {
        const { key, value, ...record } = records.at(i);
        return { ...record, key: key && Buffer.from(key), value: value && Buffer.from(value) };
      });
      const answered = network
        .call<AppendOutcome>(process, 'append', (answer) => {
          if (kafka.isReadOnly) {
            answer(failedWith(new Error('NOT_ENOUGH_REPLICAS')));
            return;
          }
          const baseOffset = kafka.end(at);
          for (const record of sent) kafka.append(at, record);
          answer({ kind: 'stored', baseOffset });
        })
        .catch((error: unknown): AppendOutcome => ({ kind: 'open', error: error as Error }));
      const outcome = await Promise.race([answered, deadline.promise]);
      cancel();
      return outcome;
    },
    close: () => Promise.resolve(),
  };
}
