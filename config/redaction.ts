const REDACTED = '[redacted]';

/** Deeper than any error or field of ours; ends cycles too. */
const MAX_DEPTH = 8;
const MAX_LIST = 50;
/** Keeps a log line short, and the patterns' work on it. */
const MAX_TEXT = 8_000;

const SECRET_PATTERNS: readonly (readonly [RegExp, string])[] = [
  [
    /-----BEGIN [A-Z ]*PRIVATE KEY-----[^]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
    `${REDACTED} PRIVATE KEY`,
  ],
  [/(SharedAccess(?:Key|Signature)\s*=\s*)[^;\s"']+/gi, `$1${REDACTED}`],
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

const SECRET_FIELD =
  /^(?:(?:proxy-?)?authorization|(?:sasl_?)?password|private_?key|shared_?access_?(?:key|signature)|client_?secret|(?:access|refresh|id)?_?token|credentials?|connection_?string|wrapped_?key|wrap_?iv|wrap_?tag|iv|tag|ciphertext|plaintext|assertion|cookie)$/i;

/** Takes out of a text what looks like a secret: keys, tokens, passwords in addresses. */
export function redactText(text: string): string {
  const shown = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
  return SECRET_PATTERNS.reduce(
    (redacted, [pattern, replacement]) => redacted.replace(pattern, replacement),
    shown,
  );
}

/**
 * A copy of `value` that may be logged: no secret fields, no secrets within texts, errors with their causes, bytes as
 * their number. Never throws, whatever the value is.
 */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return typeof value === 'function' ? undefined : value;
  if (depth > MAX_DEPTH) return '…';
  if (ArrayBuffer.isView(value)) return `<${value.byteLength} bytes>`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Error) return redactError(value, depth);
  if (Array.isArray(value)) return value.slice(0, MAX_LIST).map((entry) => redact(entry, depth + 1));
  return redactFields(value, depth);
}

/** As `redact`, for the fields of a log line. */
export function redactFields(fields: object, depth = 0): Record<string, unknown> {
  const redacted: Record<string, unknown> = {};
  for (const name of Object.keys(fields)) {
    const value = tryRead(fields, name);
    redacted[name] = SECRET_FIELD.test(name) && value !== null ? REDACTED : redact(value, depth + 1);
  }
  return redacted;
}

/** Name, message, code, stack and cause: not the fields that SDKs hang on errors (requests, headers, configurations). */
function redactError(error: Error, depth: number): Record<string, unknown> {
  const name = tryRead(error, 'name');
  const message = tryRead(error, 'message');
  const code = tryRead(error, 'code');
  const stack = tryRead(error, 'stack');
  const cause = tryRead(error, 'cause') ?? tryRead(error, 'originalError');
  return {
    type: typeof name === 'string' ? name : 'Error',
    message: typeof message === 'string' ? redactText(message) : '',
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(typeof stack === 'string' ? { stack: redactText(stack) } : {}),
    ...(cause === undefined || cause === null ? {} : { cause: redact(cause, depth + 1) }),
    ...(error instanceof AggregateError ? { errors: redact(error.errors, depth + 1) } : {}),
  };
}

function tryRead(from: object, name: string): unknown {
  try {
    return (from as Readonly<Record<string, unknown>>)[name];
  } catch {
    return undefined;
  }
}
