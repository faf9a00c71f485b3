import { redactText } from '../config/redaction.ts';

const MAX_CHARACTERS = 300;
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi;
const E_MAIL = /[^\s@"'<>(),;:]+@[^\s@"'<>(),;:]+\.[a-z]{2,}/gi;

/**
 * A text from a record's headers as it may be shown: on one line, nothing that a terminal would obey, no secrets, and
 * no user point or e-mail address, should a destination's own words have named one.
 */
export function safeText(text: string): string {
  const shown = text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text;
  return redactText(shown)
    .replace(UUID, '<id>')
    .replace(E_MAIL, '<e-mail>')
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ');
}
