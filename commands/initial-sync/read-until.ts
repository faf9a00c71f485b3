import { ConfigError } from '../../config/config-error.ts';
import type { LogRange } from '../../streams/partition-scan.ts';

/** Where reading of some partitions ends, by `topic/partition`. */
export type ReadUntil = ReadonlyMap<string, number>;

const ENTRY = /^([A-Za-z0-9._-]+\/\d{1,9}):(\d{1,16})$/;

/** Parses `topic/partition:offset`, several with commas between them. Throws a `ConfigError`. */
export function parseReadUntil(text: string): ReadUntil {
  return new Map(
    text.split(',').map((entry) => {
      const [, partition = '', offset = ''] = ENTRY.exec(entry.trim()) ?? [];
      if (partition === '')
        throw new ConfigError([
          '--until: allowed is topic/partition:offset, several with commas between them',
        ]);
      return [partition, Number(offset)];
    }),
  );
}

/** As `parseReadUntil` takes it. */
export function readUntilText(ranges: readonly LogRange[]): string {
  return ranges.map((range) => `${partitionOf(range)}:${range.end}`).join(',');
}

/** The ranges cut where they are to end. Throws a `ConfigError` for a partition that isn't read at all. */
export function cutRanges(ranges: readonly LogRange[], until: ReadUntil): readonly LogRange[] {
  const known = new Set(ranges.map(partitionOf));
  const unknown = [...until.keys()].filter((partition) => !known.has(partition));
  if (unknown.length > 0)
    throw new ConfigError([`--until: ${unknown.join(', ')} isn't read; it is ${[...known].join(', ')}`]);
  return ranges.map((range) => ({
    ...range,
    end: Math.min(range.end, until.get(partitionOf(range)) ?? range.end),
  }));
}

function partitionOf({ topic, partition }: LogRange): string {
  return `${topic}/${partition}`;
}
