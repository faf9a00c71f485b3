import { expect, test } from '@jest/globals';
import { runGenerate, type GeneratePorts } from '../../../commands/generate.ts';
import { kafkaOutput, lineOutput } from '../../../commands/mutation-outputs.ts';
import { sampleMutations, type SampleMutation } from '../../../local/sample-mutations.ts';
import type { ProducedRecord } from '../../../streams/kafka-port.ts';

/** Ports on a clock that moves only by sleeping. */
function portsOf(
  onBatch: (size: number, nowMs: number) => void = () => undefined,
): GeneratePorts & { text: string } {
  let nowMs = 0;
  const ports = {
    text: '',
    mutations: sampleMutations({ seed: 1, users: 10, valueBytes: 0, startTs: 1 }),
    output: async (batch: readonly SampleMutation[]) => {
      onBatch(batch.length, nowMs);
    },
    errors: {
      write(text: string) {
        ports.text += text;
        return true;
      },
      once: () => undefined,
    },
    now: () => nowMs,
    sleep: async (ms: number) => {
      nowMs += ms;
    },
  };
  return ports;
}

const never = new AbortController().signal;

test('writes exactly the count, at most 500 at a time', async () => {
  const sizes: number[] = [];

  const code = await runGenerate(
    { count: 1_201, rate: 0 },
    portsOf((size) => sizes.push(size)),
    never,
  );

  expect(code).toBe(0);
  expect(sizes).toEqual([500, 500, 201]);
});

test('keeps to the rate', async () => {
  let lastMs = 0;
  const ports = portsOf((_size, nowMs) => {
    lastMs = nowMs;
  });

  await runGenerate({ count: 1_000, rate: 200 }, ports, never);

  expect(lastMs).toBeCloseTo(4_950, -1);
  expect(ports.text).toContain('1000 mutations, ');
});

test('ends cleanly when it is stopped', async () => {
  const stop = new AbortController();
  const ports = portsOf(() => {
    stop.abort();
  });

  expect(await runGenerate({ count: 0, rate: 0 }, ports, stop.signal)).toBe(0);
  expect(ports.text).toContain('500 mutations');
});

test('keys records by user point and tries again while the topic is new', async () => {
  const sent: ProducedRecord[] = [];
  let failures = 2;
  const output = kafkaOutput({
    topic: 't',
    write: ({ userPointId }) => Buffer.from(`value of ${userPointId}`),
    sleep: () => Promise.resolve(),
    producer: {
      async send(_topic, records) {
        if (failures-- > 0) throw new Error('This server does not host this topic-partition');
        sent.push(...records);
        return [];
      },
      close: () => Promise.resolve(),
    },
  });
  const [mutation] = sampleMutations({ seed: 1, users: 1, valueBytes: 0, startTs: 1 });

  await output([mutation!]);

  expect(sent).toEqual([
    {
      key: Buffer.from(mutation!.userPointId),
      value: Buffer.from(`value of ${mutation!.userPointId}`),
      headers: {},
    },
  ]);
});

test('names the topic and the remedy when records cannot be stored', async () => {
  const output = kafkaOutput({
    topic: 'nope',
    write: () => Buffer.alloc(0),
    sleep: () => Promise.resolve(),
    producer: { send: () => Promise.reject(new Error('no such topic')), close: () => Promise.resolve() },
  });

  await expect(output([])).rejects.toThrow(
    'storing mutations in nope: no such topic; does the topic exist? `topics create` makes it',
  );
});

test('writes lines no faster than they are read, and waits no longer once it is stopped', async () => {
  const stop = new AbortController();
  let onDrain: () => void = () => undefined;
  let text = '';
  const out = {
    write(line: string) {
      text += line;
      return false;
    },
    once(_event: 'drain', listener: () => void) {
      onDrain = listener;
    },
  };
  const samples = sampleMutations({ seed: 1, users: 1, valueBytes: 0, startTs: 1 });
  const mutations = [samples.next().value, samples.next().value];
  const output = lineOutput(out, ({ op }) => op, stop.signal);
  let written = 0;

  const first = output(mutations).then(() => written++);
  await Promise.resolve();
  expect(written).toBe(0);
  onDrain();
  await first;
  const second = output(mutations);
  stop.abort();
  await second;

  expect(text).toBe('UPDATE\nUPDATE\nUPDATE\nUPDATE\n');
});
