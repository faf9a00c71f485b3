import { redactText, redactWords } from '../schemas/redacted-text.ts';

const MAX_CHARACTERS = 300;
const MAX_WORDS_CHARACTERS = 4_000;
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
  return safeName(redactWords(cut(text)));
}

/**
 * This program's own words, with those of others in them, as they may be shown: no secrets, nothing that a terminal would
 * obey. They may hold a whole command to run.
 */
export function safeWords(words: string): string {
  return redactText(cut(words, MAX_WORDS_CHARACTERS)).replace(OBEYED, ' ');
}

function cut(text: string, maxCharacters = MAX_CHARACTERS): string {
  return text.length > maxCharacters ? `${text.slice(0, maxCharacters)}…` : text;
}
