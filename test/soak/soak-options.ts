import { parseArgs } from 'node:util';

/** What the command line asks for. */
export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  /** Mutations a second. */
  readonly rate: number;
  readonly instances: number;
  /** Where the instances' logs go. */
  readonly logs: string;
  /** Also when nothing is wrong. */
  readonly keepsLogs: boolean;
}

export const USAGE = `npm run soak -- [options]

  --minutes <n>    how long faults come (10); healing and delivering the rest come on top
  --seed <n>       which faults come when (drawn); timing still differs from run to run
  --rate <n>       mutations a second (1000)
  --instances <n>  processes of the program (2)
  --logs <folder>  where the instances' logs go (soak-logs, and there only when something is wrong)
  --help

Runs an Apache Kafka of its own, the program, and fakes of the destinations, with constant load and random faults, and
compares in the end. Exits with 0 when every promise was kept, with 1 when one was broken, with 2 on wrong usage, with 3
as soon as the soak itself can't go on: a fault that can't be made or healed shows nothing.
`;

/** Reads the command line. Null when help is asked for; throws an `Error` with words when it isn't understood. */
export function parseSoakOptions(args: readonly string[]): SoakOptions | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '10' },
      seed: { type: 'string' },
      rate: { type: 'string', default: '1000' },
      instances: { type: 'string', default: '2' },
      logs: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  return {
    minutes: numberOf('--minutes', values.minutes, 0.1),
    seed: numberOf('--seed', values.seed ?? String(Math.floor(Math.random() * 1_000_000)), 0),
    rate: numberOf('--rate', values.rate, 20),
    instances: numberOf('--instances', values.instances, 1),
    logs: values.logs ?? 'soak-logs',
    keepsLogs: values.logs !== undefined,
  };
}

function numberOf(name: string, text: string, least: number): number {
  const number = Number(text);
  if (text.trim() === '' || !Number.isFinite(number) || number < least)
    throw new Error(`${name} must be a number from ${least} on, it is ${text}`);
  return number;
}
