import { setTimeout as sleep } from 'node:timers/promises';
import { SeededRandom } from '../../local/random.ts';
import type { Deployment } from '../support/processor-process.ts';
import { waitFor } from '../support/wait-for.ts';
import type { SoakBroker } from './broker.ts';
import type { SoakDestination, SoakDestinations } from './destinations.ts';
import type { SoakInstances } from './instances.ts';
import type { ProducedDocuments } from './ledger.ts';
import type { Recoveries } from './recoveries.ts';

/** What befalls instances and the broker, and how often of twelve times. */
const HOST_FAULTS = [
  'kill',
  'kill',
  'kill',
  'terminate',
  'terminate',
  'suspend',
  'suspend',
  'suspend',
  'suspend',
  'broker clean',
  'broker hard',
  'connections cut',
] as const;

const HOST_PAUSE_MS = [10_000, 30_000] as const;
const DOWN_MS = [0, 20_000] as const;
const SUSPENDED_MS = [5_000, 60_000] as const;
const BROKER_AWAY_MS = [0, 15_000] as const;
const MOOD_PAUSE_MS = [2_000, 15_000] as const;
const MOOD_MS = [5_000, 60_000] as const;
const CONFIG_PAUSE_MS = [10_000, 40_000] as const;
const PAUSED_MS = [3_000, 30_000] as const;
const MAX_ADDED = 2;
const ACTIVATION_TIMEOUT_MS = 120_000;
const RETRY_MS = 1_000;
/** Of the faults of hosts: after the others the next one may come before they are made good. */
const AWAITED_SHARE = 0.6;
const RECOVERY_TIMEOUT_MS = 90_000;
const RECOVERY_POLL_MS = 250;

export interface FaultOptions {
  readonly seed: number;
  readonly broker: SoakBroker;
  readonly instances: SoakInstances;
  readonly deployment: Deployment;
  readonly destinations: SoakDestinations;
  readonly lasting: readonly SoakDestination[];
  readonly produced: ProducedDocuments;
  readonly recoveries: Recoveries;
  /** Mutations a second. */
  readonly rate: number;
  readonly onFault: (text: string) => void;
}

/**
 * Three things happen independently, each by its own seeded schedule: to instances and the broker one at a time, to
 * destinations, and to the configuration.
 */
export class Faults {
  readonly #options: FaultOptions;
  readonly #stopping = new AbortController();
  readonly #added = new Set<SoakDestination>();
  readonly #busy = new Set<SoakDestination>();
  #schedules: readonly Promise<void>[] = [];
  #hosts: Promise<unknown> = Promise.resolve();
  /** Faults after which a window per partition may be sent again. */
  handOvers = 0;

  constructor(options: FaultOptions) {
    this.#options = options;
  }

  /** All replications that should deliver. */
  get active(): readonly SoakDestination[] {
    return [...this.#options.lasting, ...this.#added];
  }

  /** Resolves with nothing until `stop`; rejects as soon as a fault couldn't be made or healed: the soak shows nothing then. */
  async start(): Promise<void> {
    const { seed } = this.#options;
    this.#schedules = [
      this.#repeat(new SeededRandom(seed + 1), HOST_PAUSE_MS, (random) => this.#hostFault(random)),
      this.#repeat(new SeededRandom(seed + 2), MOOD_PAUSE_MS, (random) => this.#mood(random)),
      this.#repeat(new SeededRandom(seed + 3), MOOD_PAUSE_MS, (random) => this.#mood(random)),
      this.#repeat(new SeededRandom(seed + 4), CONFIG_PAUSE_MS, (random) => this.#configChange(random)),
    ];
    await Promise.all(this.#schedules);
  }

  /** Ends what is going on early, and resolves when everything is healed. Rejects as `start` does. */
  async stop(): Promise<void> {
    this.abandon();
    await Promise.all(this.#schedules);
  }

  /** Makes no further fault; nobody waits for the healing of the others. */
  abandon(): void {
    this.#stopping.abort();
  }

  async #repeat(
    random: SeededRandom,
    pauseMs: Range,
    happen: (random: SeededRandom) => Promise<void>,
  ): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.#wait(within(random, pauseMs));
      // Drawn from a seed, so that what one fault draws doesn't change those after it.
      const own = new SeededRandom(random.uint32());
      if (!this.#stopping.signal.aborted) await happen(own);
    }
  }

