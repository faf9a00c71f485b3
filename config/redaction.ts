import { redactText, redactWords } from '../schemas/redacted-text.ts';

export { redactText } from '../schemas/redacted-text.ts';

const REDACTED = '[redacted]';

/** Deeper than any error or field of ours; ends cycles too. */
const MAX_DEPTH = 8;
const MAX_LIST = 50;
const SECRET_FIELD =
  /^(?:(?:proxy-?)?authorization|(?:sasl_?)?password|private_?key|shared_?access_?(?:key|signature)|client_?secret|(?:access|refresh|id)?_?token|credentials?|connection_?string|wrapped_?key|wrap_?iv|wrap_?tag|iv|tag|ciphertext|plaintext|assertion|cookie)$/i;

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

/**
 * Name, message, code, stack and cause: not the fields that SDKs hang on errors (requests, headers, configurations).
 * Their words may be a destination's, so they are taken for somebody else's.
 */
function redactError(error: Error, depth: number): Record<string, unknown> {
  const name = tryRead(error, 'name');
  const message = tryRead(error, 'message');
  const code = tryRead(error, 'code');
  const stack = tryRead(error, 'stack');
  const cause = tryRead(error, 'cause') ?? tryRead(error, 'originalError');
  return {
    type: typeof name === 'string' ? name : 'Error',
    message: typeof message === 'string' ? redactWords(message) : '',
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(typeof stack === 'string' ? { stack: redactWords(stack) } : {}),
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
