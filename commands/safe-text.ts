import { redactText } from '../config/redaction.ts';

const MAX_CHARACTERS = 300;
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi;
const E_MAIL = /[^\s@"'<>(),;:]+@[^\s@"'<>(),;:]+\.[a-z]{2,}/gi;

const OBEYED = /[\p{Cc}\p{Cf}\u2028\u2029]+/gu;

/** A name from a record's headers (topic, replication, code) as it may be shown: nothing that a terminal would obey. */
export function safeName(name: string): string {
  return cut(name).replace(OBEYED, ' ');
}

/**
 * Words from a record's headers as they may be shown: as `safeName`, and no secrets, and no user point or e-mail address,
 * should a destination's own words have named one.
 */
export function safeText(text: string): string {
  return safeName(redactText(cut(text)).replace(UUID, '<id>').replace(E_MAIL, '<e-mail>'));
}

/** This program's own words, with those of others in them, as they may be shown: no secrets, nothing that a terminal would obey. */
export function safeWords(text: string): string {
  return redactText(text).replace(OBEYED, ' ');
}

function cut(text: string): string {
  return text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text;
}