  /** Does something that no instance or broker fault may disturb. */
  async #undisturbed(action: () => Promise<void>): Promise<void> {
    const done = this.#hosts.then(action);
    this.#hosts = done.catch(() => undefined);
    await done;
  }

  #hostFault(random: SeededRandom): Promise<void> {
    return this.#undisturbed(async () => {
      if (this.#stopping.signal.aborted) return;
      const { instances, recoveries, produced, rate, onFault } = this.#options;
      const fault = random.pick(HOST_FAULTS);
      const slot = random.below(instances.count);
      const healthy = (): readonly SoakDestination[] => this.active.filter((each) => !this.#busy.has(each));
      recoveries.begin(fault);
      recoveries.allDisturbed();
      this.handOvers += 1;
      switch (fault) {
        case 'kill':
        case 'terminate': {
          const downMs = within(random, DOWN_MS);
          onFault(`${fault} instance ${slot + 1}, start it after ${seconds(downMs)}`);
          // What comes in the first second without it others have to deliver.
          recoveries.healed(fault, produced.length + rate, healthy());
          await instances[fault](slot);
          await this.#wait(downMs);
          await instances.startAgain(slot);
          await instances.untilReady(slot);
          // Its arrival is a hand-over of its own.
          this.handOvers += 1;
          break;
        }
        case 'suspend': {
          const suspendedMs = within(random, SUSPENDED_MS);
          onFault(`suspend instance ${slot + 1} for ${seconds(suspendedMs)}`);
          instances.suspend(slot);
          await this.#wait(suspendedMs);
          instances.resume(slot);
          this.handOvers += 1;
          recoveries.healed(fault, produced.length, healthy());
          break;
        }
        case 'broker clean':
        case 'broker hard':
          await this.#bounceBroker(fault, within(random, BROKER_AWAY_MS));
          recoveries.healed(fault, produced.length, healthy());
          break;
        case 'connections cut':
          onFault('cut the connections of Pub/Sub');
          this.#options.destinations.pubsub.dropConnections();
          recoveries.healed(fault, produced.length, healthy());
      }
      if (random.chance(AWAITED_SHARE)) await this.#untilRecovered();
    });
  }

  async #untilRecovered(): Promise<void> {
    const endMs = performance.now() + RECOVERY_TIMEOUT_MS;
    while (!this.#options.recoveries.isDone && performance.now() < endMs && !this.#stopping.signal.aborted)
      await this.#wait(RECOVERY_POLL_MS);
  }

  async #bounceBroker(fault: 'broker clean' | 'broker hard', awayMs: number): Promise<void> {
    const { broker, onFault } = this.#options;
    onFault(`${fault} bounce, away for ${seconds(awayMs)}`);
    await broker.end(fault === 'broker clean' ? 'clean' : 'hard');
    await this.#wait(awayMs);
    await broker.startAgain();
  }

  async #mood(random: SeededRandom): Promise<void> {
    const { recoveries, produced, onFault } = this.#options;
    const candidates = this.active.filter((each) => each.moods.length > 0 && !this.#busy.has(each));
    const destination = candidates[random.below(candidates.length)];
    const mood = destination?.moods[random.below(destination.moods.length)];
    if (!destination || !mood) return;
    const moodMs = within(random, MOOD_MS);
    const fault = `destination ${mood}`;
    onFault(`${destination.id} is ${mood} for ${seconds(moodMs)}`);
    this.#busy.add(destination);
    recoveries.begin(fault);
    recoveries.disturbed(destination);
    destination.setMood(mood);
    await this.#wait(moodMs);
    destination.setMood(null);
    this.#busy.delete(destination);
    recoveries.healed(fault, produced.length, [destination]);
  }

  async #configChange(random: SeededRandom): Promise<void> {
    const draw = random.below(4);
    if (draw === 0 && this.#added.size < MAX_ADDED) await this.#add();
    else if (draw === 1 && this.#added.size > 0) await this.#delete(random);
    else await this.#pause(random);
  }

  async #pause(random: SeededRandom): Promise<void> {
    const { deployment, recoveries, produced, onFault } = this.#options;
    const candidates = this.active.filter((each) => !this.#busy.has(each));
    const destination = candidates[random.below(candidates.length)];
    if (!destination) return;
    const pausedMs = within(random, PAUSED_MS);
    onFault(`pause ${destination.id} for ${seconds(pausedMs)}`);
    this.#busy.add(destination);
    recoveries.begin('pause');
    recoveries.disturbed(destination);
    await persistently(() => deployment.configure({ ...destination.config, status: 'PAUSED' }));
    await this.#wait(pausedMs);
    await persistently(() => deployment.configure(destination.config));
    this.#busy.delete(destination);
    recoveries.healed('pause', produced.length, [destination]);
  }

  /** What the new replication has to get is known only when nobody misses its beginning. */
  #add(): Promise<void> {
    return this.#undisturbed(async () => {
      const { deployment, instances, destinations, recoveries, onFault } = this.#options;
      if (this.#stopping.signal.aborted) return;
      for (let slot = 0; slot < instances.count; slot += 1) await instances.untilReady(slot);
      const destination = destinations.additional();
      onFault(`add ${destination.id}`);
      recoveries.begin('add');
      await persistently(() => deployment.configure(destination.config));
      await waitFor(() => instances.isActiveEverywhere(destination.id), {
        timeoutMs: ACTIVATION_TIMEOUT_MS,
        message: `${destination.id} to be ACTIVE on every instance`,
      });
      destination.ledger.wantFromNow();
      this.#added.add(destination);
    });
  }

  async #delete(random: SeededRandom): Promise<void> {
    const { deployment, recoveries, onFault } = this.#options;
    const candidates = [...this.#added].filter((each) => !this.#busy.has(each));
    const destination = candidates[random.below(candidates.length)];
    if (!destination) return;
    onFault(`delete ${destination.id}`);
    recoveries.begin('delete');
    recoveries.disturbed(destination);
    this.#added.delete(destination);
    destination.ledger.close();
    await persistently(() => deployment.deleteReplication(destination.id));
  }

  /** Ends early when everything is to be healed. */
  async #wait(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }
}

type Range = readonly [from: number, to: number];

function within(random: SeededRandom, [from, to]: Range): number {
  return from + random.below(to - from);
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

/** The broker may be away. A config that is stored twice does no harm. */
async function persistently(action: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await action();
      return;
    } catch (error) {
      if (attempt === 120) throw error;
      await sleep(RETRY_MS);
    }
  }
}
