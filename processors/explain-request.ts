import { shownName } from './config-record.ts';

/** What is to be explained: a record where it lies, or a mutation that was pasted. */
export type ExplainRequest =
  | { readonly kind: 'record'; readonly topic: string; readonly partition: number; readonly offset: number }
  /** The bytes of a record's value. */
  | { readonly kind: 'mutation'; readonly value: Buffer };

/** Why nothing can be explained. The codes are those of the API: 400, 404, 503. */
export type ExplainErrorCode = 'invalid_parameter' | 'invalid_mutation' | 'not_found' | 'not_ready';

/** The request can't be answered: whoever asked reads `message` and `remedy`. */
export class ExplainError extends Error {
  override readonly name = 'ExplainError';
  readonly code: ExplainErrorCode;
  readonly field: string | null;
  readonly remedy: string | null;

  constructor(
    code: ExplainErrorCode,
    field: string | null,
    message: string,
    options: { readonly remedy?: string; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.field = field;
    this.remedy = options.remedy ?? null;
  }
}

const TOPIC_PATTERN = /^[A-Za-z0-9._-]{1,249}$/;
const MAX_PARTITION = 0x7fff_ffff;
const ALLOWED =
  'give {"topic", "partition", "offset"} of a record, or {"mutation": {…}} with the mutation as its record holds it';

/**
 * Reads `{"topic", "partition", "offset"}` or `{"mutation": {…}}`. Throws an `ExplainError`, `invalid_parameter` or
 * `invalid_mutation`, with the field.
 */
export function parseExplainRequest(body: unknown): ExplainRequest {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new ExplainError('invalid_parameter', null, 'the request must be a JSON object', {
      remedy: ALLOWED,
    });
  const fields = new Map(Object.entries(body).filter(([, value]) => value !== undefined));
  for (const name of fields.keys())
    if (!['topic', 'partition', 'offset', 'mutation'].includes(name))
      throw new ExplainError('invalid_parameter', shownName(name), 'unknown field', { remedy: ALLOWED });
  const mutation: unknown = fields.get('mutation');
  if (mutation === undefined) return recordRequest(fields);
  if (fields.size > 1)
    throw new ExplainError('invalid_parameter', 'mutation', 'mutation stands alone', { remedy: ALLOWED });
  if (typeof mutation !== 'object' || mutation === null || Array.isArray(mutation))
    throw new ExplainError('invalid_mutation', 'mutation', 'mutation must be a JSON object');
  return { kind: 'mutation', value: Buffer.from(JSON.stringify(mutation)) };
}

function recordRequest(fields: ReadonlyMap<string, unknown>): ExplainRequest {
  const topic = fields.get('topic');
  if (typeof topic !== 'string' || !TOPIC_PATTERN.test(topic))
    throw new ExplainError('invalid_parameter', 'topic', 'topic must be the name of a mutation topic', {
      remedy: ALLOWED,
    });
  return {
    kind: 'record',
    topic,
    partition: wholeNumber(fields, 'partition', MAX_PARTITION),
    offset: wholeNumber(fields, 'offset', Number.MAX_SAFE_INTEGER),
  };
}

/** Numbers may come as decimal texts, as offsets do in all JSON of this program. */
function wholeNumber(fields: ReadonlyMap<string, unknown>, field: string, max: number): number {
  const given = fields.get(field);
  const value = typeof given === 'string' && /^\d{1,16}$/.test(given) ? Number(given) : given;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max) return value;
  throw new ExplainError(
    'invalid_parameter',
    field,
    `${field} must be a whole number, 0 or more, or its decimal text`,
    { remedy: ALLOWED },
  );
}
