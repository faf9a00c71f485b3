import { StatusTable } from '../../processors/status-table.ts';
import { parseMutationSource } from '../../schemas/mutation-source.ts';
import type { OwnPosition } from '../../streams/commit-metadata.ts';
import type { ProducedRecord } from '../../streams/kafka-port.ts';
import type { GroupCommit } from '../../streams/topics/adopt-partitions.ts';
import { adoptAdded } from './partition-operator.ts';
import type { Fault } from './scenario.ts';
import { SimulatedCredentials } from './simulated-credentials.ts';
import { MUTATIONS, SNAPSHOT, TOPICS, type SimulatedInstance } from './simulated-instance.ts';
import { SimulatedInstances } from './simulated-instances.ts';
import { SimulatedProcess } from './simulated-process.ts';
import { idOf, SimulatedReplications, targetOf } from './simulated-replications.ts';
import { MOODS, SimulatedSinks } from './simulated-sink.ts';
import { SimulatedSyncs } from './simulated-syncs.ts';
import { World } from './world.ts';

/** What came of one seed. */
export interface SimulationResult {
  readonly seed: number;
  /** Promises that were broken, the first one first. */
  readonly violations: readonly string[];
  /** The last lines before the first violation, or all when asked for. */
  readonly trace: readonly string[];
  /** How often each state was reached. */
  readonly reached: ReadonlyMap<string, number>;
  readonly simulatedMs: number;
  readonly steps: number;
}

export interface SimulationOptions {
  readonly seed: number;
  /** Given every line as it comes; null keeps the last ones only. */
  readonly onTrace: ((line: string) => void) | null;
}

const LONGEST_UNREST_MS = 420_000;
/** Beyond the limit: one record may begin a segment of each route, and one of the snapshot; this is the largest class of them. */
const SEGMENT_BYTES = 1536 * 1024;
const LONGEST_WAIT_MS = 3_000;

class Simulation {
  readonly #world: World;
  readonly #sinks: SimulatedSinks;
  readonly #instances: SimulatedInstances;
  readonly #replications: SimulatedReplications;
  readonly #syncs: SimulatedSyncs;
  readonly #status = new StatusTable();
  readonly #users: { readonly id: string; partition: number; readonly datamart: string }[] = [];
  /** By partition: whose commit was the last. */
  readonly #committers = new Map<number, string>();
  /** Partitions whose commit has lost its metadata, and wasn't written since. */
  readonly #withoutMetadata = new Set<number>();
  #produced = 0;
  /** How many partitions are worked on. */
  #pinned = 0;
  #isAtRest = false;

