import { parseMutationSource, type MutationSource } from '../../schemas/mutation-source.ts';
import type { RecordHeaders } from '../kafka-port.ts';

/** The mutation that a snapshot record is a copy of; null when no header tells it. Of a repeated header the last counts. */
export function sourceOf({ source }: RecordHeaders): MutationSource | null {
  const last = Array.isArray(source) ? (source as readonly (Buffer | string)[]).at(-1) : source;
  return parseMutationSource(String(last ?? ''));
}

/**
 * Whether the document has moved to another partition, because the mutation topic got more of them. Null there is no
 * deletion.
 */
export function isMoved({ moved }: RecordHeaders): boolean {
  return moved !== undefined;
}

/** Whether the record stands for one that the topic was too small for. Null there is no deletion. */
export function isOmitted({ omitted }: RecordHeaders): boolean {
  return omitted !== undefined;
}
