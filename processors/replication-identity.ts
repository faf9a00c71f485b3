import { murmur2 } from '../schemas/murmur2.ts';
import type { ReplicationConfig } from './replication-config.ts';

/** Id and incarnation: a replication deleted and created again under its id is another one (PROTOCOL C4, C8). */
export function identityOf(config: ReplicationConfig): string {
  return `${config.id}#${config.created ?? ''}#${config.datamartId}#${config.type}#${config.destinationFields}`;
}

/**
 * The 32-bit hash under which the replication's own positions travel with commits (PROTOCOL A1). Two replications with
 * one hash share the lower position then, which costs duplicates and loses nothing.
 */
export function identityHash(config: ReplicationConfig): number {
  const bytes = Buffer.from(identityOf(config));
  return murmur2(bytes, 0, bytes.length) >>> 0;
}
