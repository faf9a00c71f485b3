import { produce } from '../support/kafka.ts';
import type { Deployment, ProcessorProcess } from '../support/processor-process.ts';

const DATAMART = '1649';
const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';
const PATH = 'witness.jsonl';

/** A FILE replication that gets every mutation of `mutation`. */
export const WITNESS = {
  id: 'witness',
  type: 'FILE',
  status: 'ACTIVE',
  datamart_id: DATAMART,
  path: PATH,
};

/** A record whose `ts` tells it from others; all are of one user, so of one partition, where none is given. */
export function mutation(ts: number): { key: string; value: string } {
  return {
    key: USER,
    value: `{"datamart_id":${DATAMART},"user_point_id":"${USER}","ts":${ts},"op":"UPDATE","doc_type":"UserPoint"}`,
  };
}

/** Sends mutations; resolves when Kafka has stored them. */
export async function send(deployment: Deployment, timestamps: readonly number[]): Promise<void> {
  await produce(deployment.mutations, timestamps.map(mutation), deployment.brokers);
}

/** The `ts` of everything that the witness got, in its order. */
export async function witnessed(deployment: Deployment): Promise<readonly number[]> {
  const lines = await deployment.fileLines(PATH);
  return lines.map((line) => (JSON.parse(line) as { ts: number }).ts);
}

/** Waits until the witness has got these, whatever else it has. */
export async function untilWitnessed(
  deployment: Deployment,
  processor: ProcessorProcess,
  timestamps: readonly number[],
  timeoutMs?: number,
): Promise<void> {
  await processor.waitWhileRunning(
    async () => {
      const seen = new Set(await witnessed(deployment));
      return timestamps.every((ts) => seen.has(ts));
    },
    `operations ${timestamps.slice(0, 10).join()}`,
    timeoutMs,
  );
}

/** `count` numbers from `first` on. */
export function range(first: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}
