import type { ReplicationTable } from '../../processors/replication-table.ts';
import { parseCommitMetadata } from '../../streams/commit-metadata.ts';
import { Chance } from './chance.ts';
import { Network, type Phase } from './network.ts';
import { Oracle } from './oracle.ts';
import { scenarioOf, type Fault, type Scenario } from './scenario.ts';
import { Scheduler } from './scheduler.ts';
import type { SimulatedConsumer } from './simulated-consumer.ts';
import { makeTable, MUTATIONS, SimulatedInstance, SNAPSHOT, TOPICS } from './simulated-instance.ts';
import { SimulatedKafka } from './simulated-kafka.ts';
import { simulatedPort } from './simulated-port.ts';
import { SimulatedProcess, type FrozenClocks } from './simulated-process.ts';
import { MOODS, SimulatedSinks } from './simulated-sink.ts';
import { SnapshotOracle } from './snapshot-oracle.ts';

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

const TRACE_LINES = 60;
const LONGEST_UNREST_MS = 420_000;
/** Beyond the limit: one record may begin a segment of each route, and one of the snapshot; this is the largest class of them. */
const SEGMENT_BYTES = 1536 * 1024;
const LONGEST_WAIT_MS = 3_000;
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

interface SimulatedReplication {
  readonly id: string;
  created: number;
  readonly datamart: string;
  readonly resume: 'NOW' | 'WHERE_STOPPED';
  readonly filter: readonly string[] | null;
  status: 'ACTIVE' | 'PAUSED' | 'DELETED';
  ordering: boolean;
  orderingLanes: number;
  messageId: boolean;
  /** Offset of its newest record. */
  offset: number;
  hasBeenActive: boolean;
  isInError: boolean;
  isDetached: boolean;
}

class Simulation {
  readonly #seed: number;
  readonly #scheduler = new Scheduler();
  readonly #chance: Chance;
  readonly #scenario: Scenario;
  readonly #network: Network;
  readonly #kafka: SimulatedKafka;
  readonly #sinks: SimulatedSinks;
  readonly #oracle: Oracle;
  readonly #snapshotOracle: SnapshotOracle | null;
  readonly #rules: ReplicationTable;
  readonly #onTrace: ((line: string) => void) | null;
  readonly #trace: string[] = [];
  readonly #violations: string[] = [];
  readonly #reached = new Map<string, number>();
  readonly #users: { readonly id: string; readonly partition: number; readonly datamart: string }[] = [];
  readonly #replications: SimulatedReplication[] = [];
  readonly #consumers = new Map<SimulatedProcess, SimulatedConsumer>();
  #instances: SimulatedInstance[] = [];
  #started = 0;
  #isHealed = false;
  #isAtRest = false;
  #armed: { readonly name: string; readonly phase: Phase; skip: number } | null = null;
  #detachedAt = -Infinity;

