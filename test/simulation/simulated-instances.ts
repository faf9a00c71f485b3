import type { KafkaPort } from '../../streams/kafka-port.ts';
import type { Phase } from './network.ts';
import type { SimulatedConsumer } from './simulated-consumer.ts';
import type { SimulatedCredentials } from './simulated-credentials.ts';
import { MUTATIONS, SimulatedInstance, TOPICS } from './simulated-instance.ts';
import { simulatedPort } from './simulated-port.ts';
import { SimulatedProcess, type FrozenClocks } from './simulated-process.ts';
import { targetOf, type SimulatedReplication } from './simulated-replications.ts';
import type { SimulatedSinks } from './simulated-sink.ts';
import type { World } from './world.ts';

const CALLS = [
  'send',
  'commit',
  'committed',
  'fetch',
  'join',
  'sync',
  'heartbeat',
  'produce',
  'bounds',
  `read ${MUTATIONS}`,
  `read ${TOPICS.replicationConfig}`,
] as const;
const PHASES: readonly Phase[] = ['sent', 'served', 'answered'];
/** By log line: what the engine has just done. */
const MILESTONES: readonly (readonly [RegExp, string])[] = [
  [/waits for the replication no longer/, 'detached'],
  [/has caught up/, 're-attached'],
  [/partitions claimed/, 'claimed'],
  [/it is started anew/, 'consumer restarted'],
  [/→ ERROR/, 'replication in ERROR'],
  [/a commit failed/, 'commit failed'],
  [/could be delivered in time/, 'stopped undrained'],
];

export interface SimulatedInstancesOptions {
  readonly world: World;
  readonly sinks: SimulatedSinks;
  readonly credentials: SimulatedCredentials;
  readonly findReplication: (id: unknown) => SimulatedReplication | null;
}

/** The instances of one simulated world: whoever dies is started anew, and faults may befall them. */
export class SimulatedInstances {
  readonly #options: SimulatedInstancesOptions;
  readonly #world: World;
  readonly #consumers = new Map<SimulatedProcess, SimulatedConsumer>();
  #all: SimulatedInstance[] = [];
  #started = 0;
  #armed: { readonly name: string; readonly phase: Phase; skip: number } | null = null;
  /** When a replication was last detached. */
  detachedAt = -Infinity;

