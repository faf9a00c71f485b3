import type { Clock } from '../../streams/clock.ts';
import type { Scheduler } from './scheduler.ts';

const EPOCH_MS = 1_763_900_000_000;

/** Which clocks of a process go on while it is frozen: SIGSTOP, a sleeping machine, a virtual machine that is paused. */
export type FrozenClocks = 'go on' | 'monotonic stands still' | 'both stand still';

/** A call of a port that waits for its answer. */
export interface PendingCall {
  readonly name: string;
  readonly sentAt: number;
  /** True when it never left, since the process died in that very moment. */
  isCut: boolean;
}

/**
 * One operating system process: what runs in it, runs through `enter` or its clock. Once it is dead nothing of it runs
 * any more; while it is frozen everything waits.
 */
export class SimulatedProcess implements Clock {
  readonly name: string;
  readonly pending = new Set<PendingCall>();
  readonly #scheduler: Scheduler;
  #state: 'running' | 'frozen' | 'dead' = 'running';
  #frozenAt = 0;
  #frozenClocks: FrozenClocks = 'go on';
  #wallOffset = EPOCH_MS;
  #monotonicOffset = 0;
  #timersHeld: (() => void)[] = [];
  #held: (() => void)[] = [];

  constructor(name: string, scheduler: Scheduler) {
    this.name = name;
    this.#scheduler = scheduler;
  }

  get isDead(): boolean {
    return this.#state === 'dead';
  }

  get isFrozen(): boolean {
    return this.#state === 'frozen';
  }

  now(): number {
    return this.#scheduler.now + this.#wallOffset;
  }

  monotonic(): number {
    return this.#scheduler.now + this.#monotonicOffset;
  }

  schedule(delayMs: number, task: () => void): () => void {
    let isCancelled = false;
    const run = (): void => {
      if (!isCancelled) task();
    };
    const cancel = this.#scheduler.at(delayMs, () => {
      this.#receive(run, this.#timersHeld);
    });
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  /** Something from outside arrives: an answer, a signal. */
  enter(task: () => void): void {
    this.#receive(task, this.#held);
  }

  /** A call leaves. Null when the process died before, in this very step. */
  begin(name: string): PendingCall | null {
    if (this.#state === 'dead') return null;
    const call = { name, sentAt: this.#scheduler.now, isCut: false };
    this.pending.add(call);
    return call;
  }

  kill(isCut: (call: PendingCall) => boolean): void {
    this.#state = 'dead';
    this.#held = [];
    this.#timersHeld = [];
    for (const call of this.pending) if (call.sentAt === this.#scheduler.now) call.isCut = isCut(call);
  }

  freeze(clocks: FrozenClocks): void {
    if (this.#state !== 'running') return;
    this.#state = 'frozen';
    this.#frozenAt = this.#scheduler.now;
    this.#frozenClocks = clocks;
  }

  /** Goes on where it stood: timers that are due first, as Node does, then what came from outside. */
  thaw(): void {
    if (this.#state !== 'frozen') return;
    this.#state = 'running';
    const stood = this.#scheduler.now - this.#frozenAt;
    if (this.#frozenClocks !== 'go on') this.#monotonicOffset -= stood;
    if (this.#frozenClocks === 'both stand still') this.#wallOffset -= stood;
    const held = [...this.#timersHeld, ...this.#held];
    this.#timersHeld = [];
    this.#held = [];
    for (const task of held) {
      this.#scheduler.at(0, () => {
        this.#receive(task, this.#held);
      });
    }
  }

  /** Somebody sets the machine's time. */
  setWallClock(byMs: number): void {
    this.#wallOffset += byMs;
  }

  #receive(task: () => void, held: (() => void)[]): void {
    if (this.#state === 'running') task();
    else if (this.#state === 'frozen') held.push(task);
  }
}
