import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { FastPubSubTotals } from './fake-pubsub.ts';

/** The fast fake Pub/Sub in a process of its own. */
export interface FakeProcess {
  /** `host:port` */
  readonly host: string;
  /** Ends it and tells what arrived. */
  stop(): Promise<FastPubSubTotals>;
}

const SCRIPT = fileURLToPath(new URL('./fake-pubsub.ts', import.meta.url));

/** Starts the fake; it answers each request `delayMs` after its last byte. */
export async function startFakeProcess(delayMs: number): Promise<FakeProcess> {
  const child = spawn(
    process.execPath,
    ['--external-memory-accounted-in-global-limit', SCRIPT, '--delay', String(delayMs)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the fake Pub/Sub ended without an answer');
    return JSON.parse(value);
  };
  const { port } = (await next()) as { port: number };
  return {
    host: `127.0.0.1:${port}`,
    stop: async () => {
      const exited = child.exitCode === null ? once(child, 'exit') : Promise.resolve();
      child.kill('SIGTERM');
      const totals = (await next()) as FastPubSubTotals;
      await exited;
      return totals;
    },
  };
}
