import { copyBytes, writeConstant } from './byte-writer.ts';
import { documentRule, type ValueRule } from './document-id.ts';
import { jsonEscapedLength, writeJsonEscaped } from './json-escape.ts';
import { DELETE, ID_PARTS, type MutationView } from './mutation.ts';

const QUOTE = 0x22;
const EMPTY = Buffer.from('{}');
const MERGED_WITH = Buffer.from(' merged with ');
const KEPT_SLOT = ID_PARTS.indexOf('kept_user_point_id');

/** How many bytes `writeOperationValue` writes. */
export function operationValueLength(mutation: MutationView): number {
  const { bytes, parts, userPointStart, userPointEnd, valueStart, valueEnd } = mutation;
  const rule = ruleOf(mutation);
  if (rule === 'carried') return valueEnd - valueStart;
  if (rule === 'empty') return EMPTY.length;
  const kept = jsonEscapedLength(bytes, parts[KEPT_SLOT * 2] as number, parts[KEPT_SLOT * 2 + 1] as number);
  return userPointEnd - userPointStart + MERGED_WITH.length + kept + 2;
}

/**
 * Writes an operation's value as JSON text to `target[at]` and returns the index after it: the mutation's own byte for
 * byte, the empty object, or the words of a merge as a JSON string.
 */
export function writeOperationValue(mutation: MutationView, target: Buffer, at: number): number {
  const { bytes, parts, userPointStart, userPointEnd, valueStart, valueEnd } = mutation;
  const rule = ruleOf(mutation);
  if (rule === 'carried') return copyBytes(bytes, valueStart, valueEnd, target, at);
  if (rule === 'empty') return writeConstant(EMPTY, target, at);
  let to = at;
  target[to++] = QUOTE;
  to = copyBytes(bytes, userPointStart, userPointEnd, target, to);
  to = writeConstant(MERGED_WITH, target, to);
  const keptStart = parts[KEPT_SLOT * 2] as number;
  const keptEnd = parts[KEPT_SLOT * 2 + 1] as number;
  to = writeJsonEscaped(bytes, keptStart, keptEnd, target, to);
  target[to++] = QUOTE;
  return to;
}

/** A deletion must not send personal data again, so only an UPDATE carries anything. */
function ruleOf({ op, docType, valueStart, valueEnd }: MutationView): ValueRule {
  if (op === DELETE) return 'empty';
  const rule = documentRule(docType).value;
  return rule === 'carried' && valueStart === valueEnd ? 'empty' : rule;
}
