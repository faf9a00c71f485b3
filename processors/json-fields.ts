import { isJsonObject } from '../schemas/json-object.ts';

/** Reading of JSON that this program wrote itself: what isn't of the wanted kind is told apart, and never throws. */

export type JsonFields = Readonly<Record<string, unknown>>;

/** The object that a record's bytes hold; null when they hold none. */
export function jsonFields(value: Buffer): JsonFields | null {
  try {
    const parsed: unknown = JSON.parse(value.toString('utf8'));
    return isJsonObject(parsed) ? parsed : null;
  } catch {
    return null;
  }
}

export function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

export function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** A number that isn't below 0; else 0. */
export function countOf(value: unknown): number {
  return Math.max(0, numberOrNull(value) ?? 0);
}

/** An offset written as decimal text; null for anything else. */
export function offsetOrNull(value: unknown): number | null {
  const offset = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : Number.NaN;
  return Number.isSafeInteger(offset) ? offset : null;
}
