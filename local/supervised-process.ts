import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** How a process ended: its exit code, or the signal that killed it. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What to run and where its output goes. */
export interface SupervisedCommand {
  readonly command: string;
  readonly arguments: readonly string[];
  /** Receives both output streams, at the end of what it holds. */
  readonly logFile: string;
  /** Removed when this process dies without having stopped the command; null keeps everything. */
  readonly removeWhenAbandoned: string | null;
  readonly environment: NodeJS.ProcessEnv;
}

const STOP_GRACE_MS = 15_000;

/*
 * The shell becomes the command (`exec`), so the pid is the command's own from the first moment, and leaves a watcher
 * behind that reads file descriptor 3, our end of a pipe. A line means the command has ended; the end of the pipe
 * means that this process is gone, however it died.
 */
const SUPERVISOR = `
  abandoned=$1; shift
  (
    read -r line <&3 && exit 0
    kill -9 $$
    if [ -n "$abandoned" ]; then sleep 1; rm -rf -- "$abandoned"; fi
  ) 3<&3 >/dev/null 2>&1 &
  exec 3<&-
  exec "$@"
`;

/**
 * A child process that never outlives this one, not even when this one is killed with SIGKILL.
 *
 * It runs in a session of its own: a Ctrl-C in the terminal reaches only this process, which then stops it in order.
 */
export class SupervisedProcess implements AsyncDisposable {
  readonly pid: number;
  /** Resolves when the process has ended; never rejects. */
  readonly exited: Promise<ExitStatus>;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, pid: number) {
    const { promise, resolve } = Promise.withResolvers<ExitStatus>();
    this.pid = pid;
    this.exited = promise;
    this.#child = child;
    child.once('exit', (code, signal) => {
      dismissWatcher(child);
      resolve({ code, signal });
    });
  }

  /** Rejects when the command's shell can't be started; a missing command shows as exit code 127. */
  static async start(command: SupervisedCommand): Promise<SupervisedProcess> {
    const log = openSync(command.logFile, 'a');
    try {
      const child = spawn(
        '/bin/sh',
        ['-c', SUPERVISOR, 'sh', command.removeWhenAbandoned ?? '', command.command, ...command.arguments],
        { stdio: ['ignore', log, log, 'pipe'], detached: true, env: command.environment },
      );
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      child.once('spawn', resolve);
      child.once('error', reject);
      await promise;
      if (child.pid === undefined) throw new Error('a started process has no pid');
      return new SupervisedProcess(child, child.pid);
    } finally {
      closeSync(log);
    }
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Asks the process to end, kills it when it doesn't within the grace, and waits until it is gone. Idempotent. */
  async stop(): Promise<void> {
    if (!this.isRunning) return;
    // A suspended process would take the request only when resumed.
    this.resume();
    this.#child.kill('SIGTERM');
    const patience = new AbortController();
    const forced = sleep(STOP_GRACE_MS, undefined, { signal: patience.signal }).then(
      () => this.kill(),
      () => undefined,
    );
    await this.exited;
    patience.abort();
    await forced;
  }

  /** SIGKILL; `exited` resolves soon after. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** SIGSTOP: keeps its connections and answers nothing until `resume`. */
  suspend(): void {
    this.#child.kill('SIGSTOP');
  }

  /** SIGCONT; does nothing to a process that runs. */
  resume(): void {
    this.#child.kill('SIGCONT');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

function dismissWatcher(child: ChildProcess): void {
  const pipe = child.stdio[3];
  if (!(pipe instanceof Writable)) return;
  // The watcher may be gone already (someone ended its whole session); there is nothing left to tell it then.
  pipe.on('error', () => pipe.destroy());
  pipe.end('ended\n');
}
