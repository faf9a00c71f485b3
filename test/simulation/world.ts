import { Chance } from './chance.ts';
import { CommittedMetadata } from './committed-metadata.ts';
import { Network } from './network.ts';
import { Oracle } from './oracle.ts';
import { scenarioOf, type Fault, type Scenario } from './scenario.ts';
import { Scheduler } from './scheduler.ts';
import { MUTATIONS } from './simulated-instance.ts';
import { SimulatedKafka } from './simulated-kafka.ts';
import { SnapshotOracle } from './snapshot-oracle.ts';

const TRACE_LINES = 60;

/** What everything in the world of one seed shares, and what is noted of it. */
export class World {
  readonly seed: number;
  readonly scheduler = new Scheduler();
  readonly chance: Chance;
  readonly scenario: Scenario;
  readonly network: Network;
  readonly kafka: SimulatedKafka;
  readonly oracle: Oracle;
  /** Null where the snapshot isn't kept. */
  readonly snapshotOracle: SnapshotOracle | null;
  readonly metadata = new CommittedMetadata(MUTATIONS);
  /** Promises that were broken, the first one first. */
  readonly violations: string[] = [];
  /** The last lines before the first violation. */
  readonly trace: string[] = [];
  /** How often each state was reached. */
  readonly reached = new Map<string, number>();
  /** No fault happens any more. */
  isHealed = false;
  readonly #onTrace: ((line: string) => void) | null;

  constructor(seed: number, onTrace: ((line: string) => void) | null) {
    this.seed = seed;
    this.#onTrace = onTrace;
    this.chance = new Chance(seed);
    this.scenario = scenarioOf(seed, this.chance);
    const { partitions, windowRecords, maxFetch, slowClaims, faults, hasSnapshot } = this.scenario;
    this.network = new Network(this.scheduler, this.chance);
    this.network.faults.slowClaims = slowClaims;
    const rejectsEvery = faults.has('rejections') ? this.chance.between(20, 80) : 0;
    this.oracle = new Oracle({
      now: () => this.scheduler.now,
      // One may be added.
      partitions: partitions + 1,
      windowRecords,
      maxFetch,
      isRejected: (target, partition, offset) =>
        rejectsEvery > 0 && (offset * 7 + partition * 3 + target.length) % rejectsEvery === 0,
      readMetadata: (partition, metadata) => this.metadata.read(partition, metadata),
      report: (what) => {
        this.violated(what);
      },
      trace: (line) => {
        this.note(line);
      },
    });
    this.snapshotOracle = hasSnapshot
      ? new SnapshotOracle(partitions, {
          violated: (what) => {
            this.violated(what);
          },
          isOrderRelaxed: () => this.oracle.isOrderRelaxed,
        })
      : null;
    this.kafka = new SimulatedKafka({
      scheduler: this.scheduler,
      chance: this.chance,
      groupPartitions: Array.from({ length: partitions }, (_, partition) => ({
        topic: MUTATIONS,
        partition,
      })),
      maxFetch,
    });
  }

  /** Whether the fault may happen now. */
  has(fault: Fault): boolean {
    return this.scenario.faults.has(fault) && !this.isHealed;
  }

  violated(what: string): void {
    this.note(`VIOLATED: ${what}`);
    this.violations.push(what);
  }

  reach(name: string, times = 1): void {
    this.reached.set(name, (this.reached.get(name) ?? 0) + times);
  }

  note(line: string): void {
    const text = `${String(this.scheduler.now).padStart(7)} ${line}`;
    this.#onTrace?.(text);
    if (this.violations.length > 0) return;
    this.trace.push(text);
    if (this.trace.length > 4 * TRACE_LINES) this.trace.splice(0, 3 * TRACE_LINES);
  }
}
