/** By replication, the name of the key that its sealed credentials are wrapped under; null when the record can't be read. */
export type SealedHeads = ReadonlyMap<string, string | null>;

/** Takes up one record of `replication-credentials`; opens nothing. */
export function applySealedHead(heads: Map<string, string | null>, key: string, value: Buffer | null): void {
  if (value === null) heads.delete(key);
  else heads.set(key, kekIdOf(value));
}

function kekIdOf(value: Buffer): string | null {
  try {
    const record: unknown = JSON.parse(value.toString('utf8'));
    const kekId =
      typeof record === 'object' && record !== null && 'kek_id' in record ? record.kek_id : undefined;
    return typeof kekId === 'string' && /^[0-9a-f]{16}$/.test(kekId) ? kekId : null;
  } catch {
    return null;
  }
}
