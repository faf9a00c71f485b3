import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Deployment, ProcessorProcess } from '../support/processor-process.ts';
import { waitFor } from '../support/wait-for.ts';

const READY_TIMEOUT_MS = 180_000;
const RESTART_MS = 2_000;
const SCRAPE_TIMEOUT_MS = 2_000;
const LOG_SHOWN_CHARACTERS = 2_000;

interface Slot {
  process: ProcessorProcess;
  /** Whether its end was asked for. */
  isEnding: boolean;
}

/** The instances of the program under test, each in a slot that is filled again when its process has ended. */
export class SoakInstances {
  readonly #deployment: Deployment;
  readonly #slots: Slot[] = [];
  readonly #all: ProcessorProcess[] = [];
  #isEnding = false;
  /** Processes that ended without being asked, and exit codes that say so, in words. */
  readonly complaints: string[] = [];
  maxRssBytes = 0;

  constructor(deployment: Deployment) {
    this.#deployment = deployment;
  }

  get count(): number {
    return this.#slots.length;
  }

  /** Starts so many and waits until they are ready. */
  async start(count: number): Promise<void> {
    for (let slot = 0; slot < count; slot += 1) await this.#fill(slot);
    for (let slot = 0; slot < count; slot += 1) await this.untilReady(slot);
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(slot: number): Promise<void> {
    const { process } = this.#end(slot);
    process.kill();
    await process.exited;
  }

  /** SIGTERM; resolves when the process has ended. */
  async terminate(slot: number): Promise<void> {
    const { process } = this.#end(slot);
    const code = await process.stop();
    if (code !== 0) this.complaints.push(`SIGTERM ended process ${process.pid} with exit code ${code}`);
  }

  /** Starts a process in the place of one that was ended. */
  async startAgain(slot: number): Promise<void> {
    await this.#fill(slot);
  }

  /** SIGSTOP: the process keeps its connections and does nothing. */
  suspend(slot: number): void {
    this.#signal(slot, 'SIGSTOP');
  }

  /** SIGCONT. */
  resume(slot: number): void {
    this.#signal(slot, 'SIGCONT');
  }

  async untilReady(slot: number): Promise<void> {
    await waitFor(
      async () => {
        const process = this.#slots[slot]?.process;
        return process?.isRunning === true && (await process.readiness()).status === 200;
      },
      { timeoutMs: READY_TIMEOUT_MS, message: () => `instance ${slot + 1} to be ready; ${this.#tail(slot)}` },
    );
  }

  /** Whether every instance takes a replication for ACTIVE. */
  async isActiveEverywhere(replicationId: string): Promise<boolean> {
    const answers = await Promise.all(
      this.#slots.map(({ process }) =>
        process.metric('replication_state', { replication_id: replicationId, state: 'ACTIVE' }),
      ),
    );
    return answers.every((active) => active === 1);
  }

  /** Each instance's resident memory; null where nobody answers. */
  async rssBytes(): Promise<readonly (number | null)[]> {
    const all = await Promise.all(this.#slots.map(({ process }) => rssOf(process)));
    this.maxRssBytes = Math.max(this.maxRssBytes, ...all.map((bytes) => bytes ?? 0));
    return all;
  }

  /** Ends all with SIGTERM. */
  async stop(): Promise<void> {
    this.#isEnding = true;
    await Promise.all(this.#slots.map((_, slot) => this.terminate(slot)));
  }

  /** Writes the log of every process that ever ran into a directory. */
  async saveLogs(directory: string): Promise<void> {
    await mkdir(directory, { recursive: true });
    for (const [i, process] of this.#all.entries())
      await writeFile(join(directory, `processor-${i + 1}-${process.pid}.jsonl`), process.log());
  }

  async #fill(slot: number): Promise<void> {
    const process = await this.#deployment.start();
    const filled = { process, isEnding: false };
    this.#slots[slot] = filled;
    this.#all.push(process);
    void process.exited.then((status) => this.#onExit(slot, filled, JSON.stringify(status)));
  }

  async #onExit(slot: number, ended: Slot, status: string): Promise<void> {
    if (ended.isEnding || this.#isEnding) return;
    this.complaints.push(`instance ${slot + 1} ended by itself (${status}): ${this.#tail(slot)}`);
    await sleep(RESTART_MS);
    if (this.#slots[slot] === ended && !this.#isEnding) await this.#fill(slot);
  }

  #end(slot: number): Slot {
    const ending = this.#slots[slot]!;
    ending.isEnding = true;
    return ending;
  }

  #signal(slot: number, signal: NodeJS.Signals): void {
    const { process: target } = this.#slots[slot]!;
    if (target.isRunning) process.kill(target.pid, signal);
  }

  #tail(slot: number): string {
    return this.#slots[slot]?.process.log().slice(-LOG_SHOWN_CHARACTERS) ?? '';
  }
}

async function rssOf({ url }: ProcessorProcess): Promise<number | null> {
  try {
    const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(SCRAPE_TIMEOUT_MS) });
    return Number(/^process_resident_memory_bytes (\S+)$/m.exec(await response.text())?.[1]);
  } catch {
    return null;
  }
}