  constructor(options: SimulatedInstancesOptions) {
    this.#options = options;
    this.#world = options.world;
    this.#world.network.onPhase = (process, name, phase) => {
      this.#onPhase(process, name, phase);
    };
  }

  /** Those that live. */
  get all(): readonly SimulatedInstance[] {
    return this.#all;
  }

  /** One of them; null when none lives. */
  any(): SimulatedInstance | null {
    return this.#all.length > 0 ? this.#world.chance.of(this.#all) : null;
  }

  find(processName: string | undefined): SimulatedInstance | null {
    return this.#all.find(({ process }) => process.name === processName) ?? null;
  }

  start(): void {
    const { world, sinks, credentials } = this.#options;
    const { chance, scheduler, scenario, kafka } = world;
    this.#started += 1;
    const process = new SimulatedProcess(`i${this.#started}`, scheduler);
    const instance = new SimulatedInstance({
      process,
      port: this.portOf(process),
      adapter: sinks.adapter(process),
      scenario,
      partitions: () => kafka.coordinator.partitions.length,
      resolver: (sealed) => credentials.resolver(sealed),
      random: chance.fraction,
      onLog: (level, message, fields) => {
        this.#onLog(process, level, message, fields);
      },
    });
    this.#all.push(instance);
    world.note(`${process.name} starts`);
    const onEnd = (error: unknown): void => {
      if (process.isDead || instance.isStopping) return;
      world.note(`${process.name} ends: ${error instanceof Error ? error.message : String(error)}`);
      world.reach('ended by itself');
      this.kill(instance);
    };
    // An orchestrator changes its mind, when partitions were perhaps just taken over.
    if (world.has('stops') && chance.is(0.3)) {
      scheduler.at(chance.between(500, 9_000), () => {
        if (world.has('stops') && !process.isDead) this.stop(instance);
      });
    }
    instance.application.failed.catch(onEnd);
    instance.application.start().catch(onEnd);
  }

  /** How a process reaches Kafka. */
  portOf(process: SimulatedProcess): KafkaPort {
    const { kafka, network, chance, oracle } = this.#world;
    return simulatedPort({
      process,
      kafka,
      network,
      chance,
      memberships: oracle.memberships,
      onConsumer: (consumer) => {
        this.#consumers.set(process, consumer);
      },
    });
  }

  /** One of them dies when it next makes a call of some kind, or one after that. */
  arm(): void {
    const { chance, scenario } = this.#world;
    const calls = scenario.hasSnapshot ? [...CALLS, 'append', 'leader'] : CALLS;
    this.#armed = { name: chance.of(calls), phase: chance.of(PHASES), skip: chance.mostlyLow(0, 20) };
  }

  kill(instance: SimulatedInstance): void {
    const world = this.#world;
    const { chance, scheduler } = world;
    const { process } = instance;
    if (process.isDead) return;
    for (const { name } of process.pending) world.reach(`crash at ${name}`);
    world.note(`${process.name} dies${[...process.pending].map(({ name }) => ` ${name}`).join(',')}`);
    process.kill(() => chance.is(0.5));
    // An operator takes the dead member out of the group: nobody waits for its session to expire.
    if (chance.is(0.4)) {
      scheduler.at(chance.mostlyLow(0, 300), () => {
        world.reach('expelled after its death');
        world.kafka.coordinator.expel(process.name);
      });
    }
    this.#all = this.#all.filter((candidate) => candidate !== instance);
    scheduler.at(world.isHealed ? 100 : chance.mostlyLow(100, 30_000), () => {
      this.start();
    });
  }

  /** SIGTERM, unless it stands still or was told before. */
  stop(instance: SimulatedInstance): void {
    const world = this.#world;
    const { process } = instance;
    if (process.isFrozen || instance.isStopping) return;
    world.note(`${process.name} is told to stop`);
    world.reach('stopped');
    instance.isStopping = true;
    const ended = (): void => {
      if (!process.isDead) this.kill(instance);
    };
    process.enter(() => {
      void instance.application.close(world.chance.of([0, 2_000, 10_000])).then(ended);
    });
    // A second signal, or the orchestrator's patience.
    world.scheduler.at(30_000, ended);
  }

  freeze(instance: SimulatedInstance, clocks: FrozenClocks): void {
    const world = this.#world;
    const forMs = world.chance.of([500, 5_000, 12_000, 25_000, 45_000]);
    world.note(`${instance.process.name} freezes for ${forMs} ms, clocks ${clocks}`);
    world.reach('frozen');
    instance.process.freeze(clocks);
    world.scheduler.at(forMs, () => {
      this.#thaw(instance);
    });
  }

  crashConsumer({ process }: SimulatedInstance): void {
    if (process.isFrozen) return;
    this.#world.note(`the consumer of ${process.name} crashes`);
    this.#world.reach('consumer crashed');
    process.enter(() => void this.#consumers.get(process)?.crash());
  }

  /** Whatever stands still goes on, and somebody is there. */
  heal(): void {
    for (const instance of this.#all) this.#thaw(instance);
    if (this.#all.length === 0) this.start();
  }

  #thaw({ process }: SimulatedInstance): void {
    if (!process.isFrozen) return;
    this.#world.note(`${process.name} thaws`);
    process.thaw();
  }

  #onLog(process: SimulatedProcess, level: string, message: string, fields: object): void {
    const { world, findReplication } = this.#options;
    const { replication_id: id, partition, error } = fields as Record<string, unknown>;
    world.note(
      `${process.name} ${level}: ${message}${typeof id === 'string' ? ` ${id}` : ''}${typeof partition === 'number' ? ` p${partition}` : ''}${error instanceof Error ? ` (${error.message})` : ''}`,
    );
    const replication = findReplication(id);
    const lost = /offsets (\d+) to (\d+) are lost/.exec(message);
    if (lost) {
      world.reach('lost to retention');
      const target = replication && targetOf(replication);
      world.oracle.told(target, Number(partition), Number(lost[1]), Number(lost[2]) + 1);
    }
    for (const [pattern, name] of MILESTONES) {
      if (!pattern.test(message)) continue;
      world.reach(name);
      if (name === 'detached') {
        this.detachedAt = world.scheduler.now;
        if (replication) world.oracle.detached(targetOf(replication));
      }
      if (world.has('kills') && world.chance.is(0.05)) this.#killSoon(process, name);
    }
  }

  /** A crash in the very step, or shortly after. */
  #killSoon(process: SimulatedProcess, milestone: string): void {
    const world = this.#world;
    world.scheduler.at(world.chance.mostlyLow(0, 300), () => {
      const instance = this.find(process.name);
      if (!instance || world.isHealed) return;
      world.reach(`crash after: ${milestone}`);
      this.kill(instance);
    });
  }

  #onPhase(process: SimulatedProcess, name: string, phase: Phase): void {
    const world = this.#world;
    const armed = this.#armed;
    if (!armed || armed.name !== name || armed.phase !== phase || world.isHealed || process.isDead) return;
    armed.skip -= 1;
    if (armed.skip >= 0) return;
    this.#armed = null;
    const instance = this.find(process.name);
    if (!instance) return;
    world.reach(`crash when ${name} was ${phase}`);
    world.reach(`crash when something was ${phase}`);
    this.kill(instance);
  }
}