  constructor({ seed, onTrace }: SimulationOptions) {
    const world = new World(seed, onTrace);
    const { scheduler, chance, network, oracle, scenario } = world;
    this.#world = world;
    const credentials = new SimulatedCredentials(chance, () => scheduler.now);
    this.#sinks = new SimulatedSinks({
      scheduler,
      chance,
      network,
      observer: oracle,
      isAuthenticated: (target, text) => credentials.isAccepted(idOf(target), text),
      maxRecords: scenario.maxRecords,
      hasHiccups: !scenario.isIsolated,
    });
    this.#instances = new SimulatedInstances({
      world,
      sinks: this.#sinks,
      credentials,
      findReplication: (id) => this.#replications.find(id),
    });
    this.#replications = new SimulatedReplications({
      world,
      adapter: this.#sinks.adapter(new SimulatedProcess('rules', scheduler)),
      credentials,
      instances: () => this.#instances.all,
      onActivated: ({ datamart }) => {
        this.#disturbActivation(datamart);
      },
    });
    this.#syncs = new SimulatedSyncs(world, this.#replications);
    this.#listen();
    for (let i = 0; i < 6; i += 1) {
      this.#users.push({
        id: `4700c85f-17e3-4304-aa7f-dc14017300${String(i).padStart(2, '0')}`,
        partition: chance.between(0, scenario.partitions - 1),
        datamart: chance.is(0.75) ? '1' : '2',
      });
    }
  }

  async run(): Promise<SimulationResult> {
    const world = this.#world;
    const { seed, scenario, scheduler, chance, oracle, violations, trace, reached } = world;
    const users = this.#users.map(({ partition, datamart }) => `p${partition}/${datamart}`);
    world.note(
      `seed ${seed}: ${JSON.stringify({ ...scenario, faults: [...scenario.faults] })} users ${users.join(' ')}`,
    );
    for (let i = 0; i < scenario.replications; i += 1) this.#replications.create();
    for (let i = 0; i < scenario.instances; i += 1) {
      scheduler.at(i === 0 ? 0 : chance.between(0, 20_000), () => {
        this.#instances.start();
      });
    }
    this.#produceOn();
    this.#faultOn();
    scheduler.at(scenario.activeMs, () => {
      this.#heal();
    });
    this.#watch();
    try {
      await scheduler.run(() => this.#isAtRest || violations.length > 0);
    } catch (error) {
      world.violated(`something threw: ${textOf(error)}`);
    }
    if (violations.length === 0) oracle.atRest();
    if (violations.length === 0) world.snapshotOracle?.atRest();
    world.reach('duplicates', oracle.duplicates);
    return { seed, violations, trace, reached, simulatedMs: scheduler.now, steps: scheduler.steps };
  }

  /** An error that nobody handled. */
  onUnhandled(error: unknown): void {
    this.#world.violated(`nobody handled ${textOf(error)}`);
  }

  #listen(): void {
    const world = this.#world;
    const { kafka, oracle, scheduler } = world;
    kafka.coordinator.onCommit = (memberId, generationId, offsets) => {
      const committer = memberId.split('.')[0] ?? '';
      for (const { partition, metadata } of offsets) this.#onCommitted(partition, committer, metadata);
      oracle.onCommit(committer, generationId, offsets);
      for (const { partition, offset } of offsets) world.snapshotOracle?.onCommit(partition, offset);
    };
    kafka.coordinator.onGeneration = (generationId, members) => {
      world.note(`generation ${generationId} with ${members} members`);
      world.reach('generations');
      if (this.#replications.all.some(({ isDetached }) => isDetached))
        world.reach('rebalance during a detach');
      if (scheduler.now - this.#instances.detachedAt < 2_000) world.reach('rebalance right after a detach');
    };
    kafka.onAppend = ({ topic, partition }, record) => {
      const key = record.key?.toString() ?? '';
      if (topic === TOPICS.deadLetters) {
        world.reach('dead letters');
        if (record.headers.dead_letter_topic === SNAPSHOT) this.#onRejectedRow(record);
        else oracle.onDeadLetter(record);
      } else if (topic === TOPICS.initialSyncExecutions) {
        this.#syncs.onRecord(key, record.value);
      } else if (topic === TOPICS.replicationStatus) {
        this.#onStatus(key, record.value);
      } else if (topic === SNAPSHOT) {
        world.reach(record.value === null ? 'snapshot deletions' : 'snapshot records');
        world.snapshotOracle?.onAppend(partition, record);
      } else if (topic === TOPICS.replicationCredentials && record.value === null) {
        this.#replications.onShredded(key);
      }
    };
  }

  #onRejectedRow({ headers }: ProducedRecord): void {
    const at = { topic: SNAPSHOT, partition: Number(headers.dead_letter_partition) };
    const row = this.#world.kafka.recordAt(at, Number(headers.dead_letter_offset));
    const source = parseMutationSource(String(row?.headers.source));
    this.#world.reach('rows rejected');
    this.#world.oracle.onRejectedRow(
      String(headers.dead_letter_replication_id),
      at.partition,
      source?.offset ?? -1,
    );
  }

  #onCommitted(partition: number, committer: string, metadata: string): void {
    const world = this.#world;
    this.#committers.set(partition, committer);
    if (!this.#withoutMetadata.delete(partition)) return;
    world.reach('claimed without metadata');
    const x = world.metadata.read(partition, metadata)?.x ?? [];
    if (x.length > 0) world.reach('positions taken from reports');
  }

  #onStatus(key: string, value: Buffer | null): void {
    const world = this.#world;
    if (world.metadata.onStatus(key, value)) {
      if (value !== null) world.reach('positions in a list');
      return;
    }
    if (key !== `partitions/${MUTATIONS}` || value === null) {
      this.#status.apply(key, value);
      this.#replications.onStatus(key, value);
      return;
    }
    const { count } = JSON.parse(value.toString()) as { count: number };
    world.note(`${count} partitions are worked on`);
    if (this.#pinned > 0 && count > this.#pinned) world.reach('partition adopted');
    this.#pinned = count;
    world.oracle.pinned(count);
  }

  // What the world does by itself.

  #produceOn(): void {
    const { scenario, scheduler, chance } = this.#world;
    scheduler.at(chance.between(1, scenario.everyMs * 2), () => {
      if (this.#world.isHealed) return;
      const burst = chance.is(0.05) ? chance.between(5, 40) : 1;
      for (let i = 0; i < burst; i += 1) this.#produce();
      this.#produceOn();
    });
  }

  #produce(): void {
    const { chance, kafka, oracle, scheduler, scenario } = this.#world;
    const { id, partition, datamart } = chance.of(this.#users);
    const at = { topic: MUTATIONS, partition };
    const offset = kafka.end(at);
    const isReadable = !(scenario.faults.has('unreadable') && chance.is(0.02));
    const activity = chance.is(0.6) ? `a${chance.mostlyLow(0, scenario.documents - 1)}` : null;
    const isDelete = chance.is(scenario.deletions);
    const pad = 'x'.repeat(scenario.valueBytes);
    const record = {
      datamart_id: Number(datamart),
      user_point_id: id,
      ts: 1_676_627_112_685,
      op: isDelete ? 'DELETE' : 'UPDATE',
      doc_type: activity === null ? 'UserPoint' : 'UserActivity',
      ...(activity === null ? {} : { user_activity_id: activity }),
      ...(isDelete ? {} : { value: { n: offset, p: partition, pad } }),
    };
    oracle.produced(
      partition,
      {
        user: id,
        document: activity ?? 'UserPoint',
        docType: activity === null ? 0 : 1,
        datamart,
        sequence: this.#produced++,
        appendedAt: scheduler.now,
        isReadable,
        isDeletion: isDelete,
      },
      (target) => this.#replications.isWanted(target),
      (target) => this.#replications.isInGap(target),
    );
    const value = Buffer.from(isReadable ? JSON.stringify(record) : 'neither Avro nor JSON');
    const docId = activity === null ? id : `${id}:${activity}`;
    this.#world.snapshotOracle?.produced(partition, {
      key: isReadable ? `${datamart}/${record.doc_type}/${docId}` : null,
      value: isDelete ? null : value,
    });
    kafka.append(at, { key: Buffer.from(id), value, headers: {} });
  }

  // Faults.

  #faultOn(): void {
    const world = this.#world;
    const { scheduler, chance } = world;
    const { faultEveryMs, faults } = world.scenario;
    scheduler.at(chance.between(1, faultEveryMs * 2), () => {
      if (world.isHealed) return;
      if (faults.size > 0 && scheduler.now > 1_000) this.#fault(chance.of([...faults]));
      this.#faultOn();
    });
  }

  #fault(fault: Fault): void {
    const { chance, network, oracle } = this.#world;
    const instance = this.#instances.any();
    switch (fault) {
      case 'kills':
        if (chance.is(0.3)) {
          if (instance) this.#instances.kill(instance);
        } else {
          this.#instances.arm();
        }
        return;
      case 'stops':
        if (instance) this.#stop(instance);
        return;
      case 'freezes':
        if (instance) this.#instances.freeze(instance, chance.is(0.7) ? 'go on' : 'monotonic stands still');
        return;
      case 'consumer crashes':
        if (instance) this.#instances.crashConsumer(instance);
        return;
      case 'paused machines':
        oracle.isOrderRelaxed = true;
        if (instance) this.#instances.freeze(instance, 'both stand still');
        return;
      case 'clocks':
        oracle.isLeaseRelaxed = true;
        instance?.process.setWallClock(chance.of([-3_600_000, -30_000, -2_000, 2_000, 15_000, 3_600_000]));
        this.#world.note(`${instance?.process.name ?? ''} has another wall clock`);
        return;
      case 'network': {
        const rate = (): number => (chance.is(0.5) ? 0 : chance.of([0.02, 0.1, 0.3]));
        Object.assign(network.faults, { lostRequests: rate(), lostAnswers: rate(), slow: rate() });
        this.#world.note(`network ${JSON.stringify(network.faults)}`);
        return;
      }
      case 'cut off':
        if (instance) this.#cutOff(instance);
        return;
      case 'no coordinator':
        if (instance) this.#cutOffCoordinator(instance);
        return;
      case 'too few replicas':
        this.#storeNothingFor(chance.of([1_000, 5_000, 20_000]));
        return;
      case 'moods':
        this.#setMood();
        return;
      case 'configs':
        this.#replications.change();
        return;
      case 'retention':
        this.#passRetention();
        return;
      case 'credentials':
        this.#replications.flipCredentials();
        return;
      case 'lost metadata':
        this.#loseMetadata();
        return;
      case 'added partition':
        this.#addPartition();
        return;
      case 'initial syncs':
        this.#syncs.launch();
        return;
      case 'compaction':
        this.#compact();
        return;
      case 'unreadable':
      case 'rejections':
        return;
    }
  }

  /** Sometimes while a destination takes seconds for each request. */
  #stop(instance: SimulatedInstance): void {
    const world = this.#world;
    const { chance } = world;
    if (!world.has('moods') || chance.is(0.5)) {
      this.#instances.stop(instance);
      return;
    }
    world.reach('stopped while a destination crawls');
    this.#sinks.setMood(targetOf(chance.of(this.#replications.all)), 'crawls');
    world.scheduler.at(chance.between(1_000, 5_000), () => {
      if (!world.isHealed && !instance.process.isDead) this.#instances.stop(instance);
    });
  }

  #cutOff({ process }: SimulatedInstance): void {
    const world = this.#world;
    const forMs = world.chance.of([2_000, 10_000, 20_000, 40_000]);
    world.note(`${process.name} is cut off for ${forMs} ms`);
    world.network.cutOff(process, forMs);
  }

  #cutOffCoordinator({ process }: SimulatedInstance): void {
    const world = this.#world;
    const forMs = world.chance.of([3_000, 8_000, 20_000, 40_000]);
    world.note(`${process.name} does not reach the coordinator for ${forMs} ms`);
    world.network.cutOffCoordinator(process, forMs);
  }

  #storeNothingFor(forMs: number): void {
    const { kafka, scheduler } = this.#world;
    this.#world.note(`nothing can be stored for ${forMs} ms`);
    this.#world.reach('nothing stored');
    kafka.readOnlyUntil = Math.max(kafka.readOnlyUntil, scheduler.now + forMs);
  }

  #setMood(): void {
    const world = this.#world;
    const replication = world.chance.of(this.#replications.all);
    if (this.#replications.isSteady(replication)) return;
    const target = targetOf(replication);
    const mood = world.chance.is(0.3) ? 'works' : world.chance.of(MOODS);
    world.note(`${target} ${mood}`);
    world.reach(`mood ${mood}`);
    this.#sinks.setMood(target, mood);
  }

  #passRetention(): void {
    const world = this.#world;
    const { chance, kafka } = world;
    const at = this.#oldPartition();
    const [start, end] = [kafka.start(at), kafka.end(at)];
    const committed = kafka.committed(at).offset;
    // Before its first commit nothing is promised to a group but that it begins where the log does.
    if (start === end || committed === null) return;
    const upTo = chance.is(0.7) ? Math.min(end, Math.max(start, committed)) : end;
    const next = chance.between(start, upTo);
    world.note(`retention takes p${at.partition} below ${next}`);
    world.reach('retention');
    kafka.deleteBefore(at, next);
    world.oracle.retained(at.partition, next);
    world.snapshotOracle?.retained(at.partition, next);
  }

  #compact(): void {
    const { chance, kafka } = this.#world;
    const at = { topic: SNAPSHOT, partition: this.#oldPartition().partition };
    const below = chance.between(0, kafka.end(at));
    this.#world.note(`p${at.partition} of the snapshot is compacted below ${below}`);
    this.#world.reach('compaction');
    kafka.compactBefore(at, below);
  }

  /** Also while an instance has not read yet what is to be synchronized. */
  #synchronizeSoon(datamart: string): void {
    const world = this.#world;
    const { chance, network } = world;
    const late = this.#instances.any();
    if (late && chance.is(0.5)) {
      world.note(`${late.process.name} can't read the configs`);
      network.cutOffTopic(late.process, TOPICS.replicationConfig, chance.between(1_000, 8_000));
    }
    world.scheduler.at(chance.mostlyLow(0, 5_000), () => {
      if (!world.isHealed) this.#syncs.launch(datamart);
    });
  }

  /** What an activation leaves behind isn't stored at once, or not before a crash, or it is what somebody has waited for. */
  #disturbActivation(datamart: string): void {
    const world = this.#world;
    const { chance } = world;
    if (world.has('initial syncs')) this.#synchronizeSoon(datamart);
    if (world.has('too few replicas') && chance.is(0.5)) this.#storeNothingFor(chance.between(1_500, 4_000));
    if (!world.has('kills') || !chance.is(0.3)) return;
    world.scheduler.at(chance.between(500, 2_500), () => {
      const instance = this.#instances.any();
      if (world.isHealed || !instance) return;
      world.reach('crash after: an activation');
      this.#instances.kill(instance);
    });
  }

  /**
   * The owner of a partition dies, and before the next one reads its commit another program has written that, without what
   * travelled with it. PROTOCOL A1 promises something then if everything that was parked had been reported.
   */
  #loseMetadata(): void {
    const world = this.#world;
    const { chance, kafka, scheduler } = world;
    const at = this.#oldPartition();
    const owner = this.#instances.find(this.#committers.get(at.partition));
    if (owner) this.#instances.kill(owner);
    scheduler.at(chance.mostlyLow(0, 3_000), () => {
      const { offset, metadata } = kafka.committed(at);
      const committed = world.metadata.read(at.partition, metadata);
      if (world.isHealed || offset === null || !committed?.isReadable) return;
      if (!committed.x.every((own) => this.#isReported(own, at.partition))) return;
      world.note(`the commit of p${at.partition} loses its metadata`);
      world.reach('metadata lost');
      kafka.overwriteMetadata(at, chance.of(['', 'somebody else’s']));
      this.#withoutMetadata.add(at.partition);
      world.oracle.metadataLost(at.partition);
      this.#syncs.metadataLost(at.partition);
    });
  }

  #isReported({ replication }: OwnPosition, partition: number): boolean {
    const owner = this.#world.oracle.ownerOf(replication);
    if (!owner) return true;
    const report = this.#status.report(owner.id, MUTATIONS, partition);
    return report !== null && report.state !== 'ACTIVE';
  }

  /** Producers hash some of the users to it at once; who works on the topic notices later, and an operator adopts it. */
  #addPartition(): void {
    const world = this.#world;
    const { chance, scheduler, scenario } = world;
    const { coordinator } = world.kafka;
    const pinned = scenario.partitions;
    if (this.#pinned === 0 || coordinator.partitions.length > pinned) return;
    world.note(`the topic gets partition ${pinned}`);
    world.reach('partition added');
    coordinator.addPartition({ topic: MUTATIONS, partition: pinned });
    for (const user of this.#users) if (chance.is(0.5)) user.partition = pinned;
    scheduler.at(chance.between(500, 20_000), () => {
      coordinator.rebalance();
    });
    scheduler.at(chance.mostlyLow(500, 30_000), () => {
      const process = new SimulatedProcess('operator', scheduler);
      const port = this.#instances.portOf(process);
      const options = { process, port, random: chance.fraction, commits: () => this.#commits() };
      void adoptAdded(options, { pinned, partitions: pinned + 1 });
    });
  }

  /** What the group has committed, by partition. */
  #commits(): ReadonlyMap<number, GroupCommit> {
    const { kafka } = this.#world;
    const commits = new Map<number, GroupCommit>();
    for (const at of kafka.coordinator.partitions) {
      const { offset, metadata } = kafka.committed(at);
      if (offset !== null) commits.set(at.partition, { offset, metadata });
    }
    return commits;
  }

  /** One of the partitions that were there from the beginning. */
  #oldPartition(): { readonly topic: string; readonly partition: number } {
    const { chance, scenario } = this.#world;
    return { topic: MUTATIONS, partition: chance.between(0, scenario.partitions - 1) };
  }

  // The end.

  #heal(): void {
    const world = this.#world;
    world.isHealed = true;
    world.note('everything is healed');
    world.network.healAll();
    world.kafka.readOnlyUntil = 0;
    this.#sinks.healAll();
    this.#instances.heal();
    this.#replications.heal();
    this.#syncs.heal();
  }

  #watch(): void {
    this.#world.scheduler.at(500, () => {
      for (const instance of this.#instances.all) void this.#checkMemory(instance);
      this.#checkIsolation();
      if (this.#world.isHealed) this.#checkRest();
      this.#watch();
    });
  }

  async #checkMemory(instance: SimulatedInstance): Promise<void> {
    const held = await instance.heldBytes();
    const { memoryBytes, replications, hasSnapshot, faults } = this.#world.scenario;
    const hasSyncs = faults.has('initial syncs');
    if (held > memoryBytes + (replications * (hasSyncs ? 2 : 1) + (hasSnapshot ? 1 : 0)) * SEGMENT_BYTES)
      this.#world.violated(`${instance.process.name} holds ${held} bytes`);
    if (held < 0) this.#world.violated(`${instance.process.name} has given more bytes back than it had`);
  }

  #checkIsolation(): void {
    const world = this.#world;
    const [steady] = this.#replications.all;
    if (!world.scenario.isIsolated || !steady || world.scheduler.now < 20_000) return;
    const waits = world.oracle.waitsFor(targetOf(steady));
    if (waits > LONGEST_WAIT_MS)
      world.violated(`${targetOf(steady)} has waited for ${waits} ms, for nobody's fault but the others'`);
  }

  #checkRest(): void {
    const { oracle, scheduler, scenario } = this.#world;
    const missing = oracle.missing() ?? this.#uncommitted() ?? this.#syncs.unended;
    if (missing === null) {
      this.#isAtRest = true;
      return;
    }
    if (scheduler.now - scenario.activeMs > LONGEST_UNREST_MS)
      this.#world.violated(`the world does not come to rest: ${missing}`);
  }

  #uncommitted(): string | null {
    const { kafka, metadata, oracle } = this.#world;
    for (const at of kafka.coordinator.partitions) {
      const { partition } = at;
      const { offset, metadata: text, logEnd } = kafka.committed(at);
      if ((offset ?? 0) !== logEnd) return `p${partition} is committed to ${offset ?? 0} of ${logEnd}`;
      const open = metadata
        .read(partition, text)
        ?.x.find(({ position, replication }) => position !== logEnd && oracle.ownerOf(replication) !== null);
      if (open) return `p${partition} has a position of its own at ${open.position} of ${logEnd}`;
    }
    return null;
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Runs the world of one seed to its end. */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new Simulation(options);
  const onUnhandled = (error: unknown): void => {
    simulation.onUnhandled(error);
  };
  process.on('unhandledRejection', onUnhandled);
  try {
    return await simulation.run();
  } finally {
    process.off('unhandledRejection', onUnhandled);
  }
}