  constructor({ seed, onTrace }: SimulationOptions) {
    this.#seed = seed;
    this.#onTrace = onTrace;
    this.#chance = new Chance(seed);
    const chance = this.#chance;
    this.#scenario = scenarioOf(seed, chance);
    const { partitions, windowRecords, maxFetch, maxRecords, faults, hasSnapshot } = this.#scenario;
    this.#network = new Network(this.#scheduler, chance);
    this.#network.onPhase = (process, name, phase) => {
      this.#onPhase(process, name, phase);
    };
    const rejectsEvery = faults.has('rejections') ? chance.between(20, 80) : 0;
    this.#oracle = new Oracle({
      now: () => this.#scheduler.now,
      partitions,
      windowRecords,
      maxFetch,
      isRejected: (target, partition, offset) =>
        rejectsEvery > 0 && (offset * 7 + partition * 3 + target.length) % rejectsEvery === 0,
      report: (what) => {
        this.#violated(what);
      },
      trace: (line) => {
        this.#note(line);
      },
    });
    this.#snapshotOracle = hasSnapshot
      ? new SnapshotOracle(partitions, {
          violated: (what) => {
            this.#violated(what);
          },
          isOrderRelaxed: () => this.#oracle.isOrderRelaxed,
        })
      : null;
    this.#kafka = new SimulatedKafka({
      scheduler: this.#scheduler,
      chance,
      groupPartitions: Array.from({ length: partitions }, (_, partition) => ({
        topic: MUTATIONS,
        partition,
      })),
      maxFetch,
    });
    this.#sinks = new SimulatedSinks({
      scheduler: this.#scheduler,
      chance,
      network: this.#network,
      observer: this.#oracle,
      maxRecords,
      hasHiccups: !this.#scenario.isIsolated,
    });
    this.#rules = makeTable(this.#sinks.adapter(new SimulatedProcess('rules', this.#scheduler)));
    this.#listen();
    for (let i = 0; i < 6; i += 1) {
      this.#users.push({
        id: `4700c85f-17e3-4304-aa7f-dc14017300${String(i).padStart(2, '0')}`,
        partition: chance.between(0, partitions - 1),
        datamart: chance.is(0.75) ? '1' : '2',
      });
    }
  }

  async run(): Promise<SimulationResult> {
    const { scenario } = { scenario: this.#scenario };
    this.#note(
      `seed ${this.#seed}: ${JSON.stringify({ ...scenario, faults: [...scenario.faults] })} users ${this.#users.map(({ partition, datamart }) => `p${partition}/${datamart}`).join(' ')}`,
    );
    for (let i = 0; i < scenario.replications; i += 1) this.#createReplication(i);
    for (let i = 0; i < scenario.instances; i += 1) {
      this.#scheduler.at(i === 0 ? 0 : this.#chance.between(0, 20_000), () => {
        this.#startInstance();
      });
    }
    this.#produceOn();
    this.#faultOn();
    this.#scheduler.at(scenario.activeMs, () => {
      this.#heal();
    });
    this.#watch();
    try {
      await this.#scheduler.run(() => this.#isAtRest || this.#violations.length > 0);
    } catch (error) {
      this.#violated(
        `something threw: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      );
    }
    if (this.#violations.length === 0) this.#oracle.atRest();
    if (this.#violations.length === 0) this.#snapshotOracle?.atRest();
    this.#reach('duplicates', this.#oracle.duplicates);
    return {
      seed: this.#seed,
      violations: this.#violations,
      trace: this.#trace,
      reached: this.#reached,
      simulatedMs: this.#scheduler.now,
      steps: this.#scheduler.steps,
    };
  }

  /** An error that nobody handled. */
  onUnhandled(error: unknown): void {
    this.#violated(
      `nobody handled ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }

  #listen(): void {
    this.#kafka.coordinator.onCommit = (memberId, offsets) => {
      this.#oracle.onCommit(memberId.split('.')[0] ?? '', offsets);
      for (const { partition, offset } of offsets) this.#snapshotOracle?.onCommit(partition, offset);
    };
    this.#kafka.coordinator.onGeneration = (generationId, members) => {
      this.#note(`generation ${generationId} with ${members} members`);
      this.#reach('generations');
      if (this.#replications.some(({ isDetached }) => isDetached)) this.#reach('rebalance during a detach');
      if (this.#scheduler.now - this.#detachedAt < 2_000) this.#reach('rebalance right after a detach');
    };
    this.#kafka.onAppend = ({ topic, partition }, record) => {
      if (topic === SNAPSHOT) {
        this.#reach(record.value === null ? 'snapshot deletions' : 'snapshot records');
        this.#snapshotOracle?.onAppend(partition, record);
      }
      if (topic === TOPICS.deadLetters) {
        this.#reach('dead letters');
        this.#oracle.onDeadLetter(record);
      }
      if (topic === TOPICS.replicationStatus)
        this.#onStatus(record.key?.toString() ?? '', record.value?.toString() ?? null);
    };
  }

  // What the world does by itself.

  #createReplication(i: number): void {
    const chance = this.#chance;
    const replication: SimulatedReplication = {
      id: `r${i}`,
      created: 1,
      datamart: i === 0 || chance.is(0.75) ? '1' : '2',
      resume: chance.is(0.6) ? 'WHERE_STOPPED' : 'NOW',
      filter: chance.is(0.2) ? ['USER_ACTIVITY'] : null,
      status: 'ACTIVE',
      ordering: chance.is(0.25),
      orderingLanes: chance.of([1, 2, 4]),
      messageId: chance.is(0.5),
      offset: 0,
      hasBeenActive: false,
      isInError: false,
      isDetached: false,
    };
    this.#replications.push(replication);
    this.#writeConfig(replication, 'create');
  }

  #writeConfig(replication: SimulatedReplication, change: 'create' | 'change' | 'delete'): void {
    const { id, created, datamart, resume, filter, status, ordering, orderingLanes, messageId } = replication;
    const target = targetOf(replication);
    const record =
      change === 'delete'
        ? null
        : {
            id,
            datamart_id: datamart,
            type: 'SIMULATED',
            target,
            status,
            version: 1,
            resume,
            created,
            ordering,
            ordering_lanes: orderingLanes,
            metadata: messageId ? ['message_id'] : [],
            ...(filter ? { replication_filters: filter.map((document) => ({ document })) } : {}),
          };
    const value = record && Buffer.from(JSON.stringify(record));
    const at = { topic: TOPICS.replicationConfig, partition: 0 };
    replication.offset = this.#kafka.append(at, { key: Buffer.from(id), value, headers: {} });
    this.#rules.apply(id, value, replication.offset, 0);
    this.#note(`config ${target} ${change} ${status} at ${replication.offset}`);
    const config = this.#rules.get(id);
    // A world whose replications are refused would show nothing.
    if (record && config?.offset !== replication.offset)
      this.#violated(`the simulation's own record of ${target} is refused`);
    if (change === 'create' && config) this.#oracle.created(target, config);
    if (change === 'delete') this.#oracle.deleted(target);
    else if (config) this.#oracle.changed(target, config);
    const isPausedForGood = replication.resume === 'NOW' && (status === 'PAUSED' || replication.isInError);
    if (isPausedForGood || (!replication.hasBeenActive && status === 'PAUSED'))
      this.#oracle.pausedForGood(target, replication.hasBeenActive);
    replication.isInError = false;
  }

  #onStatus(key: string, value: string | null): void {
    const [prefix, id, topic, partition] = key.split('/');
    const replication = this.#replications.find((candidate) => candidate.id === id);
    if (prefix !== 'replication' || !replication || value === null) return;
    const {
      state,
      reason,
      config_offset: offset,
      gap,
    } = JSON.parse(value) as {
      state: string;
      reason: string | null;
      config_offset: string | null;
      gap?: { from: string; to: string } | null;
    };
    if (topic !== undefined) {
      replication.isDetached = state === 'DETACHED';
      if (gap) {
        this.#reach('gaps');
        this.#oracle.told(targetOf(replication), Number(partition), Number(gap.from), Number(gap.to));
      }
      return;
    }
    this.#note(`status ${id ?? ''} ${state} ${reason ?? ''} of ${offset ?? ''}`);
    this.#reach(`status ${state}`);
    if (state === 'ACTIVE' && replication.status === 'ACTIVE') replication.hasBeenActive = true;
    if (state !== 'ERROR' || Number(offset) !== replication.offset) return;
    const forgets =
      replication.resume === 'NOW' || (reason === 'activation_failed' && !replication.hasBeenActive);
    if (forgets) {
      replication.isInError = true;
      // Where an activation fails nothing is kept.
      this.#oracle.pausedForGood(targetOf(replication), reason !== 'activation_failed');
    }
    this.#scheduler.at(this.#isHealed ? 1_000 : this.#chance.between(1_000, 30_000), () => {
      if (Number(offset) !== replication.offset || replication.status !== 'ACTIVE') return;
      this.#writeConfig(replication, 'change');
    });
  }

  #produceOn(): void {
    const { everyMs } = this.#scenario;
    this.#scheduler.at(this.#chance.between(1, everyMs * 2), () => {
      if (this.#isHealed) return;
      const burst = this.#chance.is(0.05) ? this.#chance.between(5, 40) : 1;
      for (let i = 0; i < burst; i += 1) this.#produce();
      this.#produceOn();
    });
  }

  #produce(): void {
    const chance = this.#chance;
    const { id, partition, datamart } = chance.of(this.#users);
    const at = { topic: MUTATIONS, partition };
    const offset = this.#kafka.end(at);
    const isReadable = !(this.#scenario.faults.has('unreadable') && chance.is(0.02));
    const activity = chance.is(0.6) ? `a${chance.between(0, 1)}` : null;
    const isDelete = chance.is(0.1);
    const pad = 'x'.repeat(this.#scenario.valueBytes);
    const record = {
      datamart_id: Number(datamart),
      user_point_id: id,
      ts: 1_676_627_112_685,
      op: isDelete ? 'DELETE' : 'UPDATE',
      doc_type: activity === null ? 'UserPoint' : 'UserActivity',
      ...(activity === null ? {} : { user_activity_id: activity }),
      ...(isDelete ? {} : { value: { n: offset, p: partition, pad } }),
    };
    this.#oracle.produced(
      partition,
      {
        user: id,
        document: activity ?? 'UserPoint',
        docType: activity === null ? 0 : 1,
        datamart,
        appendedAt: this.#scheduler.now,
        isReadable,
      },
      (target) => this.#isWanted(target),
      (target) => this.#isInGap(target),
    );
    const value = Buffer.from(isReadable ? JSON.stringify(record) : 'neither Avro nor JSON');
    const docId = activity === null ? id : `${id}:${activity}`;
    this.#snapshotOracle?.produced(partition, {
      key: isReadable ? `${datamart}/${record.doc_type}/${docId}` : null,
      value: isDelete ? null : value,
    });
    this.#kafka.append(at, { key: Buffer.from(id), value, headers: {} });
  }

  /** Whether every instance that may dispatch what comes now knows that the replication wants it. */
  #isWanted(target: string): boolean {
    const replication = this.#replications.find((candidate) => targetOf(candidate) === target);
    if (!replication || replication.status === 'DELETED' || replication.isInError) return false;
    const isNow = replication.resume === 'NOW' || !replication.hasBeenActive;
    if (isNow && replication.status === 'PAUSED') return false;
    return this.#instances.every(({ table, hasRun }) => {
      if (!hasRun) return true;
      const known = table.get(replication.id);
      return known?.created === replication.created && (!isNow || known.offset === replication.offset);
    });
  }

  #isInGap(target: string): boolean {
    const replication = this.#replications.find((candidate) => targetOf(candidate) === target);
    return (
      replication?.status === 'PAUSED' &&
      replication.resume === 'NOW' &&
      replication.hasBeenActive &&
      this.#instances.every(({ table }) => table.get(replication.id)?.offset === replication.offset)
    );
  }

  #startInstance(): void {
    this.#started += 1;
    const process = new SimulatedProcess(`i${this.#started}`, this.#scheduler);
    const instance = new SimulatedInstance({
      process,
      port: simulatedPort({
        process,
        kafka: this.#kafka,
        network: this.#network,
        chance: this.#chance,
        onConsumer: (consumer) => {
          this.#consumers.set(process, consumer);
        },
      }),
      adapter: this.#sinks.adapter(process),
      scenario: this.#scenario,
      random: this.#chance.fraction,
      onLog: (level, message, fields) => {
        this.#onLog(process, level, message, fields);
      },
    });
    this.#instances.push(instance);
    this.#note(`${process.name} starts`);
    const onEnd = (error: unknown): void => {
      if (process.isDead || instance.isStopping) return;
      this.#note(`${process.name} ends: ${error instanceof Error ? error.message : String(error)}`);
      this.#reach('ended by itself');
      this.#kill(instance);
    };
    // An orchestrator changes its mind, when partitions were perhaps just taken over.
    if (this.#has('stops') && this.#chance.is(0.3)) {
      this.#scheduler.at(this.#chance.between(500, 9_000), () => {
        if (this.#has('stops') && !process.isDead && !process.isFrozen && !instance.isStopping)
          this.#stop(instance);
      });
    }
    instance.application.failed.catch(onEnd);
    instance.application.start().catch(onEnd);
  }

  #onLog(process: SimulatedProcess, level: string, message: string, fields: object): void {
    const { replication_id: id, partition, error } = fields as Record<string, unknown>;
    this.#note(
      `${process.name} ${level}: ${message}${typeof id === 'string' ? ` ${id}` : ''}${typeof partition === 'number' ? ` p${partition}` : ''}${error instanceof Error ? ` (${error.message})` : ''}`,
    );
    const lost = /offsets (\d+) to (\d+) are lost/.exec(message);
    if (lost) {
      this.#reach('lost to retention');
      const at = fields as { partition: number };
      const replication = this.#replications.find((candidate) => candidate.id === id);
      this.#oracle.told(
        replication ? targetOf(replication) : null,
        at.partition,
        Number(lost[1]),
        Number(lost[2]) + 1,
      );
    }
    for (const [pattern, name] of MILESTONES) {
      if (!pattern.test(message)) continue;
      this.#reach(name);
      if (name === 'detached') {
        this.#detachedAt = this.#scheduler.now;
        const replication = this.#replications.find((candidate) => candidate.id === id);
        if (replication) this.#oracle.detached(targetOf(replication));
      }
      // A crash in the very step, or shortly after.
      if (this.#has('kills') && this.#chance.is(0.05)) {
        this.#scheduler.at(this.#chance.mostlyLow(0, 300), () => {
          const instance = this.#instances.find((candidate) => candidate.process === process);
          if (!instance || this.#isHealed) return;
          this.#reach(`crash after: ${name}`);
          this.#kill(instance);
        });
      }
    }
  }

  // Faults.

  #has(fault: Fault): boolean {
    return this.#scenario.faults.has(fault) && !this.#isHealed;
  }

  #faultOn(): void {
    const { faultEveryMs, faults } = this.#scenario;
    this.#scheduler.at(this.#chance.between(1, faultEveryMs * 2), () => {
      if (this.#isHealed) return;
      if (faults.size > 0 && this.#scheduler.now > 1_000) this.#fault(this.#chance.of([...faults]));
      this.#faultOn();
    });
  }

  #fault(fault: Fault): void {
    const chance = this.#chance;
    const running = this.#instances.filter(({ process }) => !process.isDead);
    const instance = running.length > 0 ? chance.of(running) : null;
    switch (fault) {
      case 'kills':
        if (chance.is(0.3)) {
          if (instance) this.#kill(instance);
        } else {
          const calls = this.#scenario.hasSnapshot ? [...CALLS, 'append', 'leader'] : CALLS;
          this.#armed = { name: chance.of(calls), phase: chance.of(PHASES), skip: chance.mostlyLow(0, 20) };
        }
        return;
      case 'stops':
        if (instance && !instance.process.isFrozen && !instance.isStopping) this.#stop(instance);
        return;
      case 'freezes':
        if (instance) this.#freeze(instance, chance.is(0.7) ? 'go on' : 'monotonic stands still');
        return;
      case 'consumer crashes':
        if (instance && !instance.process.isFrozen) this.#crashConsumer(instance);
        return;
      case 'paused machines':
        this.#oracle.isOrderRelaxed = true;
        if (instance) this.#freeze(instance, 'both stand still');
        return;
      case 'clocks':
        instance?.process.setWallClock(chance.of([-3_600_000, -30_000, -2_000, 2_000, 15_000, 3_600_000]));
        this.#note(`${instance?.process.name ?? ''} has another wall clock`);
        return;
      case 'network': {
        const { faults } = this.#network;
        const rate = (): number => (chance.is(0.5) ? 0 : chance.of([0.02, 0.1, 0.3]));
        Object.assign(faults, { lostRequests: rate(), lostAnswers: rate(), slow: rate() });
        this.#note(`network ${JSON.stringify(faults)}`);
        return;
      }
      case 'cut off': {
        if (!instance) return;
        const forMs = chance.of([2_000, 10_000, 20_000, 40_000]);
        this.#note(`${instance.process.name} is cut off for ${forMs} ms`);
        this.#network.cutOff(instance.process, forMs);
        return;
      }
      case 'no coordinator': {
        if (!instance) return;
        const forMs = chance.of([3_000, 8_000, 20_000, 40_000]);
        this.#note(`${instance.process.name} does not reach the coordinator for ${forMs} ms`);
        this.#network.cutOffCoordinator(instance.process, forMs);
        return;
      }
      case 'too few replicas': {
        const forMs = chance.of([1_000, 5_000, 20_000]);
        this.#note(`nothing can be stored for ${forMs} ms`);
        this.#reach('nothing stored');
        this.#kafka.readOnlyUntil = this.#scheduler.now + forMs;
        return;
      }
      case 'moods':
        this.#setMood();
        return;
      case 'configs':
        this.#changeConfig();
        return;
      case 'retention':
        this.#passRetention();
        return;
      case 'unreadable':
      case 'rejections':
        return;
    }
  }

  #passRetention(): void {
    const chance = this.#chance;
    const at = { topic: MUTATIONS, partition: chance.between(0, this.#scenario.partitions - 1) };
    const [start, end] = [this.#kafka.start(at), this.#kafka.end(at)];
    if (start === end) return;
    const committed = this.#kafka.committed(at).offset ?? 0;
    const upTo = chance.is(0.7) ? Math.min(end, Math.max(start, committed)) : end;
    const next = chance.between(start, upTo);
    this.#note(`retention takes p${at.partition} below ${next}`);
    this.#reach('retention');
    this.#kafka.deleteBefore(at, next);
    this.#oracle.retained(at.partition, next);
    this.#snapshotOracle?.retained(at.partition, next);
  }

  #setMood(): void {
    const replication = this.#chance.of(this.#replications);
    if (this.#scenario.isIsolated && replication.id === 'r0') return;
    const target = targetOf(replication);
    const mood = this.#chance.is(0.3) ? 'works' : this.#chance.of(MOODS);
    this.#note(`${target} ${mood}`);
    this.#reach(`mood ${mood}`);
    this.#sinks.setMood(target, mood);
  }

  #changeConfig(): void {
    const chance = this.#chance;
    const replication = chance.of(this.#replications);
    if (this.#scenario.isIsolated && replication.id === 'r0') return;
    const kind = chance.between(0, 9);
    if (replication.status === 'DELETED') {
      replication.created += 1;
      Object.assign(replication, { status: 'ACTIVE', hasBeenActive: false, isInError: false });
      this.#writeConfig(replication, 'create');
    } else if (replication.status === 'PAUSED') {
      replication.status = 'ACTIVE';
      this.#writeConfig(replication, 'change');
      this.#crashAfterActivation();
    } else if (kind < 5) {
      replication.status = 'PAUSED';
      this.#writeConfig(replication, 'change');
    } else if (kind < 6) {
      replication.status = 'DELETED';
      this.#writeConfig(replication, 'delete');
    } else if (kind < 8) {
      replication.ordering = !replication.ordering;
      this.#writeConfig(replication, 'change');
    } else {
      replication.messageId = !replication.messageId;
      this.#writeConfig(replication, 'change');
    }
    this.#reach(`config ${replication.status}`);
  }

  #crashConsumer({ process }: SimulatedInstance): void {
    this.#note(`the consumer of ${process.name} crashes`);
    this.#reach('consumer crashed');
    process.enter(() => void this.#consumers.get(process)?.crash());
  }

  /** Before everything that an activation leaves behind is stored. */
  #crashAfterActivation(): void {
    if (!this.#has('kills') || !this.#chance.is(0.3)) return;
    if (this.#has('too few replicas')) this.#kafka.readOnlyUntil = this.#scheduler.now + 3_000;
    this.#scheduler.at(this.#chance.between(500, 2_500), () => {
      const running = this.#instances.filter(({ process }) => !process.isDead);
      if (this.#isHealed || running.length === 0) return;
      this.#reach('crash after: an activation');
      this.#kill(this.#chance.of(running));
    });
  }

  #freeze(instance: SimulatedInstance, clocks: FrozenClocks): void {
    const forMs = this.#chance.of([500, 5_000, 12_000, 25_000, 45_000]);
    this.#note(`${instance.process.name} freezes for ${forMs} ms, clocks ${clocks}`);
    this.#reach('frozen');
    instance.process.freeze(clocks);
    this.#scheduler.at(forMs, () => {
      this.#thaw(instance);
    });
  }

  #thaw({ process }: SimulatedInstance): void {
    if (!process.isFrozen) return;
    this.#note(`${process.name} thaws`);
    process.thaw();
  }

  #stop(instance: SimulatedInstance): void {
    this.#note(`${instance.process.name} is told to stop`);
    this.#reach('stopped');
    instance.isStopping = true;
    const ended = (): void => {
      if (!instance.process.isDead) this.#kill(instance);
    };
    instance.process.enter(() => {
      void instance.application.close(this.#chance.of([0, 2_000, 10_000])).then(ended);
    });
    // A second signal, or the orchestrator's patience.
    this.#scheduler.at(30_000, ended);
  }

  #kill(instance: SimulatedInstance): void {
    const { process } = instance;
    if (process.isDead) return;
    for (const { name } of process.pending) this.#reach(`crash at ${name}`);
    this.#note(`${process.name} dies${[...process.pending].map(({ name }) => ` ${name}`).join(',')}`);
    process.kill(() => this.#chance.is(0.5));
    // An operator takes the dead member out of the group: nobody waits for its session to expire.
    if (this.#chance.is(0.4)) {
      this.#scheduler.at(this.#chance.mostlyLow(0, 300), () => {
        this.#reach('expelled after its death');
        this.#kafka.coordinator.expel(process.name);
      });
    }
    this.#instances = this.#instances.filter((candidate) => candidate !== instance);
    this.#scheduler.at(this.#isHealed ? 100 : this.#chance.mostlyLow(100, 30_000), () => {
      this.#startInstance();
    });
  }

  #onPhase(process: SimulatedProcess, name: string, phase: Phase): void {
    const armed = this.#armed;
    if (!armed || armed.name !== name || armed.phase !== phase || this.#isHealed || process.isDead) return;
    armed.skip -= 1;
    if (armed.skip >= 0) return;
    this.#armed = null;
    const instance = this.#instances.find((candidate) => candidate.process === process);
    if (!instance) return;
    this.#reach(`crash when ${name} was ${phase}`);
    this.#reach(`crash when something was ${phase}`);
    this.#kill(instance);
  }

  // The end.

  #heal(): void {
    this.#isHealed = true;
    this.#note('everything is healed');
    this.#network.healAll();
    this.#kafka.readOnlyUntil = 0;
    this.#sinks.healAll();
    for (const instance of this.#instances) this.#thaw(instance);
    if (this.#instances.length === 0) this.#startInstance();
    for (const replication of this.#replications) {
      if (replication.status !== 'PAUSED') continue;
      replication.status = 'ACTIVE';
      this.#writeConfig(replication, 'change');
    }
  }

  #watch(): void {
    this.#scheduler.at(500, () => {
      for (const instance of this.#instances) void this.#checkMemory(instance);
      this.#checkIsolation();
      if (this.#isHealed) this.#checkRest();
      this.#watch();
    });
  }

  async #checkMemory(instance: SimulatedInstance): Promise<void> {
    const held = await instance.heldBytes();
    const { memoryBytes, replications, hasSnapshot } = this.#scenario;
    if (held > memoryBytes + (replications + (hasSnapshot ? 1 : 0)) * SEGMENT_BYTES)
      this.#violated(`${instance.process.name} holds ${held} bytes`);
    if (held < 0) this.#violated(`${instance.process.name} has given more bytes back than it had`);
  }

  #checkIsolation(): void {
    const steady = this.#replications[0];
    if (!this.#scenario.isIsolated || !steady || this.#scheduler.now < 20_000) return;
    const waits = this.#oracle.waitsFor(targetOf(steady));
    if (waits > LONGEST_WAIT_MS)
      this.#violated(`${targetOf(steady)} has waited for ${waits} ms, for nobody's fault but the others'`);
  }

  #checkRest(): void {
    const missing = this.#oracle.missing() ?? this.#uncommitted();
    if (missing === null) {
      this.#isAtRest = true;
      return;
    }
    if (this.#scheduler.now - this.#scenario.activeMs > LONGEST_UNREST_MS)
      this.#violated(`the world does not come to rest: ${missing}`);
  }

  #uncommitted(): string | null {
    for (let partition = 0; partition < this.#scenario.partitions; partition += 1) {
      const { offset, metadata, logEnd } = this.#kafka.committed({ topic: MUTATIONS, partition });
      if ((offset ?? 0) !== logEnd) return `p${partition} is committed to ${offset ?? 0} of ${logEnd}`;
      const open = parseCommitMetadata(metadata).x.find(
        ({ position, replication }) => position !== logEnd && !this.#oracle.isOfDeleted(replication),
      );
      if (open) return `p${partition} has a position of its own at ${open.position} of ${logEnd}`;
    }
    return null;
  }

  #violated(what: string): void {
    this.#note(`VIOLATED: ${what}`);
    this.#violations.push(what);
  }

  #reach(name: string, times = 1): void {
    this.#reached.set(name, (this.#reached.get(name) ?? 0) + times);
  }

  #note(line: string): void {
    const text = `${String(this.#scheduler.now).padStart(7)} ${line}`;
    this.#onTrace?.(text);
    if (this.#violations.length > 0) return;
    this.#trace.push(text);
    if (this.#trace.length > 4 * TRACE_LINES) this.#trace.splice(0, 3 * TRACE_LINES);
  }
}

function targetOf({ id, created }: { readonly id: string; readonly created: number }): string {
  return `${id}#${created}`;
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
