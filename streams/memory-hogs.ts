import type { Destination } from './destination.ts';

/** Of the memory that the heaviest would have if all of them had as much. */
const LIGHT_SHARE = 1 / 4;

/**
 * The destinations whose undelivered operations fill the memory while others could go on: those that hold more than an
 * equal share of half of it. Segments count in full for each destination that reads them, so those that lag together
 * are found together. None when all are equally loaded: then they wait for each other's memory, not for one of them.
 */
export function memoryHogs(
  lanes: Iterable<{ readonly destination: Destination; readonly heldBytes: number }>,
  activeReplications: number,
  limitBytes: number,
): ReadonlySet<Destination> {
  const held = new Map<Destination, number>();
  for (const { destination, heldBytes } of lanes)
    if (heldBytes > 0) held.set(destination, (held.get(destination) ?? 0) + heldBytes);
  const share = limitBytes / 2 / held.size;
  const isAnyLight =
    activeReplications > held.size || [...held.values()].some((bytes) => bytes <= share * LIGHT_SHARE);
  if (!isAnyLight) return new Set();
  return new Set([...held].flatMap(([destination, bytes]) => (bytes >= share ? [destination] : [])));
}
