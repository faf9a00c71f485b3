import { InvalidArgumentError } from 'commander';
import { isReplicationId } from '../access-options.ts';

/** Parses ids with commas between them. */
export function replicationIds(text: string): readonly string[] {
  const ids = text.split(',').map((id) => id.trim());
  if (ids.every(isReplicationId)) return ids;
  throw new InvalidArgumentError('Allowed are ids with commas between them: 80,81');
}
