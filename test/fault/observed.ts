import { inspect } from 'node:util';
import type { ProcessorProcess } from '../support/processor-process.ts';

const MEGABYTE = 1024 * 1024;

/** The replication's state as the process shows it; null when it knows none of that id. */
export async function stateOf(processor: ProcessorProcess, id: string): Promise<string | null> {
  return (await statesOf(processor)).get(id) ?? null;
}

/** The states of all replications that the process knows, by their ids. */
export async function statesOf(processor: ProcessorProcess): Promise<ReadonlyMap<string, string>> {
  const samples = await processor.samples('replication_state');
  return new Map(samples.map(({ labels }) => [labels.replication_id ?? '', labels.state ?? '']));
}

/** What the process has in memory, in MB. */
export async function residentMegabytes(processor: ProcessorProcess): Promise<number> {
  const metrics = await (await fetch(`${processor.url}/metrics`)).text();
  const bytes = /^(?:\w+_)?process_resident_memory_bytes (\S+)$/m.exec(metrics)?.[1];
  return Math.round(Number(bytes) / MEGABYTE);
}

/** Lets a phase of the test last until so long after `sinceMs`; fails at once when the process ends. */
export async function lasts(
  milliseconds: number,
  processor: ProcessorProcess,
  sinceMs = Date.now(),
): Promise<void> {
  await processor.waitWhileRunning(
    () => Date.now() - sinceMs >= milliseconds,
    'the phase to end',
    milliseconds + 10_000,
  );
}

/** Tells a measured figure to whoever reads the run; nothing depends on it. */
export function tell(what: string, figures: unknown): void {
  process.stderr.write(`${what}: ${inspect(figures, { breakLength: Infinity })}\n`);
}
