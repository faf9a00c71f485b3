const REDACTED = '[redacted]';

/** Keeps a log line short, and the patterns' work on it. */
const MAX_TEXT = 8_000;

const SECRET_PATTERNS: readonly (readonly [RegExp, string])[] = [
  [
    /-----BEGIN [A-Z ]*PRIVATE KEY-----[^]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
    `${REDACTED} PRIVATE KEY`,
  ],
  [/(SharedAccess(?:Key|Signature)\s*(?:=|%3D)\s*)[^;\s"']+/gi, `$1${REDACTED}`],
  [/(Authorization["']?\s*[:=]\s*["']?)(?:(?:Bearer|Basic)\s+)?[^\s"',;}]+/gi, `$1${REDACTED}`],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/-]{8,}=*/gi, `$1 ${REDACTED}`],
  [/\b(api):[A-Za-z0-9_-]{16,}/g, `$1:${REDACTED}`],
  [/\b(CREDENTIALS_(?:OLD_)?KEYS?["']?\s*[:=]\s*["']?)[A-Za-z0-9+/]{40,}[A-Za-z0-9+/=,]*/gi, `$1${REDACTED}`],
  [/\bya29\.[A-Za-z0-9._-]+/g, REDACTED],
  [/\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g, REDACTED],
  [/(\b[a-z][a-z0-9+.-]{0,20}:\/\/[^\s:/@]*:)[^\s@/]+@/gi, `$1${REDACTED}@`],
  // A quoted value whole, as it may hold any character; in JSON within JSON the quotes are escaped.
  [
    /(\\*"(?:private_key|password|client_secret|access_token|refresh_token|assertion|wrapped_key|wrap_iv|wrap_tag|iv|tag|ciphertext)(\\*")\s*:\s*)\2[^]*?(?:(?<!\\)\2|$)/gi,
    `$1$2${REDACTED}$2`,
  ],
  [
    /("?(?:private_key|password|client_secret|access_token|refresh_token|assertion|wrapped_key|ciphertext)"?\s*[:=]\s*"?)[^\s",;}]+/gi,
    `$1${REDACTED}`,
  ],
];

/** A user point's id, but not the ids by which Azure finds a request again. */
const USER_POINT = /(?<!TrackingId:)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi;
/** Service accounts are no people. Bounded, so that a long text costs little. */
const E_MAIL =
  /[^\s@"'<>(),;:]{1,64}(?:@|%40)(?![\w-]{1,63}\.iam\.gserviceaccount\.com)[^\s@"'<>(),;:]{1,255}\.[a-z]{2,}/gi;

/** Takes out of a text what looks like a secret: keys, tokens, passwords in addresses. */
export function redactText(text: string): string {
  const shown = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
  return SECRET_PATTERNS.reduce(
    (redacted, [pattern, replacement]) => redacted.replace(pattern, replacement),
    shown,
  );
}

/**
 * As `redactText`, for words that came from elsewhere: what a destination says of a record may name the user. Ids of user
 * points and e-mail addresses go too.
 */
export function redactWords(words: string): string {
  return redactText(words).replace(USER_POINT, '<id>').replace(E_MAIL, '<e-mail>');
}
